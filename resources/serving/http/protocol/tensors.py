"""Values of tensors: what each datatype may hold, in JSON, and as the bytes of the protocol's binary extension.

Bytes are little-endian, a row after the other; a text is its length in four bytes and its UTF-8.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

NUMPY = {
    "BOOL": "|u1",
    "INT8": "|i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "|u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
BYTES = "BYTES"
DATATYPES = (*NUMPY, BYTES)
_SMALL = frozenset({"INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32"})
TAKEN = {
    "BOOL": frozenset({"BOOL"}),
    "INT64": _SMALL | {"INT64", "UINT64"},
    "FP64": _SMALL | {"FP16", "FP32", "FP64"},
    BYTES: frozenset({BYTES}),
}
"""Datatypes in which an input of each datatype may be sent: those whose values it holds exactly."""


class TensorError(ValueError):
    """Why bytes or values are no tensor of their datatype."""


def from_bytes(datatype: str, raw: bytes, count: int) -> list[Any]:
    """So many values from their bytes; raises TensorError where the bytes are others."""
    if datatype == BYTES:
        return _texts(raw, count)
    dtype = np.dtype(NUMPY[datatype])
    if len(raw) != count * dtype.itemsize:
        raise TensorError(
            f"{count} values of {datatype} have {count * dtype.itemsize} bytes, and {len(raw)} were sent"
        )
    values = np.frombuffer(raw, dtype).tolist()
    if datatype != "BOOL":
        return values
    if wrong := [value for value in values if value > 1]:
        raise TensorError(f"a BOOL is the byte 0 or 1, and {wrong[0]} was sent")
    return [bool(value) for value in values]


def _texts(raw: bytes, count: int) -> list[str]:
    texts, at = [], 0
    while at < len(raw):
        if at + 4 > len(raw) or (end := at + 4 + struct.unpack_from("<I", raw, at)[0]) > len(raw):
            raise TensorError(f"the text at byte {at} is longer than what was sent")
        texts.append(_text(raw[at + 4 : end]))
        at = end
    if len(texts) != count:
        raise TensorError(f"{count} texts were announced, and {len(texts)} were sent")
    return texts


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TensorError(f"a text is not UTF-8: {error.reason} at byte {error.start}") from error


def to_bytes(datatype: str, values: Sequence[Any]) -> bytes:
    """The bytes of values."""
    if datatype == BYTES:
        written = [value.encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in written)
    return np.asarray(values, NUMPY[datatype]).tobytes()


def misfit(datatype: str, value: Any) -> str | None:
    """Why a value of JSON is none of a datatype; None where it is one, or null."""
    if value is None:
        return None
    kind = type(value)
    if datatype == BYTES:
        return None if kind is str else f"{_shown(value)} is no text, and the datatype is BYTES"
    if datatype == "BOOL":
        return (
            None if kind is bool else f"{_shown(value)} is neither true nor false, and the datatype is BOOL"
        )
    if datatype.startswith("FP"):
        return (
            None if kind in (int, float) else f"{_shown(value)} is no number, and the datatype is {datatype}"
        )
    limits = np.iinfo(NUMPY[datatype])
    if kind is int and limits.min <= value <= limits.max:
        return None
    return f"{_shown(value)} is no whole number from {limits.min} to {limits.max}, and the datatype is {datatype}"


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
