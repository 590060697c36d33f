"""Nearest-neighbour search. Higher scores are better; ties go to the smaller id."""
from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np

from ._arrow import Stream, dltensor
from ._lib import Handle, address, call, lib, make, path_bytes, raw, struct
from ._values import Time, microseconds, numbers, ragged, strings
from .runtime import Runtime, Task, as_dict, runtime_handle, task_handle
from .table import Table

METRICS = {"ip": raw.GYR_METRIC_IP, "cosine": raw.GYR_METRIC_COSINE, "l2": raw.GYR_METRIC_L2}
KINDS = {"exact": raw.GYR_INDEX_EXACT, "graph": raw.GYR_INDEX_GRAPH, "ivf": raw.GYR_INDEX_IVF}
STORED = {"fp32": raw.GYR_STORED_FP32, "fp16": raw.GYR_STORED_FP16, "bf16": raw.GYR_STORED_BF16,
          "int16": raw.GYR_STORED_INT16, "int8": raw.GYR_STORED_INT8}


def _options(dim: int, metric: str, kind: str, degree: int, build_effort: int, seed: int, reserve: int, stored: str,
             lists: int):
    return struct(raw.gyr_index_options, dim=dim, metric=METRICS[metric], kind=KINDS[kind], degree=degree,
                  build_effort=build_effort, seed=seed, reserve=reserve, stored=STORED[stored], lists=lists)


class Index(Handle):
    """metric: "ip", "cosine" or "l2" (score = minus squared distance). kind: "graph", "ivf" or "exact". stored: the precision
    of the vectors, "fp32", "fp16", "bf16", "int16" or "int8"; docs/index.md has what each costs."""

    _destroy = "gyr_index_destroy"

    def __init__(self, dim: int, metric: str = "ip", kind: str = "graph", degree: int = 0, build_effort: int = 0,
                 seed: int = 0, reserve: int = 0, stored: str = "fp32", lists: int = 0,
                 runtime: Runtime | None = None):
        options = _options(dim, metric, kind, degree, build_effort, seed, reserve, stored, lists)
        self._own(make(lib.gyr_index_create, runtime_handle(runtime), ctypes.byref(options)))

    @staticmethod
    def estimate(n: int, dim: int, metric: str = "ip", kind: str = "graph", degree: int = 0, build_effort: int = 0,
                 reserve: int = 0, stored: str = "fp32", lists: int = 0,
                 threads: int = 1) -> tuple[int, int]:
        """(bytes that n vectors will take, highest memory while they are inserted)."""
        options = _options(dim, metric, kind, degree, build_effort, 0, reserve, stored, lists)
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

    def upsert_arrow(self, data: Any, id_column: str = "id", vector_column: str = "vector",
                     task: Task | None = None) -> None:
        """From anything tabular, a chunk at a time: an int64 column and one of fixed-size lists of float32 or
        float16. An id that comes again replaces what came before."""
        call(lib.gyr_index_upsert_arrow, self._handle, Stream(data).argument, id_column.encode(),
             vector_column.encode(), task_handle(task))

    def upsert_tensor(self, ids: Any, tensor: Any, task: Task | None = None) -> None:
        """From anything with __dlpack__ in CPU memory: float32, float16, bfloat16, int8 or uint8, [n, dim]."""
        labels, capsule = numbers(ids, np.int64), tensor.__dlpack__()
        call(lib.gyr_index_upsert_dlpack, self._handle, address(labels), dltensor(capsule), len(labels),
             task_handle(task))

    def upsert_file(self, path: str | os.PathLike[str], ids: Any = None, first_id: int = 0,
                    task: Task | None = None) -> None:
        """From a .npy, .fvecs or .bvecs file; without ids its rows are numbered from first_id on."""
        labels = None if ids is None else numbers(ids, np.int64)
        call(lib.gyr_index_upsert_file, self._handle, path_bytes(path), None if labels is None else
             address(labels) or ctypes.addressof(_NOTHING), 0 if labels is None else len(labels), first_id,
             task_handle(task))

    def delete(self, ids: Any) -> int:
        """Number of ids that existed."""
        labels, deleted = numbers(ids, np.int64), ctypes.c_uint64()
        call(lib.gyr_index_delete, self._handle, address(labels), len(labels), ctypes.byref(deleted))
        return deleted.value

    def compact(self, task: Task | None = None) -> None:
        """Finds a graph's links anew and gives memory of deleted vectors back; searches and changes go on meanwhile."""
        call(lib.gyr_index_compact, self._handle, task_handle(task))

    def slots(self, ids: Any) -> np.ndarray:
        """Positions in filter bitmaps, -1 for unknown ids."""
        labels = numbers(ids, np.int64)
        slots = np.zeros(len(labels), np.int64)
        call(lib.gyr_index_slots, self._handle, address(labels), len(labels), address(slots))
        return slots

    def filter(self, allowed_ids: Any) -> np.ndarray:
        """Bitmap that allows these ids only; reusable until ids are deleted. select() makes what outlives deletes."""
        bits = np.zeros((self.info()["slots"] + 63) // 64 * 64, np.uint8)
        slots = self.slots(allowed_ids)
        bits[slots[(slots >= 0) & (slots < len(bits))]] = 1
        return np.packbits(bits, bitorder="little").view(np.uint64)

    def select(self, ids: Any = None, table: Table | None = None, condition: str | None = None, keys: Any = None,
               now: Time | None = None, task: Task | None = None) -> Selection:
        """Prepares a filter for many searches: these ids (None: all), and those whose row in the table meets the
        condition. keys: for tables with string keys, the key of id 0, 1, ... now: read time of the table, None: the wall
        clock."""
        return Selection(self, ids, table, condition, keys, now, task)

    def search(self, queries: Any, k: int, effort: int = 0, exact: bool = False, allowed_ids: Any = None,
               filter: np.ndarray | Selection | None = None,
               task: Task | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(ids [n, k], scores [n, k]); id -1 and score NaN where fewer than k exist. allowed_ids: ids for all queries,
        or a list of lists (or a pair of values and offsets), one per query. filter: of select() or filter()."""
        data = self._vectors(queries)
        n = len(data)
        prepared = filter if isinstance(filter, Selection) else None
        bitmap = None if filter is None or prepared else numbers(filter, np.uint64)
        allowed, offsets = _allowed(allowed_ids, n)
        ids, scores, counts = np.full((n, k), -1, np.int64), np.zeros((n, k), np.float32), np.zeros(n, np.uint32)
        args = struct(raw.gyr_search_args, k=k, queries=address(data), n=n, effort=effort, exact=int(exact),
                      filter=_there(bitmap), filter_bits=0 if bitmap is None else bitmap.size * 64,
                      out_ids=address(ids), out_scores=address(scores), out_counts=address(counts),
                      selection=prepared._handle if prepared else None, allowed_ids=_there(allowed),
                      n_allowed_ids=0 if allowed is None else allowed.size, allowed_offsets=_there(offsets))
        call(lib.gyr_index_search, self._handle, ctypes.byref(args), task_handle(task))
        absent = np.arange(k) >= counts[:, None]
        ids[absent], scores[absent] = -1, np.nan
        return ids, scores

    def _trial(self, k: int, queries: Any, n: int, filter: Selection | None) -> tuple[Any, Any]:
        data = None if queries is None else self._vectors(queries)
        return struct(raw.gyr_evaluate_args, k=k, queries=_there(data), n=n if data is None else len(data),
                      selection=filter._handle if filter else None), data

    def evaluate(self, queries: Any = None, k: int = 10, efforts: Any = (0,), n: int = 0,
                 filter: Selection | None = None, task: Task | None = None) -> dict[str, np.ndarray]:
        """Recall, seconds and what was read per query, an entry per effort (0: what searches take that name none), held
        against exact search. queries None: n of the index's own vectors, each searched without itself."""
        args, _data = self._trial(k, queries, n, filter)
        tried = numbers(np.atleast_1d(np.asarray(efforts)), np.uint32)
        out = (raw.gyr_search_quality * max(1, tried.size))()
        out[0].struct_size = ctypes.sizeof(raw.gyr_search_quality)
        call(lib.gyr_index_evaluate, self._handle, ctypes.byref(args), _there(tried), tried.size, out,
             task_handle(task))
        rows = [as_dict(each) for each in out[: tried.size]]
        return {name: np.array([row[name] for row in rows]) for name, _ in raw.gyr_search_quality._fields_[1:]}

    def tune(self, recall: float = 0.95, queries: Any = None, k: int = 10, n: int = 0, keep: bool = True,
             filter: Selection | None = None, task: Task | None = None) -> dict[str, Any]:
        """The smallest effort that reaches the recall, about, with what it gives; keep: searches that name no effort
        take it from now on, also after save and open. Tune again once a good part of the items has been replaced."""
        args, _data = self._trial(k, queries, n, filter)
        out = struct(raw.gyr_search_quality)
        call(lib.gyr_index_tune, self._handle, ctypes.byref(args), float(recall), int(keep), ctypes.byref(out),
             task_handle(task))
        return as_dict(out)


class Selection(Handle):
    """A filter prepared by Index.select(); searches of any thread take it. What is deleted leaves it; what comes later
    is let through after refresh()."""

    _destroy = "gyr_index_filter_destroy"

    def __init__(self, index: Index, ids: Any = None, table: Table | None = None, condition: str | None = None,
                 keys: Any = None, now: Time | None = None, task: Task | None = None):
        wanted = None if ids is None else numbers(ids, np.int64)
        names, _heap = (None, None) if keys is None else strings(keys)
        options = struct(raw.gyr_index_filter_options, ids=_there(wanted), n_ids=0 if wanted is None else wanted.size,
                         table=table._handle if table else None,
                         condition=None if condition is None else condition.encode(), keys=names,
                         n_keys=0 if keys is None else len(keys), now_us=0 if now is None else microseconds(now))
        self._own(make(lib.gyr_index_filter_create, index._handle, ctypes.byref(options), task_handle(task)))

    def refresh(self, task: Task | None = None) -> None:
        call(lib.gyr_index_filter_refresh, self._handle, task_handle(task))

    def info(self) -> dict[str, int]:
        """count: vectors let through; changes: ids that came or went since; bytes."""
        out = struct(raw.gyr_index_filter_info)
        call(lib.gyr_index_filter_get_info, self._handle, ctypes.byref(out))
        return as_dict(out)

    def __len__(self) -> int:
        return self.info()["count"]

    def __bool__(self) -> bool:
        return True


def _allowed(ids: Any, n: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Values and offsets; no offsets when all queries share the ids."""
    if ids is None:
        return None, None
    each = isinstance(ids, tuple) and len(ids) == 2 and all(isinstance(part, np.ndarray) for part in ids)
    if not each and (isinstance(ids, np.ndarray) or not len(ids) or not hasattr(ids[0], "__len__")):
        return numbers(ids, np.int64), None
    values, offsets = ragged(ids)
    if len(offsets) != n + 1:
        raise ValueError(f"allowed_ids: expected a list per query, {n}, got {len(offsets) - 1}")
    return values, offsets


def _there(array: np.ndarray | None) -> int | None:
    """An address also of an empty array, as NULL would mean that nothing is asked for."""
    return None if array is None else address(array) or ctypes.addressof(_NOTHING)


_NOTHING = ctypes.c_uint64()
