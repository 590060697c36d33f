"""Training and inference."""
from __future__ import annotations

import ctypes
import json
import os
from typing import Any

import numpy as np

from . import _arrow
from ._lib import Handle, address, call, lib, make, path_bytes, raw, text
from ._values import ragged
from .runtime import Runtime, Task, runtime_handle, task_handle
from .workflow import Workflow, spec_bytes

SIDES = {"user": raw.GYR_SIDE_USER, "item": raw.GYR_SIDE_ITEM}


class Model(Handle):
    """An immutable model, usable from any number of threads. Made by Trainer.export() or Model.open()."""

    _destroy = "gyr_model_destroy"

    def __init__(self) -> None:
        raise TypeError("models come from Trainer.export(), Model.open() or Bundle.model()")

    @classmethod
    def open(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> Model:
        return cls._adopt(make(lib.gyr_model_open, runtime_handle(runtime), path_bytes(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        call(lib.gyr_model_save, self._handle, path_bytes(path))

    def describe(self) -> dict[str, Any]:
        """Kind, inputs per side, dim, parameters, ..."""
        return json.loads(text(lib.gyr_model_describe, self._handle))

    def encode(self, side: str, data: Any) -> np.ndarray:
        """Embeddings [rows, dim] of users or items; `side` is "user" or "item"."""
        table, rows = _arrow.table(data), ctypes.c_uint64()
        out = np.zeros((table.num_rows, self.describe().get("dim", 0)), np.float32)
        call(lib.gyr_model_encode, self._handle, SIDES[side], _arrow.Stream(table).argument, address(out), len(out),
             ctypes.byref(rows))
        return out[:rows.value]

    def predict(self, data: Any) -> np.ndarray:
        """One score per row of user and item features."""
        table, rows = _arrow.table(data), ctypes.c_uint64()
        out = np.zeros(table.num_rows, np.float32)
        call(lib.gyr_model_predict, self._handle, _arrow.Stream(table).argument, address(out), len(out),
             ctypes.byref(rows))
        return out[:rows.value]

    def recommend(self, histories: Any, k: int, exclude: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(item codes [n, k], scores [n, k]); code 0 and score NaN where fewer exist. Histories and exclude are lists
        of code lists or (values, offsets) arrays; without exclude the history itself is left out."""
        items, offsets = ragged(histories)
        left_out = ragged(exclude) if exclude is not None else None
        n = len(offsets) - 1
        if left_out and len(left_out[1]) != n + 1:
            raise ValueError(f"exclude: expected {n} lists, got {len(left_out[1]) - 1}")
        out, scores = np.zeros((n, k), np.int64), np.zeros((n, k), np.float32)
        call(lib.gyr_model_recommend, self._handle, address(items), address(offsets), n, k,
             address(left_out[0]) if left_out else None, address(left_out[1]) if left_out else None, address(out),
             address(scores))
        return out, scores


class Trainer(Handle):
    """spec: docs/model.md, dict or JSON text. schema: a Workflow, its schema dict, or JSON text."""

    _destroy = "gyr_trainer_destroy"

    def __init__(self, spec: dict[str, Any] | str, schema: Workflow | dict[str, Any] | str,
                 runtime: Runtime | None = None):
        known = schema.schema_json if isinstance(schema, Workflow) else schema
        self._own(make(lib.gyr_trainer_create, runtime_handle(runtime), spec_bytes(spec), spec_bytes(known)))

    def add_items(self, data: Any, task: Task | None = None) -> None:
        """The item catalogue: one row per item with the item-side features."""
        stream = _arrow.Stream(data)
        call(lib.gyr_trainer_add_items, self._handle, stream.argument, task_handle(task))

    def fit(self, data: Any, task: Task | None = None) -> Trainer:
        """Trains for the spec's epochs; again continues. Poll task.progress() from another thread."""
        stream = _arrow.Stream(data)
        call(lib.gyr_trainer_fit, self._handle, stream.argument, task_handle(task))
        return self

    @property
    def history(self) -> list[dict[str, Any]]:
        """[{"epoch", "loss", "seconds"}, ...]"""
        return json.loads(text(lib.gyr_trainer_history, self._handle))

    def export(self) -> Model:
        return Model._adopt(make(lib.gyr_trainer_export, self._handle))
