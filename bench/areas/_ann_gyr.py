"""gyr's index as one more variant of the area index, through the Python package."""

from __future__ import annotations

import ctypes
import hashlib
import os
import pathlib
import time

import numpy as np

from bench.areas._ann_peers import Variant


class Gyr(Variant):
    library, filters = "gyr", True

    def __init__(self, kind: str = ""):
        import gyr
        from gyr._lib import library_path

        self.gyr = gyr
        options = os.environ.get("GYR_BENCH_GYR", "stored=int16")  # the compact one for all figures: bytes, too
        pairs = [p.split("=") for p in options.split(",") if p]
        self.options = {name: int(value) if value.isdigit() else value for name, value in pairs}
        if kind:
            self.options["kind"] = kind
        super().__init__(kind or "index", ",".join(f"{k}={v}" for k, v in self.options.items()) or "defaults")
        code = pathlib.Path(library_path).read_bytes()  # another library or other options: another index
        self.version = f"{gyr.version()} {hashlib.sha256(code).hexdigest()[:12]} {self.parameters}"

    def _made(self, data, first: np.ndarray, threads: int):
        index = self.gyr.Index(dim=first.shape[1], metric=data.metric, runtime=self.gyr.Runtime(threads=threads),
                               **self.options)
        index.upsert(np.arange(len(first)), first)
        return index

    def build(self, data, threads: int) -> None:
        self.index = self._made(data, data.base, threads)

    def replace(self, data, threads: int) -> None:
        """Half of the items held other vectors."""
        first = data.base.copy()
        first[data.half] = data.other
        self.index = self._made(data, first, threads)
        self.index.delete(data.half)
        self.index.upsert(data.half, data.base[data.half])

    def save(self, path: pathlib.Path) -> None:
        self.index.save(path)
        self.index.close()

    def load(self, path: pathlib.Path, data) -> None:
        self.path, self.open = path, {}

    def threads(self, n: int) -> None:
        """A runtime has its threads for life: the index is opened once per number of them."""
        if n not in self.open:
            self.open[n] = self.gyr.Index.open(self.path, runtime=self.gyr.Runtime(threads=n))
        self.index = self.open[n]

    def ladders(self, k: int) -> list[list]:
        """An effort may be less than k."""
        least = (3, 5, 7) if k <= 10 else (10, 14, 20, 28, 40, 56, 80)
        return [[*least, *super().ladders(k)[0]]]

    def search(self, queries, k: int, effort, allowed=None):
        return self.index.search(queries, k, effort=effort, filter=allowed)[0]

    def filter(self, ids, n: int):
        return self.index.select(ids)

    def latencies(self, queries, k: int, effort: int) -> list[float]:
        """Microseconds of one-query calls, straight to the C function: Index.search() adds about 70 us of Python."""
        from gyr._lib import address, lib, raw, struct

        ids, scores, counts = np.zeros(k, np.int64), np.zeros(k, np.float32), np.zeros(1, np.uint32)
        args = struct(raw.gyr_search_args, k=k, n=1, effort=effort, out_ids=address(ids), out_scores=address(scores),
                      out_counts=address(counts))
        took, at, handle = [], address(queries), self.index._handle
        for row in range(len(queries)):
            args.queries = at + row * queries.strides[0]
            start = time.perf_counter_ns()
            status = lib.gyr_index_search(handle, ctypes.byref(args), None, None)
            took.append((time.perf_counter_ns() - start) / 1000)
            assert status == 0
        return took

    def bytes(self) -> int:
        return self.index.info()["bytes"]

    def bytes_touched(self, work) -> float | None:
        """Bytes of codes that the searches of work() read; None for a library that does not count them."""
        before = self.index.info()
        work()
        after = self.index.info()
        if "codes_touched" not in after or "code_bytes" not in after:
            return None
        return (after["codes_touched"] - before["codes_touched"]) * after["code_bytes"]
