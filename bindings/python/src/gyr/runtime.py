"""Runtime, task, devices and build facts."""
from __future__ import annotations

import ctypes
import itertools
import json
import os
import threading
from dataclasses import dataclass
from typing import Any, Callable

from ._lib import Handle, call, lib, make, raw, struct

LOG_LEVELS = {"debug": raw.GYR_LOG_DEBUG, "info": raw.GYR_LOG_INFO, "warn": raw.GYR_LOG_WARN,
              "error": raw.GYR_LOG_ERROR, "off": raw.GYR_LOG_OFF}
LogFunction = Callable[[str, str, str], None]

_hooks: dict[int, Any] = {}  # log callbacks must outlive their runtime, which lives as long as its last child
_hook_numbers = itertools.count(1)
_log_fn_type = dict(raw.gyr_logger._fields_)["fn"]
_free_fn_type = dict(raw.gyr_logger._fields_)["user_free"]


def _string(value: raw.gyr_str) -> str:
    return ctypes.string_at(value.data, value.len).decode("utf-8", "replace") if value.len else ""


@_free_fn_type
def _drop_hook(number: int) -> None:
    _hooks.pop(number, None)


def _logger(log: LogFunction, level: str) -> raw.gyr_logger:
    names = {number: name for name, number in LOG_LEVELS.items()}

    @_log_fn_type
    def forward(record: Any, _: int) -> None:
        entry = record.contents
        log(names.get(entry.level, str(entry.level)), _string(entry.component), _string(entry.message))

    number = next(_hook_numbers)
    _hooks[number] = forward
    return struct(raw.gyr_logger, min_level=LOG_LEVELS[level], fn=forward, user=number, user_free=_drop_hook)


class Runtime(Handle):
    """Threads, memory budget, log hook and device. Everything made with it keeps it alive.

    threads: pool size including the caller; 0 = what affinity mask and cgroup quota allow.
    memory_budget: bytes of bulk memory; 0 = unlimited.
    log: called as log(level, component, message) from any thread.
    device: "cpu", "auto", "cuda:0", ... see devices().
    """

    _destroy = "gyr_runtime_destroy"

    def __init__(self, threads: int = 0, memory_budget: int = 0, log: LogFunction | None = None,
                 log_level: str = "info", device: str | None = None):
        options = struct(raw.gyr_runtime_options, threads=threads, memory_budget=memory_budget,
                         device=device.encode() if device else None)
        if log:
            logger = _logger(log, log_level)
            options.logger = ctypes.pointer(logger)
        try:
            self._own(make(lib.gyr_runtime_create, ctypes.byref(options)))
        except Exception:
            if log:
                _hooks.pop(logger.user, None)
            raise

    def info(self) -> dict[str, Any]:
        out = struct(raw.gyr_runtime_info)
        call(lib.gyr_runtime_get_info, self._handle, ctypes.byref(out))
        return as_dict(out)


def as_dict(filled: ctypes.Structure) -> dict[str, Any]:
    """Fields of a struct without bookkeeping, text decoded."""
    result = {}
    for name, *_ in filled._fields_:
        if name not in ("struct_size", "reserved"):
            value = getattr(filled, name)
            result[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return result


_default: tuple[int, Runtime] | None = None
_default_lock = threading.Lock()


def default_runtime() -> Runtime:
    """The process-wide runtime, made on first use (and anew in a forked child)."""
    global _default
    with _default_lock:
        if _default is None or _default[0] != os.getpid():
            _default = (os.getpid(), Runtime())
        return _default[1]


def runtime_handle(runtime: Runtime | None) -> ctypes.c_void_p:
    return (runtime or default_runtime())._handle


@dataclass(frozen=True)
class Progress:
    phase: str
    done: int
    total: int
    loss: float


class Task(Handle):
    """Progress, cancellation and deadline of one long call. cancel() and progress() may come from other threads."""

    _destroy = "gyr_task_destroy"

    def __init__(self, timeout: float | None = None):
        self._own(make(lib.gyr_task_create))
        if timeout is not None:
            self.set_timeout(timeout)

    def cancel(self) -> None:
        lib.gyr_task_cancel(self._handle)

    def set_timeout(self, seconds: float | None) -> None:
        """Deadline from now; None removes it."""
        lib.gyr_task_set_timeout(self._handle, 0 if seconds is None else max(1, int(seconds * 1e9)))

    def progress(self) -> Progress:
        out = struct(raw.gyr_task_progress)
        lib.gyr_task_get_progress(self._handle, ctypes.byref(out))
        return Progress(out.phase.decode("utf-8", "replace"), out.done, out.total, out.loss)


def task_handle(task: Task | None) -> ctypes.c_void_p | None:
    return task._handle if task else None


@dataclass(frozen=True)
class Device:
    kind: str
    selector: str
    name: str
    uuid: str
    pci_bus_id: str
    total_bytes: int
    free_bytes: int
    units: int
    numa_node: int
    usable: bool
    reason: str


_KINDS = {raw.GYR_DEVICE_CPU: "cpu", raw.GYR_DEVICE_GPU: "gpu", raw.GYR_DEVICE_MIG: "mig"}


def devices() -> list[Device]:
    """The CPU, then GPUs and MIG slices; works without any of them."""
    count = ctypes.c_uint64()
    call(lib.gyr_device_list, None, 0, ctypes.byref(count))
    out = (raw.gyr_device_info * max(1, count.value))()
    out[0].struct_size = ctypes.sizeof(raw.gyr_device_info)
    call(lib.gyr_device_list, out, len(out), ctypes.byref(count))
    facts = [as_dict(entry) for entry in out[:count.value]]
    return [Device(**{**fact, "kind": _KINDS.get(fact["kind"], "unknown"), "usable": bool(fact["usable"])})
            for fact in facts]


def version() -> str:
    number = lib.gyr_version()
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def build_info() -> dict[str, Any]:
    return json.loads(lib.gyr_build_info())


def hash64(value: int | str | bytes) -> int:
    """The published 64-bit hash: an int as its 8 little-endian bytes, text as UTF-8."""
    if isinstance(value, int):
        value = value.to_bytes(8, "little", signed=True)
    data = value.encode() if isinstance(value, str) else value
    return lib.gyr_hash64(data, len(data))
