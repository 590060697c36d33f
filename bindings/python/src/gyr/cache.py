"""Embedding cache: rows of floats by key, with pooling."""
from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np

from ._lib import Handle, address, call, lib, make, path_bytes, raw, struct
from ._values import numbers, ragged
from .runtime import Runtime, Task, as_dict, runtime_handle, task_handle

KEYS = {"hashed": raw.GYR_CACHE_HASHED, "dense": raw.GYR_CACHE_DENSE}
ROWS = {"float32": raw.GYR_CACHE_FLOAT32, "float16": raw.GYR_CACHE_FLOAT16, "bfloat16": raw.GYR_CACHE_BFLOAT16,
        "int8": raw.GYR_CACHE_INT8}
POLICIES = {"clock": raw.GYR_CACHE_CLOCK, "lru": raw.GYR_CACHE_LRU, "tinylfu": raw.GYR_CACHE_TINYLFU}
WAITS = {"wait": raw.GYR_CACHE_WAIT, "deadline": raw.GYR_CACHE_DEADLINE, "default": raw.GYR_CACHE_DEFAULT}
POOLING = {"sum": raw.GYR_POOLING_SUM, "mean": raw.GYR_POOLING_MEAN}


class Tiers:
    """What of a cache stays in memory, and where the rest is. max_rows, max_bytes: limits, 0 = none. policy: "clock",
    "lru" or "tinylfu". below: a gyr_cache_tier (gyr.redis_tier() makes one), which the cache takes over; folder: rows lie
    in files there. wait: what a call does about rows that are not in memory: "wait", "deadline" (seconds in `timeout`) or
    "default" (answers now; see wait_below)."""

    def __init__(self, max_rows: int = 0, max_bytes: int = 0, policy: str = "clock", evict_to: float = 0,
                 admit_count: int = 0, below: raw.gyr_cache_tier | None = None,
                 folder: str | os.PathLike[str] | None = None, segment_bytes: int = 0, wait: str = "wait",
                 wait_below: float = 0, timeout: float = 0, retry: float = 0, failures: int = 0):
        self._below = below
        self.struct = struct(raw.gyr_cache_tiers, max_rows=max_rows, max_bytes=max_bytes, policy=POLICIES[policy],
                             evict_to=evict_to, admit_count=admit_count,
                             below=None if below is None else ctypes.pointer(below),
                             folder=None if folder is None else path_bytes(folder), segment_bytes=segment_bytes,
                             wait=WAITS[wait], wait_below=wait_below, timeout_ns=round(timeout * 1e9),
                             retry_ns=round(retry * 1e9), failures=failures)


class _RedisOptions(ctypes.Structure):  # gyr/redis_tier.h
    _fields_ = [("struct_size", ctypes.c_uint32), ("row_bytes", ctypes.c_uint32), ("addresses", ctypes.c_char_p),
                ("prefix", ctypes.c_char_p), ("user", ctypes.c_char_p), ("password", ctypes.c_char_p),
                ("database", ctypes.c_uint32), ("cluster", ctypes.c_uint32), ("timeout_ns", ctypes.c_uint64),
                ("batch", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


def redis_tier(addresses: str, row_bytes: int, prefix: str = "gyr", cluster: bool = False, timeout: float = 0,
               user: str | None = None, password: str | None = None, database: int = 0, batch: int = 0,
               library: str | os.PathLike[str] = "libgyr-redis.so") -> raw.gyr_cache_tier:
    """A Redis server or cluster as Tiers(below=...). addresses: "host:port", of a cluster several with commas between, or
    "unix:/path". row_bytes: dim x 4 for float32 rows. library: the plugin's file."""
    make_tier = ctypes.CDLL(os.fspath(library)).gyr_redis_tier
    make_tier.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    options = struct(_RedisOptions, row_bytes=row_bytes, addresses=addresses.encode(), prefix=prefix.encode(),
                     cluster=int(cluster), timeout_ns=round(timeout * 1e9), database=database, batch=batch,
                     user=None if user is None else user.encode(),
                     password=None if password is None else password.encode())
    tier = raw.gyr_cache_tier()
    call(make_tier, ctypes.byref(options), ctypes.byref(tier))
    return tier


def make_open(path: str | os.PathLike[str], tiers: Tiers | None, runtime: Runtime | None) -> Any:
    return make(lib.gyr_cache_open, runtime_handle(runtime), path_bytes(path),
                None if tiers is None else ctypes.byref(tiers.struct))


class Cache(Handle):
    """keys: "hashed" or "dense" (row numbers below capacity). default_row: what missing rows read as (else zeros).
    rows: how rows are kept; they go in and out as float32. tiers: limits, and a tier below."""

    _destroy = "gyr_cache_destroy"

    def __init__(self, dim: int, keys: str = "hashed", capacity: int = 0, default_row: Any = None,
                 runtime: Runtime | None = None, rows: str = "float32", tiers: Tiers | None = None):
        row = None if default_row is None else numbers(default_row, np.float32)
        if row is not None and row.shape != (dim,):
            raise ValueError(f"default_row: expected shape ({dim},), got {row.shape}")
        miss = raw.GYR_CACHE_MISS_ZERO if row is None else raw.GYR_CACHE_MISS_DEFAULT
        options = struct(raw.gyr_cache_options, dim=dim, keys=KEYS[keys], miss=miss, capacity=capacity, rows=ROWS[rows],
                         default_row=None if row is None else address(row),
                         tiers=None if tiers is None else ctypes.pointer(tiers.struct))
        self._own(make(lib.gyr_cache_create, runtime_handle(runtime), ctypes.byref(options)))
        self.dim = dim

    @classmethod
    def open(cls, path: str | os.PathLike[str], tiers: Tiers | None = None, runtime: Runtime | None = None) -> Cache:
        cache = cls._adopt(make_open(path, tiers, runtime))
        cache.dim = cache.info()["dim"]
        return cache

    def save(self, path: str | os.PathLike[str]) -> None:
        call(lib.gyr_cache_save, self._handle, path_bytes(path))

    def apply(self, source: str, offset: int, keys: Any = (), rows: Any = None, removed: Any = ()) -> bool:
        """A numbered batch of changes; False when it was applied before."""
        ids, gone = numbers(keys, np.int64), numbers(removed, np.int64)
        data = numbers(np.zeros((0, self.dim)) if rows is None else rows, np.float32)
        if data.shape != (len(ids), self.dim):
            raise ValueError(f"rows: expected shape ({len(ids)}, {self.dim}), got {data.shape}")
        delta = struct(raw.gyr_cache_delta, source=source.encode(), offset=offset, keys=address(ids),
                       rows=address(data), n=len(ids), removed=address(gone), n_removed=len(gone))
        applied = ctypes.c_uint32()
        call(lib.gyr_cache_apply, self._handle, ctypes.byref(delta), ctypes.byref(applied))
        return bool(applied.value)

    def offset(self, source: str) -> int:
        """The last offset applied; an Error (GYR_E_NOT_FOUND) when there is none."""
        out = ctypes.c_uint64()
        call(lib.gyr_cache_get_offset, self._handle, source.encode(), ctypes.byref(out))
        return out.value

    def publish(self, aside: Cache) -> None:
        """Exchanges the contents of both at once."""
        call(lib.gyr_cache_publish, self._handle, aside._handle)

    def warm(self, keys: Any, task: Task | None = None) -> int:
        """Fetches rows from the tier, the first keys first, until the cache is full. Number of rows that came."""
        ids, loaded = numbers(keys, np.int64), ctypes.c_uint64()
        call(lib.gyr_cache_warm, self._handle, address(ids), len(ids), ctypes.byref(loaded), task_handle(task))
        return loaded.value

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
