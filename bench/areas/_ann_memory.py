"""Memory of a loaded and searched index: by how much a fresh process grows, in anonymous and file-backed pages.

    python -m bench.areas._ann_memory DATA VARIANT PATH
"""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import subprocess
import sys

from bench.areas import _ann_data, _ann_peers
from bench.areas._peers import need

QUERIES = 200


def resident() -> int:
    """Bytes of this process in memory, after the allocator gave back what it can."""
    ctypes.CDLL(None).malloc_trim(0)
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/smaps_rollup has no Rss")


def variant_of(name: str):
    from bench.areas._ann_gyr import Gyr

    return next(v for v in (Gyr(), Gyr("ivf"), *_ann_peers.variants()) if v.name == name)


def measure(data_name: str, name: str, path: str) -> int:
    """The data and the library are there before, with the threads that it starts: only the index is counted."""
    data, variant = _ann_data.load(data_name), variant_of(name)
    if variant.library in _ann_peers.DISTRIBUTIONS:
        need(*_ann_peers.DISTRIBUTIONS[variant.library])
    before = resident()
    ladder = variant.ladders(10)[0]
    variant.load(pathlib.Path(path), data)
    variant.threads(1)
    variant.search(data.queries[:QUERIES], 10, ladder[len(ladder) // 2])
    return resident() - before


def of(data, variant) -> int:
    """The same of what is kept on disk for a variant, in a process of its own."""
    path = data.folder / f"{variant.name}.index"
    done = subprocess.run([sys.executable, "-m", "bench.areas._ann_memory", data.name, variant.name, str(path)],
                          cwd=_ann_data.ROOT, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise RuntimeError(f"memory of {variant.name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])["bytes"]


if __name__ == "__main__":
    print(json.dumps({"bytes": measure(*sys.argv[1:])}))
