"""What is kept of a reference so that other rows can be compared with it: made once, the same bytes for the same rows.

A number is kept as different values with their rows: all of them, which makes every distance exact, or where there are
more than EXACT_VALUES, those at RANKS equal steps of rank. A row between two of these counts at the upper one: under
1/RANKS of the rows do between any two, which is the error of Kolmogorov-Smirnov, and `shifted` is how far they were
moved on average, which is the error of the Wasserstein distance (by the triangle inequality).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError, require
from mlops_assets.ml.monitoring.bins import binned, in_order, inner_edges
from mlops_assets.ml.scores import defined
from mlops_assets.ml.values import Kind, Known, canonical, kind_of

EXACT_VALUES = 1_000_000
"""A column of at most so many different values is kept whole: 8 MB of each million."""
RANKS = 10_000
FORMAT = 1
"""The version of the bytes: a line of JSON, then the arrays that it lists, little-endian, one after another."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of numbers: different values in order, rows `counts` that count at each, and `at` that have just it.

    `edges` and `bins` are what the PSI is made of, `deviation` is None where it is too large for a number, and `shifted`
    is the mean distance in the column's unit by which rows were moved; 0 where every value is kept.
    """

    values: np.ndarray
    counts: np.ndarray
    at: np.ndarray
    edges: np.ndarray
    bins: np.ndarray
    missing: int
    deviation: float | None
    shifted: float | None

    @property
    def rows(self) -> int:
        """Rows with a value."""
        return int(self.counts.sum())

    @property
    def exact(self) -> bool:
        """Whether every value is kept."""
        return self.at is self.counts or bool((self.counts == self.at).all())

    @property
    def ks_error(self) -> float:
        """The largest share of the rows that lies between two values that are kept: under 1/RANKS."""
        return float((self.counts - self.at).max(initial=0)) / max(self.rows, 1)

    @property
    def below(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows below each value, and rows up to it."""
        up_to = np.cumsum(self.counts, dtype=np.int64)
        return up_to - self.at, up_to


@dataclass(frozen=True, eq=False)
class Categories:
    """A column of categories: the rows of each value by its canonical text (`ml/values.py`), and of what kind they were."""

    values: tuple[str, ...]
    counts: np.ndarray
    missing: int
    kind: Kind

    @property
    def known(self) -> Known:
        """How another column is read by these values."""
        return Known(self.values, self.kind)


@dataclass(frozen=True, eq=False)
class Summary:
    """Every column of a reference."""

    rows: int
    columns: Mapping[str, Numbers | Categories]

    def to_bytes(self) -> bytes:
        """The same bytes for the same rows, on any machine."""
        parts = {name: _parts(column) for name, column in self.columns.items()}
        head = {
            "format": FORMAT,
            "rows": self.rows,
            "columns": {name: plain for name, (plain, _) in parts.items()},
        }
        arrays = [array.tobytes() for _, arrays in parts.values() for array in arrays.values()]
        return json.dumps(head, separators=(",", ":")).encode() + b"\n" + b"".join(arrays)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` made; raises DatasetError for another format, or bytes that are cut short."""
        place, columns = content.find(b"\n") + 1, {}
        head = _head(content[:place])
        for name, plain in head["columns"].items():
            arrays = {}
            for field, (kind, length) in plain.pop("arrays").items():
                end = place + np.dtype(kind).itemsize * length
                if end > len(content):
                    raise DatasetError(
                        f"a reference summary of {len(content)} bytes ends within column {name!r}: make it again"
                    )
                arrays[field] = np.frombuffer(content, kind, length, place)
                place = end
            columns[name] = _column(plain, arrays)
        return cls(head["rows"], columns)


def summarize(
    frame: pl.DataFrame,
    columns: Sequence[str],
    categories: Sequence[str] = (),
    exact_values: int = EXACT_VALUES,
    ranks: int = RANKS,
) -> Summary:
    """The summary of a reference frame; what is named as category, and any text, is one, anything else a number.

    Raises DatasetError for a frame without rows, a column that it lacks, and lists, which have no distance.
    """
    require(frame, columns, "a drift reference")
    refuse_lists(frame, columns)
    if not frame.height:
        raise DatasetError("a drift reference needs at least one row: the frame is empty")
    named = {c for c in columns if c in categories or kind_of(frame.schema[c]) == "text"}
    return Summary(
        frame.height,
        {
            c: categories_of(frame[c])
            if c in named
            else numbers_of(in_order(frame[c]), frame.height, exact_values, ranks)
            for c in columns
        },
    )


def refuse_lists(frame: pl.DataFrame, columns: Sequence[str]) -> None:
    """Refuse columns that hold lists, structs or objects, by name."""
    for name in columns:
        kind = frame.schema[name]
        if kind.is_nested() or kind == pl.Object:
            raise DatasetError(
                f"column {name!r} holds {kind}, and drift is told of numbers, flags, texts and moments alone: "
                "leave it out of drift.columns, or compare a number made of it, such as its length"
            )


def numbers_of(ordered: np.ndarray, rows: int, exact_values: int, ranks: int) -> Numbers:
    """The summary of sorted numbers [values] of a column of so many rows."""
    edges = inner_edges(ordered)
    values, counts = _runs(ordered)
    exact = len(values) <= exact_values
    points = values if exact else _at_ranks(ordered, ranks)
    up_to, below = (np.searchsorted(ordered, points, side=side) for side in ("right", "left"))
    per_value = np.diff(up_to, prepend=0)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = defined(float(ordered.std())) if len(ordered) else 0.0
        shifted = 0.0 if exact else defined(float((np.repeat(points, per_value) - ordered).mean()))
    return Numbers(
        points,
        per_value,
        counts if exact else up_to - below,
        edges,
        binned(ordered, edges),
        rows - len(ordered),
        deviation,
        shifted,
    )


def categories_of(column: pl.Series) -> Categories:
    """The summary of a column of categories."""
    counted = value_counts(column, canonical)
    counts = np.array(list(counted.values()), np.int64)
    return Categories(tuple(counted), counts, len(column) - int(counts.sum()), kind_of(column.dtype))


def value_counts(column: pl.Series, text: Callable[[pl.Series], pl.Series]) -> dict[str, int]:
    """Rows by the text that a function gives to each value, in the order of the texts; missing ones are none."""
    different = column.rename("value").value_counts(name="count")
    named = different.select(text(different["value"]).alias("value"), "count").drop_nulls("value")
    counted: dict[str, int] = {}
    for value, count in named.iter_rows():
        counted[value] = counted.get(value, 0) + count
    return dict(sorted(counted.items()))


def _runs(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different values of sorted ones, and how often each occurs."""
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, len(ordered)) if len(ordered) else []
    ends = np.asarray(ends, np.int64)
    return ordered[ends - 1], np.diff(ends, prepend=0)


def _at_ranks(ordered: np.ndarray, ranks: int) -> np.ndarray:
    """The smallest value, and those at the ends of equal shares of the rows."""
    places = np.ceil(np.arange(1, ranks + 1) * (len(ordered) / ranks)).astype(np.int64) - 1
    return np.unique(ordered[np.append(0, np.minimum(places, len(ordered) - 1))])


def _parts(column: Numbers | Categories) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A column's plain values with the types of its arrays, and the arrays as they are stored."""
    content = {field.name: getattr(column, field.name) for field in fields(column)}
    if isinstance(column, Numbers) and column.exact:
        del content["at"]
    arrays = {name: _small(value) for name, value in content.items() if isinstance(value, np.ndarray)}
    listed = {name: [array.dtype.str, len(array)] for name, array in arrays.items()}
    plain = {name: value for name, value in content.items() if name not in arrays}
    return plain | {"arrays": listed}, arrays


def _small(array: np.ndarray) -> np.ndarray:
    """The array in half the bytes where that loses nothing."""
    narrow = "<f4" if array.dtype.kind == "f" else "<u4"
    with np.errstate(over="ignore"):
        stored = array.astype(narrow)
    return stored if (stored == array).all() else array.astype("<f8" if narrow == "<f4" else "<i8")


def _head(line: bytes) -> dict[str, Any]:
    head = json.loads(line)
    if head.get("format") != FORMAT:
        raise DatasetError(
            f"a reference summary of format {head.get('format')} cannot be read: this release reads format {FORMAT}; "
            "deploy the version again"
        )
    return head


def _column(plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Numbers | Categories:
    content: dict[str, Any] = {**plain, **arrays}
    if "values" in plain:
        content["values"] = tuple(plain["values"])
        return Categories(**content)
    return Numbers(**{"at": content["counts"], **content})
