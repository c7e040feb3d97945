"""Feast's value types without Feast, whose import takes longer than a process that serves needs to answer.

A member equals Feast's own of the same name and has its hash, so that either may be given wherever a type is asked for.
"""

import enum
from typing import Any

NULL_TIMESTAMP_INT_VALUE = -(2**63)
"""What Feast stores in the place of a moment that is missing."""


class ValueType(enum.Enum):
    """The type of a value: Feast's names and numbers."""

    UNKNOWN = 0
    BYTES = 1
    STRING = 2
    INT32 = 3
    INT64 = 4
    DOUBLE = 5
    FLOAT = 6
    BOOL = 7
    UNIX_TIMESTAMP = 8
    BYTES_LIST = 11
    STRING_LIST = 12
    INT32_LIST = 13
    INT64_LIST = 14
    DOUBLE_LIST = 15
    FLOAT_LIST = 16
    BOOL_LIST = 17
    UNIX_TIMESTAMP_LIST = 18
    NULL = 19
    MAP = 20
    MAP_LIST = 21
    BYTES_SET = 22
    STRING_SET = 23
    INT32_SET = 24
    INT64_SET = 25
    DOUBLE_SET = 26
    FLOAT_SET = 27
    BOOL_SET = 28
    UNIX_TIMESTAMP_SET = 29
    PDF_BYTES = 30
    IMAGE_BYTES = 31
    JSON = 32
    JSON_LIST = 33
    STRUCT = 34
    STRUCT_LIST = 35
    UUID = 36
    TIME_UUID = 37
    UUID_LIST = 38
    TIME_UUID_LIST = 39
    UUID_SET = 40
    TIME_UUID_SET = 41
    VALUE_LIST = 42
    VALUE_SET = 43
    DECIMAL = 44
    DECIMAL_LIST = 45
    DECIMAL_SET = 46
    SCALAR_MAP = 47
    ZONED_TIMESTAMP = 48

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other).__name__ == "ValueType" and self._name_ == other._name_)  # type: ignore[attr-defined]

    __hash__ = enum.Enum.__hash__


def feasts(kind: Any) -> Any:
    """Feast's own member of a type, for its functions."""
    from feast.value_type import ValueType as Theirs

    return Theirs[kind.name]


def of(kind: Any) -> ValueType:
    """The member that Feast's own equals."""
    return ValueType[kind.name]
