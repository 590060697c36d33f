"""Tables in and out through the Arrow C stream interface."""
from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from . import _raw as raw

_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype, _get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def producer(data: Any) -> Any:
    """An object with __arrow_c_stream__ for any accepted kind of data: Arrow producers (pyarrow, polars, DuckDB
    relations, ...), pandas frames, pyarrow datasets, lists of dicts, dicts of lists or numpy arrays."""
    if type(data).__module__.partition(".")[0] == "pandas":
        return pa.Table.from_pandas(data, preserve_index=False)
    if hasattr(data, "__arrow_c_stream__"):
        return data
    if hasattr(data, "__arrow_c_array__"):
        return pa.Table.from_batches([pa.record_batch(data)])
    if hasattr(data, "scanner"):  # pyarrow.dataset.Dataset: larger than memory
        return data.scanner().to_reader()
    if isinstance(data, Mapping):
        return pa.table(dict(data))
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        return pa.Table.from_pylist([dict(row) for row in data])
    raise TypeError(f"{type(data).__name__} is not tabular data: expected an object with __arrow_c_stream__ or "
                    "__arrow_c_array__, a pandas frame, a list of dicts or a dict of columns")


class Stream:
    """An input stream. The library moves from it on success; what it did not take is released with the capsule."""

    def __init__(self, data: Any):
        capsule = producer(data).__arrow_c_stream__()
        pointer = _get_pointer(capsule, b"arrow_array_stream")
        self.argument = ctypes.cast(pointer, ctypes.POINTER(raw.ArrowArrayStream))
        self.argument.capsule = capsule  # lives as long as the argument, also when the Stream is a temporary


def dltensor(capsule: Any) -> int:
    """Address of the DLTensor that a capsule of __dlpack__() begins with; the capsule keeps it."""
    return _get_pointer(capsule, b"dltensor")


def table(data: Any) -> pa.Table:
    """All of the data in memory, so that it can be counted and read twice."""
    source = producer(data)
    return source if isinstance(source, pa.Table) else pa.RecordBatchReader.from_stream(source).read_all()


def rereadable(data: Any) -> Any:
    """The data as something that can be read once per pass: a one-shot reader is read into memory."""
    return data.read_all() if isinstance(data, pa.RecordBatchReader) else data


def reader(stream: raw.ArrowArrayStream) -> pa.RecordBatchReader:
    """Takes over a stream that the library filled."""
    return pa.RecordBatchReader._import_from_c(ctypes.addressof(stream))
