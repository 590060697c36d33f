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


class Rows(NamedTuple):
    """What get() returns: one row per key, null where a value is not present, and why, per column."""

    table: pa.Table
    status: dict[str, np.ndarray]


class UpsertStats(NamedTuple):
    rows: int
    applied: int
    stale: int


class _Destination:
    """Caller memory for one column of a get."""

    def __init__(self, field: pa.Field, keys: int, elements: int, heap: int):
        self.field, self.is_list = field, pa.types.is_list(field.type)
        element = field.type.value_type if self.is_list else field.type
        self.element = element
        self.is_string = pa.types.is_string(element) or pa.types.is_large_string(element)
        is_time = pa.types.is_timestamp(element)
        name = "string" if self.is_string else "timestamp" if is_time else _gyr_name(element)
        kind = np.dtype("V16") if self.is_string else np.dtype(
            np.int64 if is_time else np.uint8 if name == "bool" else name)
        self.values = np.zeros(elements if self.is_list else keys, kind)
        self.offsets = np.zeros(keys + 1, np.int64)
        self.status = np.zeros(keys, np.uint8)
        self.heap = np.zeros(heap if self.is_string else 1, np.uint8)
        self.name = field.name.encode()
        self.argument = struct(
            raw.gyr_table_column, dtype=_values.DTYPES[name], name=self.name, values=address(self.values),
            values_capacity=len(self.values), offsets=address(self.offsets) if self.is_list else None,
            status=address(self.status), heap=address(self.heap) if self.is_string else None,
            heap_capacity=len(self.heap) if self.is_string else 0)

    def _elements(self, mask: np.ndarray | None, count: int) -> pa.Array:
        if self.is_string:
            # The library wrote (address, length) pairs that point into our heap.
            pairs = self.values[:count].view(np.uint64).reshape(count, 2)
            start = (pairs[:, 0] - np.uint64(address(self.heap))).astype(np.int64)
            data = self.heap.tobytes()
            texts = [data[at:at + size].decode() if size else "" for at, size in zip(start, pairs[:, 1].astype(np.int64))]
            return pa.array(texts, pa.string(), mask=mask)
        values = self.values[:count]
        if pa.types.is_boolean(self.element):
            return pa.array(values.astype(bool), mask=mask)
        if pa.types.is_timestamp(self.element):
            return pa.array(values, pa.int64(), mask=mask).cast(pa.timestamp("us")).cast(self.element)
        return pa.array(values, self.element, mask=mask)

    def array(self) -> pa.Array:
        absent = (self.status != PRESENT) & (self.status != DEFAULT)
        if not self.is_list:
            return self._elements(absent, len(self.values))
        values = self._elements(None, int(self.offsets[-1]))
        return pa.ListArray.from_arrays(pa.array(self.offsets.astype(np.int32)), values, mask=pa.array(absent))


def _gyr_name(kind: pa.DataType) -> str:
    return {"float": "float32", "double": "float64"}.get(str(kind), str(kind))


class Table(Handle):
    """A schema (docs/table.md) as a dict or JSON text."""

    _destroy = "gyr_table_destroy"
    _arrow_schema: pa.Schema | None = None

    def __init__(self, schema: dict[str, Any] | str, runtime: Runtime | None = None):
        self._own(make(lib.gyr_table_create, runtime_handle(runtime), spec_bytes(schema)))

    @classmethod
    def open(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> Table:
        return cls._adopt(make(lib.gyr_table_open, runtime_handle(runtime), path_bytes(path)))

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
        return UpsertStats(stats.rows, stats.applied, stats.stale)

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
        if position < 0:
            return None
        kind = self.schema.field(position).type
        kind = kind.value_type if pa.types.is_list(kind) else kind
        return "timestamp" if pa.types.is_timestamp(kind) else _gyr_name(kind)

    def get(self, keys: Any, columns: list[str] | None = None, now: Time | None = None) -> Rows:
        """One row per key. `now` is the read time (None = the clock, gyr.ALWAYS = no TTL and future checks)."""
        wanted, schema = Keys(keys), self.schema
        if columns is None:
            columns = schema.names[1 if self._has_key_only() else 2:]
        fields = []
        for name in columns:
            position = schema.get_field_index(name)
            fields.append(schema.field(position) if position >= 0 else pa.field(name, pa.int64()))
        elements, heap = max(64, 16 * wanted.count), max(1024, 64 * wanted.count)
        while True:
            destinations = [_Destination(field, wanted.count, elements, heap) for field in fields]
            arguments = (raw.gyr_table_column * max(1, len(fields)))(*[each.argument for each in destinations])
            try:
                call(lib.gyr_table_get, self._handle, ctypes.byref(wanted.argument),
                     0 if now is None else microseconds(now), arguments, len(fields))
                break
            except Error as error:  # lists or strings need more room than guessed
                if error.code != raw.GYR_E_RESOURCE_EXHAUSTED or heap > 1 << 31:
                    raise
                elements, heap = elements * 4, heap * 4
        arrays = [destination.array() for destination in destinations]
        return Rows(pa.Table.from_arrays(arrays, names=list(columns)),
                    {name: each.status for name, each in zip(columns, destinations)})

    def _has_key_only(self) -> bool:
        return len(self.schema) == self.info()["columns"] + 1

    def delete(self, keys: Any) -> int:
        """Number of rows that existed."""
        which, deleted = Keys(keys), ctypes.c_uint64()
        call(lib.gyr_table_delete, self._handle, ctypes.byref(which.argument), ctypes.byref(deleted))
        return deleted.value

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
