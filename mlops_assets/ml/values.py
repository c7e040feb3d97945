"""When two values are the same: one canonical text of a value for categories, drift, slices and clusters.

The rule, for any column:

- A number is its value, whatever holds it: 1, 1.0, Decimal("1.00") and -0.0 beside 0 are "1", "1" and "0". A fraction
  is the shortest decimal that reads back as it; one that single precision holds exactly, the shortest that reads back
  there, so that 0.1 stays 0.1 after a Float32 column.
- True and false are "true" and "false".
- Text is itself, whether String, Categorical or Enum: "01", "1" and "1.0" are three categories.
- Null and NaN are missing. A moment is told to the microsecond, in UTC where it has a zone.

Columns of two types meet where a model or a reference knows values already (`Known`). What the known column was decides:
a number then finds the text that spells it, text finds the number or flag that it spells ("1.00" spells 1, "01"
spells nothing, "true" spells 1), and a flag finds 1 or 0. What could be two known values is none of them: unseen.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl

Kind = Literal["number", "boolean", "text"]
TEXTS = (pl.String, pl.Categorical, pl.Enum)
SPELLED = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
FLAGS = {"true": "1", "false": "0"}
INFINITE = {"inf", "-inf"}
SINGLE = float(np.finfo(np.float32).max)


def kind_of(dtype: pl.DataType) -> Kind:
    """How values of a column type are told: by their size, as true or false, or as text."""
    return "number" if dtype.is_numeric() else "boolean" if dtype == pl.Boolean else "text"


def canonical(values: pl.Series) -> pl.Series:
    """The column as String, one text for each different value, null where it is missing."""
    kind = values.dtype
    if kind in TEXTS or kind == pl.Boolean or kind.is_integer():
        return values.cast(pl.String)
    if kind.is_float() and _whole(known := values.fill_nan(None)):
        return known.cast(pl.Int64).cast(pl.String)
    items = values.to_list()
    texts = {value: canonical_text(value) for value in set(items)}
    return pl.Series(values.name, [texts[value] for value in items], pl.String)


def canonical_text(value: Any) -> str | None:
    """The canonical text of one value as polars gives it to Python."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, Decimal):
        return _decimal_text(value)
    if isinstance(value, datetime):
        return _moment_text(value)
    return str(value)


def numbers(values: pl.Series) -> pl.Series:
    """The column as Float64 with null for NaN: text is read as the number that it spells, else null."""
    if kind_of(values.dtype) == "text":
        values = values.cast(pl.String)
        read = {text: spelled(text) for text in values.drop_nulls().unique()}
        spellings = {text: float(number) for text, number in read.items() if number is not None}
        return _mapped(values, spellings, pl.Float64)
    return values.cast(pl.Float64).fill_nan(None)


def spelled(text: str) -> str | None:
    """The canonical text of the number that a text spells, of a flag 1 or 0; None where it spells none."""
    if SPELLED.fullmatch(text):
        return _decimal_text(Decimal(text))
    return text if text in INFINITE else FLAGS.get(text.lower())


def groups(values: pl.Series) -> tuple[list[str], pl.Series]:
    """The different values by canonical text, numbers by size and others by text, and each row's place [rows], Int64."""
    texts = canonical(values)
    names: list[str] = texts.drop_nulls().unique().to_list()
    names.sort(key=Decimal if kind_of(values.dtype) == "number" else None)
    return names, places(texts, names)


def places(texts: pl.Series, names: Iterable[str], dtype: Any = pl.Int64) -> pl.Series:
    """Each text's place among the names, null for one that is not there."""
    return _mapped(texts, {name: place for place, name in enumerate(names)}, dtype)


def alike(frame: pl.DataFrame, other: pl.DataFrame, keys: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both frames with keys that can be joined: those of two types by their canonical texts, which are equal where they are."""
    differ = [key for key in keys if frame.schema[key] != other.schema[key]]
    if not differ:
        return frame, other
    first, second = (side.with_columns(canonical(side[key]) for key in differ) for side in (frame, other))
    return first, second


@dataclass(frozen=True)
class Known:
    """The different values that a column of a kind had, by canonical text, for columns of any type to be read by."""

    values: Sequence[str]
    kind: Kind = "text"

    @classmethod
    def of(cls, column: pl.Series) -> "Known":
        """The sorted values of a column."""
        return cls(tuple(canonical(column).drop_nulls().unique().sort().to_list()), kind_of(column.dtype))

    def read(self, column: pl.Series) -> pl.Series:
        """String: a known value where the column has one, else a text that is none of them; null where missing."""
        texts = canonical(column)
        if kind_of(column.dtype) == self.kind:
            return texts
        read = {text: self._read(text) for text in texts.drop_nulls().unique()}
        return _mapped(texts, read, pl.String)

    def read_one(self, value: Any) -> str | None:
        """The same for one value as polars gives it to Python."""
        text = canonical_text(value)
        if text is None or (isinstance(value, str) and self.kind == "text"):
            return text
        return self._read(text)

    def _read(self, text: str) -> str | None:
        if text in self._all:
            return text
        if text.lower() == "nan":
            return None
        number = spelled(text)
        return text if number is None else self._by_number.get(number, text)

    @cached_property
    def _all(self) -> frozenset[str]:
        return frozenset(self.values)

    @cached_property
    def _by_number(self) -> dict[str, str]:
        """Known values by the number that they spell, where it is one alone."""
        pairs = [(number, value) for value in self.values if (number := spelled(value)) is not None]
        counted: dict[str, int] = {}
        for number, _ in pairs:
            counted[number] = counted.get(number, 0) + 1
        return {number: value for number, value in pairs if counted[number] == 1}


def _mapped(texts: pl.Series, mapping: Mapping[str, Any], dtype: Any) -> pl.Series:
    if not mapping:
        return pl.Series(texts.name, [None], dtype=dtype).new_from_index(0, len(texts))
    return texts.replace_strict(mapping, default=None, return_dtype=dtype)


def _whole(values: pl.Series) -> bool:
    return bool(((values == values.floor()) & (values.abs() < 2**63)).all())


def _float_text(value: float) -> str | None:
    if value != value:
        return None
    if value in (float("inf"), float("-inf")):
        return str(value)
    if value.is_integer():
        return str(int(value))
    single = np.float32(value) if abs(value) <= SINGLE else value
    return _plain(Decimal(str(single) if float(single) == value else repr(value)))


def _decimal_text(value: Decimal) -> str | None:
    """Of a decimal that a float is as well, the text of that float."""
    as_float = float(value)
    return _float_text(as_float) if Decimal(repr(as_float)) == value else _plain(value)


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _moment_text(value: datetime) -> str:
    zone = "" if value.tzinfo is None else "+00:00"
    return f"{value if not zone else value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}{zone}"
