"""What each stored precision of gyr's index costs in recall and memory; the table of docs/index.md.

    python -m bench.areas._ann_stored recs_100000_64 fashion_mnist
"""

from __future__ import annotations

import sys

import numpy as np

from bench.areas import _ann_data

EFFORTS = (40, 80, 160, 320)


def table(name: str) -> None:
    import gyr

    data = _ann_data.load(name)
    queries, runtime = data.queries[:500], gyr.Runtime(threads=2)
    print(f"{name}: stored, bytes per vector, recall@10 at effort {', '.join(map(str, EFFORTS))}, by scan")
    for stored in ("fp32", "fp16", "bf16", "int16", "int8"):
        index = gyr.Index(data.base.shape[1], metric=data.metric, stored=stored, reserve=len(data.base), runtime=runtime)
        index.upsert(np.arange(len(data.base)), data.base)
        found = [index.search(queries, 10, effort=effort)[0] for effort in EFFORTS]
        found.append(index.search(queries, 10, exact=True)[0])
        recalls = " ".join(f"{_ann_data.recall(f, data.truth):.4f}" for f in found)
        print(f"{stored:6} {index.info()['bytes'] / len(data.base):8.1f}  {recalls}", flush=True)
        index.close()


if __name__ == "__main__":
    for each in sys.argv[1:]:
        table(each)
