"""Entity keys as Feast serialises them (version 3), from the values of a request.

Format: feast/infra/key_encoding_utils.py. Join keys are sorted by name; a value is its type, its length, its bytes.
"""

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from .kinds import ValueType

VERSION = 3
NUMBERS = {ValueType.INT32: "<i4", ValueType.INT64: "<i8", ValueType.UNIX_TIMESTAMP: "<i8"}
TYPES = (*NUMBERS, ValueType.STRING, ValueType.BYTES)
FORMS = {"<i4": "<i", "<i8": "<q"}
HEAD = struct.Struct("<II")


def prefix(join_keys: Sequence[str]) -> bytes:
    """What all keys of these (sorted) join keys begin with."""
    parts = [struct.pack("<I", len(join_keys))]
    for name in join_keys:
        encoded = name.encode()
        parts.append(HEAD.pack(ValueType.STRING.value, len(encoded)) + encoded)
    return b"".join(parts)


def values_end(key: bytes, start: int, count: int) -> int:
    """Where the values of so many join keys end that begin at `start`, or beyond the key where it has not so many."""
    for _ in range(count):
        if start + HEAD.size > len(key):
            return len(key) + 1
        start += HEAD.size + HEAD.unpack_from(key, start)[1]
    return start


def checked(name: str, kind: ValueType) -> ValueType:
    """The type of a join key, if it is one that Feast can serialise."""
    if kind not in TYPES:
        allowed = ", ".join(known.name for known in TYPES)
        raise ValueError(
            f"join key {name!r} has type {kind.name}, which Feast cannot store: give it one of {allowed}"
        )
    return kind


@lru_cache(maxsize=4096)
def part(kind: ValueType, start: bytes = b"") -> Callable[[Any], bytes]:
    """What serialises one value of a join key, behind `start`."""
    if kind in NUMBERS:
        form = struct.Struct(FORMS[NUMBERS[kind]])
        head, pack = start + HEAD.pack(kind.value, form.size), form.pack
        return lambda value: head + pack(value)

    def varying(value: Any) -> bytes:
        content = value.encode() if kind == ValueType.STRING else value
        return start + HEAD.pack(kind.value, len(content)) + content

    return varying


def of_values(start: bytes, columns: Sequence[tuple[ValueType, Sequence[Any]]]) -> list[bytes | None]:
    """Keys of the rows of a request, from its columns in the order of the join keys' names; None where a value is missing."""
    if len(columns) == 1:
        kind, values = columns[0]
        whole = part(kind, start)
        return [None if value is None else whole(value) for value in values]
    several = [(part(kind), values) for kind, values in columns]
    parts = [[None if value is None else convert(value) for value in values] for convert, values in several]
    return [None if None in row else start + b"".join(row) for row in zip(*parts, strict=True)]  # type: ignore[arg-type]
