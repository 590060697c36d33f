"""Feature engineering: fit on tables, transform tables or single rows with the same code."""
from __future__ import annotations

import ctypes
import json
import os
from typing import Any, Callable

import pyarrow as pa

from . import _arrow, _values
from ._lib import Error, Handle, call, lib, make, path_bytes, raw, text
from .runtime import Runtime, Task, runtime_handle, task_handle


def spec_bytes(spec: Any) -> bytes:
    """JSON text of a spec given as text or as Python data."""
    return (spec if isinstance(spec, str) else json.dumps(spec)).encode()


class Workflow(Handle):
    """A graph (docs/workflow.md) as a dict or JSON text."""

    _destroy = "gyr_workflow_destroy"
    _row: tuple[list[dict[str, Any]], list[str]] | None = None

    def __init__(self, graph: dict[str, Any] | str, runtime: Runtime | None = None):
        self._own(make(lib.gyr_workflow_create, runtime_handle(runtime), spec_bytes(graph)))

    @classmethod
    def open(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> Workflow:
        return cls._adopt(make(lib.gyr_workflow_open, runtime_handle(runtime), path_bytes(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        call(lib.gyr_workflow_save, self._handle, path_bytes(path))

    @property
    def passes_left(self) -> int:
        """Passes over the training data still needed; 0 = fitted."""
        return lib.gyr_workflow_fit_passes_left(self._handle)

    def fit(self, data: Any | Callable[[], Any], task: Task | None = None) -> Workflow:
        """Runs all passes. `data` is a table, or a function that gives a fresh one for each pass."""
        source = data if callable(data) else _arrow.rereadable(data) if self.passes_left > 1 else data
        while self.passes_left:
            self.fit_partial(source() if callable(source) else source, task)
            self.fit_finish()
        return self

    def fit_partial(self, data: Any, task: Task | None = None) -> None:
        """Adds rows to the current pass."""
        stream = _arrow.Stream(data)
        call(lib.gyr_workflow_fit_partial, self._handle, stream.argument, task_handle(task))

    def merge(self, other: Workflow) -> None:
        """Adds the statistics another workflow of the same graph gathered in the same pass."""
        call(lib.gyr_workflow_merge, self._handle, other._handle)

    def fit_finish(self) -> None:
        """Ends the current pass."""
        call(lib.gyr_workflow_fit_finish, self._handle)

    def transform_stream(self, data: Any) -> pa.RecordBatchReader:
        """Lazy: each batch is computed when it is pulled."""
        stream, out = _arrow.Stream(data), raw.ArrowArrayStream()
        call(lib.gyr_workflow_transform, self._handle, stream.argument, ctypes.byref(out))
        return _arrow.reader(out)

    def transform(self, data: Any) -> pa.Table:
        return self.transform_stream(data).read_all()

    def fit_transform(self, data: Any, task: Task | None = None) -> pa.Table:
        source = data if callable(data) else _arrow.rereadable(data)
        return self.fit(source, task).transform(source() if callable(source) else source)

    def transform_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """One row through the same code; inputs that the row lacks are null. Fails with GYR_E_NOT_FOUND when a
        filter removed the row."""
        if self._row is None:
            schema = self.schema
            self._row = schema["inputs"], [column["name"] for column in schema["columns"]]
        (inputs, outputs), keep = self._row, []
        values, results = (raw.gyr_value * max(1, len(inputs)))(), (raw.gyr_value * max(1, len(outputs)))()
        for value, column in zip(values, inputs):
            _values.fill_value(value, row.get(column["name"]), keep, column["dtype"])
        size = 4096
        while True:
            scratch = (ctypes.c_uint64 * (size // 8))()
            try:
                call(lib.gyr_workflow_transform_row, self._handle, values, len(inputs), results, len(outputs), scratch,
                     size)
                return {name: _values.read_value(value) for name, value in zip(outputs, results)}
            except Error as error:
                if error.code != raw.GYR_E_RESOURCE_EXHAUSTED or size > 1 << 28:
                    raise
                size *= 8

    @property
    def schema(self) -> dict[str, Any]:
        """{"columns": [{"name", "dtype", "list", "tags", "cardinality", ...}], "inputs": [...]}."""
        return json.loads(self.schema_json)

    @property
    def schema_json(self) -> str:
        return text(lib.gyr_workflow_schema, self._handle)

    def decode(self, column: str, code: int) -> Any:
        """Original value of a Categorify code; None for pad, null and out-of-vocabulary codes."""
        value = raw.gyr_value()
        call(lib.gyr_workflow_decode, self._handle, column.encode(), int(code), ctypes.byref(value))
        return _values.read_value(value)
