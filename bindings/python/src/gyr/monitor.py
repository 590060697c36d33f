"""Drift, delayed labels, windowed quality, the retrain signal."""
from __future__ import annotations

import json
import time as clock
from typing import Any

import numpy as np

from . import _arrow
from ._lib import Handle, address, call, lib, make, text
from ._values import Time, microseconds, numbers
from .runtime import Runtime, runtime_handle
from .workflow import spec_bytes


def _now(time: Time | None) -> int:
    return clock.time_ns() // 1000 if time is None else microseconds(time)


class Monitor(Handle):
    """options: docs/monitor.md, dict or JSON text. Times default to the clock."""

    _destroy = "gyr_monitor_destroy"

    def __init__(self, options: dict[str, Any] | str, runtime: Runtime | None = None):
        self._own(make(lib.gyr_monitor_create, runtime_handle(runtime), spec_bytes(options)))

    def set_baseline(self, data: Any) -> None:
        stream = _arrow.Stream(data)
        call(lib.gyr_monitor_set_baseline, self._handle, stream.argument)

    def observe(self, data: Any) -> None:
        stream = _arrow.Stream(data)
        call(lib.gyr_monitor_observe, self._handle, stream.argument)

    def served(self, request_id: int, items: Any, scores: Any, time: Time | None = None) -> None:
        ids, values = numbers(items, np.int64), numbers(scores, np.float32)
        if ids.ndim != 1 or ids.shape != values.shape:
            raise ValueError(f"items and scores: expected equal one-dimensional shapes, got {ids.shape}, {values.shape}")
        call(lib.gyr_monitor_served, self._handle, request_id, address(ids), address(values), len(ids), _now(time))

    def label(self, request_id: int, item: int, label: bool | int, time: Time | None = None) -> None:
        call(lib.gyr_monitor_label, self._handle, request_id, item, int(label), _now(time))

    def count(self, name: str, delta: int = 1) -> None:
        call(lib.gyr_monitor_count, self._handle, name.encode(), delta)

    def report(self, now: Time | None = None) -> dict[str, Any]:
        return json.loads(text(lib.gyr_monitor_report, self._handle, _now(now)))
