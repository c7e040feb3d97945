"""Join keys of any type, one or several columns, as small whole numbers that are equal where the keys are.

The numbers belong to the questions: a source row whose key nobody asks for gets -1, as does a null.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import polars as pl

from .kernel import Ints
from .moments import utc

SPARSE = 4
"""A range of whole numbers is used as it is while it is at most so many times as wide as there are rows."""
ROOM = 1 << 16
SORTED = 1 << 17
"""So many strings are put in order; of more, sorting them costs more than it saves."""
HEAD = 1 << 12
RUN = 3
"""Runs of equal strings of more than this length, on average over the first rows, are looked up once each."""
EXACT = 2**53
"""Whole numbers below this are the same as Float64 and as Int64."""


class KeyTypeError(ValueError):
    """A join key has types on the two sides that cannot be equal."""


class Coded(Protocol):
    """The questions' keys as numbers: `codes`, Int64, one a question, in `[0, size)` or -1."""

    size: int
    codes: Ints


class Coder(Coded, Protocol):
    """Numbers for the values of one key column, those of the questions and of any source."""

    def encode(self, values: pl.Series) -> Ints:
        """The numbers of a source's column."""
        ...


class Range:
    """Whole numbers close together: the number is the distance from the smallest."""

    def __init__(self, values: pl.Series, low: int, high: int) -> None:
        self.low, self.high, self.size = low, high, high - low + 1
        self.codes = self.encode(values)

    def encode(self, values: pl.Series) -> Ints:
        """Int64 distances, -1 outside of the range."""
        numbers = values.fill_null(self.low - 1).to_numpy()
        low, high = (int(numbers.min()), int(numbers.max())) if numbers.size else (self.low, self.low)
        if low >= self.low and high <= self.high:
            return numbers - self.low
        return np.where((numbers >= self.low) & (numbers <= self.high), numbers - self.low, -1)


class Text:
    """Strings, interned once each in a dictionary of their own, in their order where they are not too many."""

    def __init__(self, values: pl.Series) -> None:
        known = values.unique().drop_nulls()
        self.kind = pl.Categorical(pl.Categories.random())
        # Files that are sorted by their keys then rise in our numbers too, and are merged, not sorted.
        # Kept, because polars forgets a dictionary when the last column that uses it is gone.
        self.dictionary = (known.sort() if len(known) <= SORTED else known).cast(self.kind)
        self.size = max(len(known), 1)
        self.codes = self.encode(values)

    def encode(self, values: pl.Series) -> Ints:
        """Int64 places in the dictionary, -1 for strings that nobody asks for."""
        if _in_runs(values):
            runs = values.rle().struct.unnest()
            return np.repeat(self._encode(runs["value"]), runs["len"].to_numpy())
        return self._encode(values)

    def _encode(self, values: pl.Series) -> Ints:
        numbers = _filled(values.cast(self.kind).to_physical())
        beyond = numbers >= self.size
        return np.where(beyond, -1, numbers) if beyond.any() else numbers


class Table:
    """Any other values: looked up in a table of those that are asked for."""

    def __init__(self, values: pl.Series) -> None:
        self.known = values.drop_nulls().unique().sort().rename("value").to_frame().with_row_index("code")
        self.size = max(self.known.height, 1)
        self.codes = self.encode(values)

    def encode(self, values: pl.Series) -> Ints:
        """Int64 places in the table, -1 where the value is not in it."""
        codes = (
            values.rename("value").to_frame().join(self.known, on="value", how="left", maintain_order="left")
        )
        return _filled(codes["code"])


class Pair:
    """Two keys as one."""

    def __init__(self, first: Coded, second: Coded) -> None:
        self.second = second.size
        self.dense: Table | None = None
        self.codes, self.size = self.combine(first.codes, second.codes), first.size * second.size
        if self.size > SPARSE * self.codes.size + ROOM:
            self.dense = Table(_nulled(self.codes))
            self.codes, self.size = self.dense.codes, self.dense.size

    def combine(self, first: Ints, second: Ints) -> Ints:
        """Int64 numbers of the pairs, -1 where one of them is."""
        both = first * self.second
        both += second
        both[(first < 0) | (second < 0)] = -1
        return both if self.dense is None else self.dense.encode(_nulled(both))


@dataclass(frozen=True)
class KeyColumn:
    """One key column of the questions."""

    values: pl.Series

    @cached_property
    def normal(self) -> pl.Series:
        """The column in the one type of its kind."""
        return normal(self.values)

    @cached_property
    def coder(self) -> Coder:
        """The numbers of its values, and the way to number a source's alike."""
        return _coder(self.normal)

    def encode(self, values: pl.Series) -> Ints:
        """The numbers of a source's column. Raises KeyTypeError where its values cannot equal this column's."""
        return self.coder.encode(alike(normal(values), self.normal))


@dataclass(frozen=True)
class KeySpace:
    """The questions' keys of one or several columns as numbers in `[0, size)`, -1 where one of them is null.

    Without any column all rows have the one key 0.
    """

    columns: tuple[KeyColumn, ...]
    height: int

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """What joins the second column to the first, the third to both, and so on."""
        pairs: list[Pair] = []
        for column in self.columns[1:]:
            pairs.append(Pair(pairs[-1] if pairs else self.columns[0].coder, column.coder))
        return tuple(pairs)

    @property
    def codes(self) -> Ints:
        """The questions' numbers, Int64."""
        if not self.columns:
            return np.zeros(self.height, np.int64)
        return (self.pairs[-1] if self.pairs else self.columns[0].coder).codes

    @property
    def size(self) -> int:
        """Numbers are below this."""
        if not self.columns:
            return 1
        return (self.pairs[-1] if self.pairs else self.columns[0].coder).size

    def encode(self, columns: Sequence[pl.Series], height: int) -> Ints:
        """The numbers of a source's rows, whose key columns come in the same order; Int64, -1 for "not asked for".

        Raises KeyTypeError, which names both types, where a column cannot equal the questions'.
        """
        if not self.columns:
            return np.zeros(height, np.int64)
        codes = [table.encode(column) for table, column in zip(self.columns, columns, strict=True)]
        both = codes[0]
        for pair, more in zip(self.pairs, codes[1:], strict=True):
            both = pair.combine(both, more)
        return both


def normal(values: pl.Series) -> pl.Series:
    """The column in the one type of its kind: Int64, String, Float64 without NaN, Decimal with fractions, or what it is."""
    kind = values.dtype
    if kind.is_decimal():
        whole = _exactly(values, pl.Int64())
        return whole if whole.null_count() == values.null_count() else values
    if kind.is_integer():
        return values if kind == pl.UInt64 and _over(values) else values.cast(pl.Int64)
    if kind in (pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if kind == pl.Datetime:
        return _nanoseconds(utc(values))
    if not kind.is_float():
        return values
    known = values.cast(pl.Float64).fill_nan(None)
    return known.cast(pl.Int64) if _whole(known).fill_null(True).all() else known


def _nanoseconds(moments: pl.Series) -> pl.Series:
    instants = moments.cast(pl.Datetime("ns"), strict=False)
    if instants.null_count() > moments.null_count():
        raise KeyTypeError(
            f"{moments.name!r} has moments before 1678 or after 2262, which nanoseconds do not hold: correct them"
        )
    return instants


def alike(values: pl.Series, questions: pl.Series) -> pl.Series:
    """A source's key column (normal) in the type of the questions' (normal); values that cannot be equal are null."""
    if values.dtype == questions.dtype:
        return values
    if pl.Null in (values.dtype, questions.dtype):
        return pl.Series(values.name, [None], dtype=questions.dtype).new_from_index(0, len(values))
    if values.dtype == pl.Float64 and questions.dtype.is_integer():
        return values.set(~_whole(values).fill_null(False), None).cast(questions.dtype, strict=False)
    if questions.dtype.is_decimal() and (values.dtype.is_decimal() or values.dtype.is_integer()):
        return _exactly(values, questions.dtype)
    if values.dtype.is_decimal() and questions.dtype.is_integer():
        return _exactly(values, questions.dtype)
    if values.dtype.is_integer() and (questions.dtype.is_integer() or questions.dtype.is_float()):
        return values.cast(questions.dtype, strict=False)
    raise KeyTypeError(f"{values.dtype} in the source, {questions.dtype} in the entity rows")


def _exactly(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """The values in another type, null where that type does not hold the same value."""
    exact = values.cast(kind, strict=False)
    same = exact.cast(values.dtype, strict=False) == values
    return exact.set(~same.fill_null(False), None)


def _coder(values: pl.Series) -> Coder:
    if values.dtype == pl.String:
        return Text(values)
    if values.dtype == pl.Int64 and values.len() > values.null_count():
        low, high = int(values.min()), int(values.max())  # type: ignore[arg-type]
        if high - low < SPARSE * len(values) + ROOM and low > np.iinfo(np.int64).min:
            return Range(values, low, high)
    return Table(values)


def _whole(values: pl.Series) -> pl.Series:
    return values.is_finite() & (values == values.floor()) & (values.abs() < EXACT)


def _over(values: pl.Series) -> bool:
    return len(values) > values.null_count() and int(values.max()) > np.iinfo(np.int64).max  # type: ignore[arg-type]


def _in_runs(values: pl.Series) -> bool:
    """Whether equal values follow each other in the first rows, as in a file that is sorted by them."""
    first = values.head(HEAD)
    return first.len() > RUN * first.rle().len()


def _filled(numbers: pl.Series) -> Ints:
    return numbers.cast(pl.Int64).fill_null(-1).to_numpy()


def _nulled(numbers: Ints) -> pl.Series:
    codes = pl.Series(numbers)
    return codes.set(codes < 0, None)
