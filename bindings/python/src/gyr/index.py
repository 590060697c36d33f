"""Nearest-neighbour search. Higher scores are better; ties go to the smaller id."""
from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np

from ._lib import Handle, address, call, lib, make, path_bytes, raw, struct
from ._values import numbers
from .runtime import Runtime, Task, as_dict, runtime_handle, task_handle

METRICS = {"ip": raw.GYR_METRIC_IP, "cosine": raw.GYR_METRIC_COSINE, "l2": raw.GYR_METRIC_L2}
KINDS = {"exact": raw.GYR_INDEX_EXACT, "graph": raw.GYR_INDEX_GRAPH}
STORED = {"fp32": raw.GYR_STORED_FP32, "fp16": raw.GYR_STORED_FP16, "bf16": raw.GYR_STORED_BF16,
          "int16": raw.GYR_STORED_INT16, "int8": raw.GYR_STORED_INT8}


def _options(dim: int, metric: str, kind: str, degree: int, build_effort: int, seed: int, reserve: int, stored: str):
    return struct(raw.gyr_index_options, dim=dim, metric=METRICS[metric], kind=KINDS[kind], degree=degree,
                  build_effort=build_effort, seed=seed, reserve=reserve, stored=STORED[stored])


class Index(Handle):
    """metric: "ip", "cosine" or "l2" (score = minus squared distance). kind: "graph" or "exact". stored: the precision
    of the vectors, "fp32", "fp16", "bf16", "int16" or "int8"; docs/index.md has what each costs."""

    _destroy = "gyr_index_destroy"

    def __init__(self, dim: int, metric: str = "ip", kind: str = "graph", degree: int = 0, build_effort: int = 0,
                 seed: int = 0, reserve: int = 0, stored: str = "fp32", runtime: Runtime | None = None):
        options = _options(dim, metric, kind, degree, build_effort, seed, reserve, stored)
        self._own(make(lib.gyr_index_create, runtime_handle(runtime), ctypes.byref(options)))

    @staticmethod
    def estimate(n: int, dim: int, metric: str = "ip", kind: str = "graph", degree: int = 0, build_effort: int = 0,
                 reserve: int = 0, stored: str = "fp32", threads: int = 1) -> tuple[int, int]:
        """(bytes that n vectors will take, highest memory while they are inserted)."""
        options = _options(dim, metric, kind, degree, build_effort, 0, reserve, stored)
        used, peak = ctypes.c_uint64(), ctypes.c_uint64()
        call(lib.gyr_index_estimate, ctypes.byref(options), n, threads, ctypes.byref(used), ctypes.byref(peak))
        return used.value, peak.value

    @classmethod
    def open(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> Index:
        return cls._adopt(make(lib.gyr_index_open, runtime_handle(runtime), path_bytes(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        call(lib.gyr_index_save, self._handle, path_bytes(path))

    def info(self) -> dict[str, Any]:
        out = struct(raw.gyr_index_info)
        call(lib.gyr_index_get_info, self._handle, ctypes.byref(out))
        facts = as_dict(out)
        for field, names in (("metric", METRICS), ("kind", KINDS), ("stored", STORED)):
            facts[field] = {number: name for name, number in names.items()}.get(facts[field], facts[field])
        return facts

    def __len__(self) -> int:
        return self.info()["count"]

    def _vectors(self, values: Any, rows: int | None = None) -> np.ndarray:
        vectors, dim = numbers(values, np.float32), self.info()["dim"]
        if vectors.ndim == 1:
            vectors = vectors.reshape(1, -1)
        if vectors.ndim != 2 or vectors.shape[1] != dim or rows not in (None, vectors.shape[0]):
            raise ValueError(f"vectors: expected shape ({'n' if rows is None else rows}, {dim}), got {vectors.shape}")
        return vectors

    def upsert(self, ids: Any, vectors: Any, task: Task | None = None) -> None:
        labels = numbers(ids, np.int64)
        data = self._vectors(vectors, len(labels))
        call(lib.gyr_index_upsert, self._handle, address(labels), address(data), len(labels), task_handle(task))

    def delete(self, ids: Any) -> int:
        """Number of ids that existed."""
        labels, deleted = numbers(ids, np.int64), ctypes.c_uint64()
        call(lib.gyr_index_delete, self._handle, address(labels), len(labels), ctypes.byref(deleted))
        return deleted.value

    def slots(self, ids: Any) -> np.ndarray:
        """Positions in filter bitmaps, -1 for unknown ids."""
        labels = numbers(ids, np.int64)
        slots = np.zeros(len(labels), np.int64)
        call(lib.gyr_index_slots, self._handle, address(labels), len(labels), address(slots))
        return slots

    def filter(self, allowed_ids: Any) -> np.ndarray:
        """Bitmap that allows these ids only; reusable until ids are deleted."""
        bits = np.zeros((self.info()["slots"] + 63) // 64 * 64, np.uint8)
        slots = self.slots(allowed_ids)
        bits[slots[(slots >= 0) & (slots < len(bits))]] = 1
        return np.packbits(bits, bitorder="little").view(np.uint64)

    def search(self, queries: Any, k: int, effort: int = 0, exact: bool = False, allowed_ids: Any = None,
               filter: np.ndarray | None = None, task: Task | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(ids [n, k], scores [n, k]); id -1 and score NaN where fewer than k exist."""
        data = self._vectors(queries)
        bitmap = self.filter(allowed_ids) if allowed_ids is not None else filter
        bitmap = None if bitmap is None else numbers(bitmap, np.uint64)
        n = len(data)
        ids, scores, counts = np.full((n, k), -1, np.int64), np.zeros((n, k), np.float32), np.zeros(n, np.uint32)
        args = struct(raw.gyr_search_args, k=k, queries=address(data), n=n, effort=effort, exact=int(exact),
                      filter=None if bitmap is None else address(bitmap) or ctypes.addressof(_NOTHING),
                      filter_bits=0 if bitmap is None else bitmap.size * 64, out_ids=address(ids),
                      out_scores=address(scores), out_counts=address(counts))
        call(lib.gyr_index_search, self._handle, ctypes.byref(args), task_handle(task))
        absent = np.arange(k) >= counts[:, None]
        ids[absent], scores[absent] = -1, np.nan
        return ids, scores


_NOTHING = ctypes.c_uint64()  # an empty bitmap still needs an address, else it would mean "all"
