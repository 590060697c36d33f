"""Keys, single values, times and lists in the shapes that hot calls take."""
from __future__ import annotations

import ctypes
import datetime
from typing import Any

import numpy as np

from . import _raw as raw
from ._lib import address, struct

DTYPES = {"none": 0, "bool": 1, "int8": 2, "int16": 3, "int32": 4, "int64": 5, "uint8": 6, "uint16": 7, "uint32": 8,
          "uint64": 9, "float32": 10, "float64": 11, "string": 12, "timestamp": 13}
FLOATS = (raw.GYR_DTYPE_FLOAT32, raw.GYR_DTYPE_FLOAT64)
ALWAYS = 2**63 - 1  # read time that ignores TTL and future checks
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
Time = int | datetime.datetime | np.datetime64


def microseconds(time: Time) -> int:
    """Microseconds since the epoch; a datetime without a zone is UTC."""
    if isinstance(time, np.datetime64):
        return int(time.astype("datetime64[us]").astype(np.int64))
    if isinstance(time, datetime.datetime):
        aware = time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)
        return (aware - _EPOCH) // datetime.timedelta(microseconds=1)
    return int(time)


def numbers(values: Any, dtype: Any) -> np.ndarray:
    """A contiguous array; no copy when it already is one. Conversions that would change an integer are refused."""
    array, dtype = np.asarray(values), np.dtype(dtype)
    if array.dtype == dtype or array.size == 0:
        return np.ascontiguousarray(array, dtype)
    if array.dtype.kind not in ("iub" if dtype.kind in "iu" else "iubf"):
        raise TypeError(f"expected {dtype} values, got {array.dtype}")
    converted = np.ascontiguousarray(array, dtype)
    if dtype.kind in "iu" and not np.can_cast(array.dtype, dtype) and (converted != array).any():
        raise OverflowError(f"a value does not fit {dtype}")
    return converted


def _utf8(value: Any) -> bytes:
    """Text as bytes; anything else, None above all, would become text that nobody wrote."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value.encode()


def strings(values: Any) -> tuple[Any, Any]:
    """gyr_str array and what keeps its bytes alive."""
    encoded = [_utf8(value) for value in values]
    heap = ctypes.create_string_buffer(b"".join(encoded), max(1, sum(map(len, encoded))))
    out, position = (raw.gyr_str * max(1, len(encoded)))(), ctypes.addressof(heap)
    for entry, value in zip(out, encoded):
        entry.data, entry.len = position, len(value)
        position += len(value)
    return out, heap


def string(value: raw.gyr_str) -> str:
    return ctypes.string_at(value.data, value.len).decode() if value.len else ""


class Keys:
    """A batch of int64 or string keys; `argument` is what the library takes."""

    def __init__(self, values: Any):
        if isinstance(values, (int, str, bytes, np.integer)):
            values = [values]
        if hasattr(values, "to_numpy"):
            values = values.to_numpy()
        self.count = len(values)
        if self.count and isinstance(values[0], (str, bytes)):
            self._array, self._heap = strings(values)
            self.argument = struct(raw.gyr_keys, dtype=raw.GYR_DTYPE_STRING, count=self.count, strings=self._array)
        else:
            self._array = numbers(values, np.int64)
            self.argument = struct(raw.gyr_keys, dtype=raw.GYR_DTYPE_INT64, count=self.count, ints=address(self._array))


def ragged(lists: Any) -> tuple[np.ndarray, np.ndarray]:
    """(values, offsets) of a list of integer lists; a (values, offsets) pair of arrays passes through."""
    if isinstance(lists, tuple) and len(lists) == 2 and all(isinstance(part, np.ndarray) for part in lists):
        values, offsets = numbers(lists[0], np.int64), numbers(lists[1], np.int64)
        if len(offsets) == 0 or offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] > len(values):
            raise ValueError("offsets: expected 0 first, never decreasing, and at most the number of values")
        return values, offsets
    arrays = [numbers(entry, np.int64) for entry in lists]
    offsets = np.zeros(len(arrays) + 1, np.int64)
    np.cumsum([len(entry) for entry in arrays], out=offsets[1:])
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int64), offsets


def _guess(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)):
        return raw.GYR_DTYPE_BOOL
    if isinstance(value, (int, np.integer)):
        return raw.GYR_DTYPE_INT64
    if isinstance(value, (float, np.floating)):
        return raw.GYR_DTYPE_FLOAT64
    if isinstance(value, (str, bytes)):
        return raw.GYR_DTYPE_STRING
    if isinstance(value, (datetime.datetime, np.datetime64)):
        return raw.GYR_DTYPE_TIMESTAMP
    raise TypeError(f"a value of type {type(value).__name__} cannot be passed")


def fill_value(out: raw.gyr_value, value: Any, keep: list[Any], dtype: str | None = None) -> None:
    """Writes a Python value into a gyr_value; `keep` collects what must stay alive during the call."""
    if value is None:
        return
    if isinstance(value, (list, tuple, np.ndarray)):
        kind = DTYPES[dtype] if dtype else _guess(value[0]) if len(value) else raw.GYR_DTYPE_INT64
        out.dtype, out.is_list, out.count = kind, 1, len(value)
        if kind == raw.GYR_DTYPE_STRING:
            array, heap = strings(value)
            keep += [array, heap]
            out.list = ctypes.addressof(array)
        else:
            if kind == raw.GYR_DTYPE_TIMESTAMP:
                value = [microseconds(item) for item in value]
            array = numbers(value, np.float64 if kind in FLOATS else np.int64)
            keep.append(array)
            out.list = address(array)
        return
    out.dtype = DTYPES[dtype] if dtype else _guess(value)
    if out.dtype == raw.GYR_DTYPE_STRING:
        data = _utf8(value)
        keep.append(data)
        out.s.data, out.s.len = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value, len(data)
    elif out.dtype in FLOATS:
        out.f = float(value)
    elif out.dtype == raw.GYR_DTYPE_TIMESTAMP:
        out.i = microseconds(value)
    else:
        out.i = int(value)
        if out.i != value:
            raise TypeError(f"expected an integer, got {value!r}")


def read_value(value: raw.gyr_value) -> Any:
    """Python value of a gyr_value, copied."""
    if value.dtype == raw.GYR_DTYPE_NONE:
        return None
    if value.is_list:
        if value.count == 0:
            return []
        kind = raw.gyr_str if value.dtype == raw.GYR_DTYPE_STRING else \
            ctypes.c_double if value.dtype in FLOATS else ctypes.c_int64
        items = (kind * value.count).from_address(value.list)
        return [string(item) for item in items] if kind is raw.gyr_str else list(items)
    if value.dtype == raw.GYR_DTYPE_STRING:
        return string(value.s)
    if value.dtype in FLOATS:
        return value.f
    return bool(value.i) if value.dtype == raw.GYR_DTYPE_BOOL else value.i
