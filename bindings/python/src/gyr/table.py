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
        return _kind(self.schema.field(position).type)[0] if position >= 0 else None

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
