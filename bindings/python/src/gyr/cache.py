"""Embedding cache: rows of floats by key, with pooling."""
from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ._lib import Handle, address, call, lib, make, raw, struct
from ._values import numbers, ragged
from .runtime import Runtime, as_dict, runtime_handle

KEYS = {"hashed": raw.GYR_CACHE_HASHED, "dense": raw.GYR_CACHE_DENSE}
ROWS = {"float32": raw.GYR_CACHE_FLOAT32, "float16": raw.GYR_CACHE_FLOAT16, "bfloat16": raw.GYR_CACHE_BFLOAT16,
        "int8": raw.GYR_CACHE_INT8}
POOLING = {"sum": raw.GYR_POOLING_SUM, "mean": raw.GYR_POOLING_MEAN}


class Cache(Handle):
    """keys: "hashed" or "dense" (row numbers below capacity). default_row: what missing rows read as (else zeros).
    rows: how rows are kept; they go in and out as float32."""

    _destroy = "gyr_cache_destroy"

    def __init__(self, dim: int, keys: str = "hashed", capacity: int = 0, default_row: Any = None,
                 runtime: Runtime | None = None, rows: str = "float32"):
        row = None if default_row is None else numbers(default_row, np.float32)
        if row is not None and row.shape != (dim,):
            raise ValueError(f"default_row: expected shape ({dim},), got {row.shape}")
        miss = raw.GYR_CACHE_MISS_ZERO if row is None else raw.GYR_CACHE_MISS_DEFAULT
        options = struct(raw.gyr_cache_options, dim=dim, keys=KEYS[keys], miss=miss, capacity=capacity, rows=ROWS[rows],
                         default_row=None if row is None else address(row))
        self._own(make(lib.gyr_cache_create, runtime_handle(runtime), ctypes.byref(options)))
        self.dim = dim

    def put(self, keys: Any, rows: Any) -> None:
        ids, data = numbers(keys, np.int64), numbers(rows, np.float32)
        if data.shape != (len(ids), self.dim):
            raise ValueError(f"rows: expected shape ({len(ids)}, {self.dim}), got {data.shape}")
        call(lib.gyr_cache_put, self._handle, address(ids), address(data), len(ids))

    def remove(self, keys: Any) -> int:
        """Number of rows that existed."""
        ids, removed = numbers(keys, np.int64), ctypes.c_uint64()
        call(lib.gyr_cache_remove, self._handle, address(ids), len(ids), ctypes.byref(removed))
        return removed.value

    def get(self, keys: Any) -> tuple[np.ndarray, np.ndarray]:
        """(rows [n, dim], status [n])."""
        ids = numbers(keys, np.int64)
        out, status = np.zeros((len(ids), self.dim), np.float32), np.zeros(len(ids), np.uint8)
        call(lib.gyr_cache_get, self._handle, address(ids), len(ids), address(out), address(status))
        return out, status

    def pool(self, bags: Any, pooling: str = "sum", weights: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(one row per bag, status per key). `bags` is a list of key lists or (values, offsets) arrays; `weights`: one
        per key of all bags."""
        values, offsets = ragged(bags)
        out, status = np.zeros((len(offsets) - 1, self.dim), np.float32), np.zeros(int(offsets[-1]), np.uint8)
        if weights is None:
            call(lib.gyr_cache_pool, self._handle, address(values), address(offsets), len(offsets) - 1,
                 POOLING[pooling], address(out), address(status))
            return out, status
        factors = numbers(weights, np.float32)
        if factors.shape != (len(status),):
            raise ValueError(f"weights: expected shape ({len(status)},), got {factors.shape}")
        call(lib.gyr_cache_pool_weighted, self._handle, address(values), address(factors), address(offsets),
             len(offsets) - 1, POOLING[pooling], address(out), address(status))
        return out, status

    def info(self) -> dict[str, int]:
        out = struct(raw.gyr_cache_info)
        call(lib.gyr_cache_get_info, self._handle, ctypes.byref(out))
        return as_dict(out)
