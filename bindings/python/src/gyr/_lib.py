"""Finds and loads libgyr, checks struct layouts, turns statuses into exceptions, owns handles."""
from __future__ import annotations

import ctypes
import os
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

from . import _raw as raw

NAME = f"libgyr.so.{raw.GYR_VERSION_MAJOR}.{raw.GYR_VERSION_MINOR}"


class Error(Exception):
    """A failed call: `status` (e.g. "GYR_E_NOT_FOUND"), `code`, `component`, `message`, `os_errno`."""

    def __init__(self, status: str, code: int, component: str, message: str, os_errno: int = 0):
        super().__init__(f"{status}: {component}: {message}")
        self.status, self.code, self.component = status, code, component
        self.message, self.os_errno = message, os_errno

    def __reduce__(self) -> tuple[Any, ...]:
        return Error, (self.status, self.code, self.component, self.message, self.os_errno)


def _candidates() -> list[str]:
    """Where the library may be, best first: GYR_LIBRARY, the wheel, the repository's build folder, the system."""
    if os.environ.get("GYR_LIBRARY"):
        return [os.environ["GYR_LIBRARY"]]
    package = Path(__file__).resolve().parent
    paths = [package / NAME, package / "libgyr.so"]
    root = package.parents[3] if len(package.parents) > 3 else package
    if (root / "include/gyr/gyr.h").exists():
        builds = [root / "build" / preset / "libgyr.so" for preset in ("release", "dev", "cuda")]
        paths += [*builds, root / "build/libgyr.so"]
    return [str(path) for path in paths if path.exists()] + [NAME, "libgyr.so"]


def _open_library() -> tuple[ctypes.CDLL, str]:
    problems = []
    for path in _candidates():
        try:
            return ctypes.CDLL(path), path
        except OSError as problem:
            problems.append(str(problem))
    raise ImportError("libgyr was not found; build it, install it, or set GYR_LIBRARY to its path:\n  "
                      + "\n  ".join(problems))


def _missing(name: str) -> Callable[..., Any]:
    def call(*_: Any) -> Any:
        raise Error("GYR_E_UNSUPPORTED", raw.GYR_E_UNSUPPORTED, "python", f"{library_path} has no function {name}")
    return call


def _bind(dll: ctypes.CDLL) -> SimpleNamespace:
    bound = {}
    for name, (result, arguments, _) in raw.FUNCTIONS.items():
        function: Any = getattr(dll, name, None)
        if function is None:
            function = _missing(name)
        else:
            function.restype, function.argtypes = result, arguments
        bound[name] = function
    return SimpleNamespace(**bound)


def _check_layout() -> None:
    for struct in raw.STRUCTS:
        name, ours = struct.__name__, ctypes.sizeof(struct)
        theirs = lib.gyr_struct_size(name.encode()) if name.startswith("gyr_") else ours
        if theirs != ours:
            raise ImportError(f"{library_path} does not fit this package: {name} has {theirs} bytes there, {ours} here; "
                              "install package and library of the same version")


_dll, library_path = _open_library()
lib = _bind(_dll)
_check_layout()


def status_name(code: int) -> str:
    return lib.gyr_status_name(code).decode()


def call(function: Callable[..., int], *args: Any) -> None:
    """Calls a fallible function, giving the error struct as its last argument."""
    error = raw.gyr_error(ctypes.sizeof(raw.gyr_error))
    code = function(*args, ctypes.byref(error))
    if code:
        component, message = error.component.decode("utf-8", "replace"), error.message.decode("utf-8", "replace")
        raise Error(status_name(code), code, component, message, error.os_errno)


def struct(kind: type, /, **fields: Any) -> Any:
    """A zeroed struct with its struct_size and the given fields."""
    return kind(struct_size=ctypes.sizeof(kind), **fields)


def text(function: Callable[..., int], *args: Any) -> str:
    """Runs the ask-for-the-size, then-fill protocol; the text may grow in between."""
    size = ctypes.c_uint64()
    call(function, *args, None, 0, ctypes.byref(size))
    while True:
        buffer = ctypes.create_string_buffer(size.value)
        try:
            call(function, *args, buffer, len(buffer), ctypes.byref(size))
            return buffer.value.decode()
        except Error as error:
            if error.code != raw.GYR_E_RESOURCE_EXHAUSTED or size.value <= len(buffer):
                raise


def address(array: Any) -> int:
    """Address of a numpy array's data; the caller keeps the array alive."""
    return array.ctypes.data


class Handle:
    """Owns one library handle: freed on close(), at the end of a `with`, or by the garbage collector, in any order."""

    _destroy: str

    def _own(self, pointer: ctypes.c_void_p) -> None:
        self._pointer = pointer
        self._finalizer = weakref.finalize(self, getattr(lib, self._destroy), pointer)

    @classmethod
    def _adopt(cls, pointer: ctypes.c_void_p) -> Any:
        """An object around a handle that the library made."""
        self = cls.__new__(cls)
        self._own(pointer)
        return self

    @property
    def _handle(self) -> ctypes.c_void_p:
        if not self._finalizer.alive:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._pointer

    def close(self) -> None:
        self._finalizer()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def make(function: Callable[..., int], *args: Any) -> ctypes.c_void_p:
    """Calls a function whose last out-parameter receives a handle."""
    out = ctypes.c_void_p()
    call(function, *args, ctypes.byref(out))
    return out


def path_bytes(path: str | os.PathLike[str]) -> bytes:
    return os.fsencode(path)
