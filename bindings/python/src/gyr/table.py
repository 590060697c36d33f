"""Feature table: key to typed features, newest event wins, TTL at read."""
from __future__ import annotations

import ctypes
import os
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from . import _arrow, _values
from ._lib import Error, Handle, address, call, lib, make, path_bytes, raw, struct
from ._values import Keys, Time, microseconds
from .runtime import Runtime, Task, as_dict, runtime_handle, task_handle
from .workflow import spec_bytes

PRESENT, NULL, MISSING = raw.GYR_VALUE_PRESENT, raw.GYR_VALUE_NULL, raw.GYR_VALUE_MISSING
EXPIRED, DEFAULT = raw.GYR_VALUE_EXPIRED, raw.GYR_VALUE_DEFAULT
DEADLINE, ERROR = raw.GYR_VALUE_DEADLINE, raw.GYR_VALUE_ERROR  # of caches over a tier

_DURABILITY = {"async": raw.GYR_DURABILITY_ASYNC, "sync": raw.GYR_DURABILITY_SYNC, "none": raw.GYR_DURABILITY_NONE}


class Rows(NamedTuple):
    """What get() returns: one row per key, null where a value is not present, and why, per column."""

    table: pa.Table
    status: dict[str, np.ndarray]


class UpsertStats(NamedTuple):
    rows: int
    applied: int
    stale: int
    late: int = 0  # into the history only


def _kind(arrow: pa.DataType) -> tuple[str, pa.DataType, bool]:
    """(gyr dtype name, Arrow type of an element, is it a list)."""
    is_list = pa.types.is_list(arrow) or pa.types.is_large_list(arrow)
    element = arrow.value_type if is_list else arrow
    if pa.types.is_string(element) or pa.types.is_large_string(element):
        return "string", element, is_list
    if pa.types.is_timestamp(element):
        return "timestamp", element, is_list
    return {"float": "float32", "double": "float64"}.get(str(element), str(element)), element, is_list


class _Destination:
    """Caller memory for one column of a get."""

    def __init__(self, field: pa.Field, keys: int, elements: int, heap: int):
        self.dtype, self.element, self.is_list = _kind(field.type)
        self.type = field.type
        memory = {"string": "V16", "timestamp": "int64", "bool": "uint8"}.get(self.dtype, self.dtype)
        self.values = np.zeros(elements if self.is_list else keys, memory)
        self.offsets = np.zeros(keys + 1, np.int64)
        self.status = np.zeros(keys, np.uint8)
        self.element_valid = np.zeros(len(self.values) if self.is_list else 0, np.uint8)
        self.heap = np.zeros(heap if self.dtype == "string" else 1, np.uint8)
        self.argument = struct(
            raw.gyr_table_column, dtype=_values.DTYPES[self.dtype], name=field.name.encode(),
            values=address(self.values), values_capacity=len(self.values), status=address(self.status),
            offsets=address(self.offsets) if self.is_list else None, heap=address(self.heap),
            heap_capacity=len(self.heap), element_valid=address(self.element_valid) if self.is_list else None)

    def _elements(self, count: int, mask: np.ndarray | None) -> pa.Array:
        if self.dtype == "string":  # the library wrote (address, length) pairs that point into our heap
            pairs = self.values[:count].view(np.uint64).reshape(count, 2).tolist()
            start, heap = address(self.heap), memoryview(self.heap)
            texts = [bytes(heap[at - start:at - start + size]).decode() if size else "" for at, size in pairs]
            return pa.array(texts, self.element, mask=mask)
        values = self.values[:count]
        if self.dtype == "timestamp":
            values = values.view("datetime64[us]")
        return pa.array(values.astype(bool) if self.dtype == "bool" else values, self.element, mask=mask)

    def array(self) -> pa.Array:
        absent = (self.status != PRESENT) & (self.status != DEFAULT)
        if not self.is_list:
            return self._elements(len(self.values), absent)
        count = int(self.offsets[-1])
        values = self._elements(count, self.element_valid[:count] == 0)
        kind = pa.LargeListArray if pa.types.is_large_list(self.type) else pa.ListArray
        offsets = pa.array(self.offsets, pa.int64() if kind is pa.LargeListArray else pa.int32())
        return kind.from_arrays(offsets, values, mask=pa.array(absent))


def _grow_until_they_fit(keys: int, fields: list[pa.Field], read: Any) -> list[_Destination]:
    """Destinations that `read` filled; lists and strings get more room as long as that is what is missing."""
    elements, heap = max(64, 16 * keys), max(1024, 64 * keys)
    while True:
        destinations = [_Destination(field, keys, elements, heap) for field in fields]
        try:
            read(destinations)
            return destinations
        except Error as error:
            if error.code != raw.GYR_E_RESOURCE_EXHAUSTED or heap > 1 << 31:
                raise
            elements, heap = elements * 4, heap * 4


class Table(Handle):
    """A schema (docs/table.md) as a dict or JSON text."""

    _destroy = "gyr_table_destroy"
    _arrow_schema: pa.Schema | None = None

    def __init__(self, schema: dict[str, Any] | str, runtime: Runtime | None = None):
        self._own(make(lib.gyr_table_create, runtime_handle(runtime), spec_bytes(schema)))

    @classmethod
    def open(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> Table:
        return cls._adopt(make(lib.gyr_table_open, runtime_handle(runtime), path_bytes(path)))

    @classmethod
    def open_live(cls, folder: str | os.PathLike[str], schema: dict[str, Any] | str | None = None,
                  durability: str = "async", flush_interval_us: int = 0, segment_bytes: int = 0, queue_bytes: int = 0,
                  runtime: Runtime | None = None, task: Task | None = None) -> Table:
        """The table that lives in a folder; made there when a schema is given and there is none. `durability` is
        "async", "sync" or "none" (docs/table.md)."""
        if durability not in _DURABILITY:
            raise ValueError(f"durability is {durability!r}; expected one of {sorted(_DURABILITY)}")
        options = struct(raw.gyr_table_log_options, durability=_DURABILITY[durability],
                         flush_interval_us=flush_interval_us, segment_bytes=segment_bytes, queue_bytes=queue_bytes)
        return cls._adopt(make(lib.gyr_table_open_live, runtime_handle(runtime), path_bytes(folder),
                               None if schema is None else spec_bytes(schema), ctypes.byref(options),
                               task_handle(task)))

    def checkpoint(self, task: Task | None = None) -> None:
        """Saves a snapshot of a table in a folder and removes the log before it."""
        call(lib.gyr_table_checkpoint, self._handle, task_handle(task))

    def flush(self) -> None:
        """Returns when every change made before is on disk."""
        call(lib.gyr_table_flush, self._handle)

    def log_info(self) -> dict[str, int]:
        """last_lsn, durable_lsn, snapshot_lsn, bytes, files, failed, durability."""
        info = struct(raw.gyr_table_log_info)
        call(lib.gyr_table_get_log_info, self._handle, ctypes.byref(info))
        return as_dict(info)

    def save(self, path: str | os.PathLike[str]) -> None:
        call(lib.gyr_table_save, self._handle, path_bytes(path))

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of export(): key, event time, columns."""
        if self._arrow_schema is None:
            self._arrow_schema = self.export().schema
        return self._arrow_schema

    def upsert(self, data: Any, task: Task | None = None) -> UpsertStats:
        """Rows with the key, the event time and any of the columns; absent columns keep their values."""
        stream, stats = _arrow.Stream(data), struct(raw.gyr_upsert_stats)
        call(lib.gyr_table_upsert, self._handle, stream.argument, ctypes.byref(stats), task_handle(task))
        return UpsertStats(stats.rows, stats.applied, stats.stale, stats.late)

    def upsert_row(self, key: int | str, event_time: Time = 0, /, **columns: Any) -> bool:
        """One live event. False when the stored row is newer."""
        keys, keep, applied = Keys(key), [], ctypes.c_uint32()
        names = (ctypes.c_char_p * max(1, len(columns)))(*[name.encode() for name in columns])
        values = (raw.gyr_value * max(1, len(columns)))()
        for value, (name, given) in zip(values, columns.items()):
            _values.fill_value(value, given, keep, self._dtype(name))
        call(lib.gyr_table_upsert_row, self._handle, ctypes.byref(keys.argument), microseconds(event_time), names,
             values, len(columns), ctypes.byref(applied))
        return bool(applied.value)

    def _dtype(self, name: str) -> str | None:
        """The column's dtype name; None for an unknown column, which the library reports."""
        position = self.schema.get_field_index(name)
        return _kind(self.schema.field(position).type)[0] if position >= 0 else None

    def get(self, keys: Any, columns: list[str] | None = None, now: Time | None = None) -> Rows:
        """One row per key. `now` is the read time (None = the clock, gyr.ALWAYS = no TTL and future checks)."""
        time = 0 if now is None else microseconds(now)
        return self._read(keys, columns, lambda wanted, arguments, count: call(
            lib.gyr_table_get, self._handle, ctypes.byref(wanted.argument), time, arguments, count))

    def get_as_of(self, keys: Any, times: Any, columns: list[str] | None = None, *,
                  unknown_too: bool = False) -> Rows:
        """One row per key as it was at its time, from the history. `times`: one per key, or one for all.
        `unknown_too`: also what became known only later."""
        count, flags = Keys(keys).count, raw.GYR_AS_OF_UNKNOWN_TOO if unknown_too else 0
        if isinstance(times, Time):
            times = [times] * count
        at = np.array([microseconds(time) for time in times], np.int64)
        if len(at) != count:
            raise ValueError(f"{len(at)} times for {count} keys")
        return self._read(keys, columns, lambda wanted, arguments, count: call(
            lib.gyr_table_get_as_of, self._handle, ctypes.byref(wanted.argument), address(at), flags, arguments, count))

    def join_as_of(self, labels: Any, columns: list[str] | None = None, *, key: str | None = None,
                   time: str | None = None, prefix: str = "", unknown_too: bool = False) -> pa.RecordBatchReader:
        """The labels' columns and this table's as they were at each label's time: training data without leaks."""
        stream, out = _arrow.Stream(labels), raw.ArrowArrayStream()
        names = None if columns is None else (ctypes.c_char_p * max(1, len(columns)))(*[c.encode() for c in columns])
        options = struct(
            raw.gyr_as_of_options, flags=raw.GYR_AS_OF_UNKNOWN_TOO if unknown_too else 0,
            key=key.encode() if key else None, time=time.encode() if time else None,
            columns=None if names is None else ctypes.cast(names, ctypes.c_void_p), n_columns=len(columns or ()), prefix=prefix.encode())
        call(lib.gyr_table_export_as_of, self._handle, stream.argument, ctypes.byref(options), ctypes.byref(out))
        return _arrow.reader(out)

    def _read(self, keys: Any, columns: list[str] | None, get: Any) -> Rows:
        wanted, schema = Keys(keys), self.schema
        if columns is None:
            columns = schema.names[-self.info()["columns"]:] if self.info()["columns"] else []
        fields = []
        for name in columns:
            position = schema.get_field_index(name)
            fields.append(schema.field(position) if position >= 0 else pa.field(name, pa.int64()))

        def read(destinations: list[_Destination]) -> None:
            arguments = (raw.gyr_table_column * max(1, len(fields)))(*[each.argument for each in destinations])
            get(wanted, arguments, len(fields))
        destinations = _grow_until_they_fit(wanted.count, fields, read)
        arrays = [destination.array() for destination in destinations]
        return Rows(pa.Table.from_arrays(arrays, names=list(columns)),
                    {name: each.status for name, each in zip(columns, destinations)})

    def delete(self, keys: Any) -> int:
        """Number of rows that existed."""
        which, deleted = Keys(keys), ctypes.c_uint64()
        call(lib.gyr_table_delete, self._handle, ctypes.byref(which.argument), ctypes.byref(deleted))
        return deleted.value

    def sweep(self, now: Time | None = None, step: int = 65536) -> int:
        """Removes rows that have expired, `step` rows at a time; how many went."""
        cursor, removed, total = ctypes.c_uint64(), ctypes.c_uint64(), 0
        while cursor.value != 2**64 - 1:
            call(lib.gyr_table_sweep, self._handle, 0 if now is None else microseconds(now), step, ctypes.byref(cursor),
                 ctypes.byref(removed))
            total += removed.value
        return total

    @staticmethod
    def estimate(schema: dict[str, Any] | str, rows: int, variable_bytes: int = 0, versions: int = 0) -> int:
        """About how many bytes so many rows will take: each with `variable_bytes` of strings, list elements and string
        key, and `versions` in the history."""
        out = ctypes.c_uint64()
        call(lib.gyr_table_estimate, spec_bytes(schema), rows, variable_bytes, versions, ctypes.byref(out))
        return out.value

    def export(self) -> pa.RecordBatchReader:
        """All rows, in key-hash order."""
        out = raw.ArrowArrayStream()
        call(lib.gyr_table_export, self._handle, ctypes.byref(out))
        return _arrow.reader(out)

    def info(self) -> dict[str, int]:
        out = struct(raw.gyr_table_info)
        call(lib.gyr_table_get_info, self._handle, ctypes.byref(out))
        return as_dict(out)

    def __len__(self) -> int:
        return self.info()["rows"]


class GetPlan(Handle):
    """Columns of several tables, read in one call. `columns`: name in the result -> (table number, column) or (table
    number, column, default), the default a number."""

    _destroy = "gyr_get_plan_destroy"

    def __init__(self, tables: list[Table], columns: dict[str, tuple]):
        self._names, self._fields = list(columns), []
        wanted = (raw.gyr_get_column * max(1, len(columns)))()
        defaults, keep = (raw.gyr_value * max(1, len(columns)))(), []
        for out, default, (number, name, *rest) in zip(wanted, defaults, columns.values()):
            out.struct_size, out.table, out.name = ctypes.sizeof(out), number, name.encode()
            if rest:
                _values.fill_value(default, rest[0], keep, None)
                out.default_value = ctypes.pointer(default)
            schema = tables[number].schema if 0 <= number < len(tables) else pa.schema([])
            position = schema.get_field_index(name)
            self._fields.append(schema.field(position) if position >= 0 else pa.field(name, pa.int64()))
        handles = (ctypes.c_void_p * max(1, len(tables)))(*[table._handle.value for table in tables])
        self._own(make(lib.gyr_get_plan_create, handles, len(tables), wanted, len(columns)))

    def get(self, *keys: Any, now: Time | None = None) -> Rows:
        """One row per key; `keys`: those of each table."""
        given = [Keys(each) for each in keys]
        arguments = (raw.gyr_keys * max(1, len(given)))(*[each.argument for each in given])
        count = given[0].count if given else 0

        def read(destinations: list[_Destination]) -> None:
            to = (raw.gyr_get_destination * max(1, len(destinations)))()
            for out, each in zip(to, destinations):
                out.struct_size = ctypes.sizeof(out)
                for name in ("values", "values_capacity", "offsets", "status", "heap", "heap_capacity", "element_valid"):
                    setattr(out, name, getattr(each.argument, name))
            call(lib.gyr_get_plan_run, self._handle, arguments, len(given), 0 if now is None else microseconds(now), to,
                 len(destinations))
        destinations = _grow_until_they_fit(count, self._fields, read)
        return Rows(pa.Table.from_arrays([each.array() for each in destinations], names=self._names),
                    {name: each.status for name, each in zip(self._names, destinations)})
