"""What of each column is watched over time, summed by day, so that days can be resampled and partitions made of them.

A reading is a mean over rows on a scale from 0 to 1, so that one smallest effect suits all. Of a number: its place among
the reference's rows (0.5 where nothing moved; the chance that a row of now exceeds one of the reference, Mann & Whitney
1947), how far from the middle that place is, and whether the value is missing. Of a category: each frequent value, any
other, and missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError, require
from mlops_assets.ml.values import SINGLE, Known, numbers

FREQUENT = 10
"""Values of a category that have a reading of their own."""
PLACE, SPREAD, MISSING, OTHER = "place", "spread", "missing", "any other value"


@dataclass(frozen=True, eq=False)
class Readings:
    """Sums and counts of every reading by day [days, readings]; `names` are pairs of column and what of it is read."""

    names: tuple[tuple[str, str], ...]
    sums: np.ndarray
    counts: np.ndarray

    @property
    def days(self) -> int:
        """How many days, or parts of a day where partitions are shorter."""
        return len(self.sums)

    @property
    def means(self) -> np.ndarray:
        """Each reading over all days [readings]; NaN where no row counts."""
        return ratio(self.sums.sum(axis=0), self.counts.sum(axis=0))

    @classmethod
    def joined(cls, parts: Sequence["Readings"]) -> Self:
        """The days of several partitions, one after another; raises DatasetError where they read different things."""
        if len({part.names for part in parts}) != 1:
            raise DatasetError(
                "readings of different columns, or none, cannot be joined: read each by one profile"
            )
        return cls(parts[0].names, *(np.vstack([getattr(p, n) for p in parts]) for n in ("sums", "counts")))


def readings(profile: Mapping[str, Any], frame: pl.DataFrame, day: pl.Series) -> Readings:
    """Read the columns of a reference profile (`drift.reference_profile`) on a frame's rows, of which `day` says the day.

    Returns one row for each different day, in order. Raises DatasetError for a frame without rows or without a column.
    """
    require(frame, list(profile["columns"]), "a drift alarm")
    if not frame.height:
        raise DatasetError("a drift alarm needs at least one row: the frame is empty")
    codes = (day.rank("dense") - 1).to_numpy().astype(np.int64)
    days, read = int(codes.max()) + 1, []
    for name, reference in profile["columns"].items():
        of_kind = _of_number if reference["kind"] == "number" else _of_category
        read += [(name, what, *pair) for what, *pair in of_kind(reference, frame[name])]
    sums, counts = (
        np.column_stack([np.bincount(codes, one[place], days) for one in read]) for place in (2, 3)
    )
    return Readings(tuple((name, what) for name, what, *_ in read), sums, counts)


def ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means of sums; NaN where nothing counts."""
    return np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)


def _of_number(reference: Mapping[str, Any], column: pl.Series) -> list[tuple[Any, ...]]:
    values = numbers(column).fill_null(np.nan).to_numpy()
    there = np.isfinite(values) & (np.abs(values) <= SINGLE)
    place = np.zeros(len(values))
    place[there] = places_among(reference, values[there].astype(np.float32).astype(np.float64))
    spread = np.where(there, np.abs(2 * place - 1), 0.0)
    known = there.astype(np.float64)
    return [(PLACE, place, known), (SPREAD, spread, known), (MISSING, 1 - known, np.ones(len(values)))]


def places_among(reference: Mapping[str, Any], values: np.ndarray) -> np.ndarray:
    """The share of a profile's rows below each value, ties counting half [values]; 0.5 for a profile without a value.

    Between two values that the profile keeps it is the middle of what may be: within 0.2% of the rows.
    """
    points = reference.get("points")
    ordered = np.asarray(points["values"] if points else reference["quantiles"], np.float64)
    if not len(ordered):
        return np.full(len(values), 0.5)
    counts = np.asarray(points["counts"]) if points else np.ones(len(ordered))
    at = np.asarray(points["at"]) if points else counts
    up_to = np.append(0, np.cumsum(counts))
    low, high = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    gap = np.append(up_to[1:] - at, up_to[-1])
    beside = (up_to[low] + gap[low]) / 2
    tied = (gap[low] + up_to[low + (high > low)]) / 2
    return np.where(high > low, tied, beside) / up_to[-1]


def _of_category(reference: Mapping[str, Any], column: pl.Series) -> list[tuple[Any, ...]]:
    texts = Known(reference["values"], reference.get("value_kind", "text")).read(column)
    counted = sorted(
        zip(reference["counts"], reference["values"], strict=False), key=lambda one: (-one[0], one[1])
    )
    frequent = [value for _, value in counted[:FREQUENT]]
    ones, missing = np.ones(len(column)), texts.is_null().to_numpy().astype(np.float64)
    shares = [
        (f"= {value}", (texts == value).fill_null(False).to_numpy().astype(np.float64)) for value in frequent
    ]
    other = ones - missing - sum((share for _, share in shares), np.zeros(len(column)))
    return [(what, share, ones) for what, share in [*shares, (OTHER, other), (MISSING, missing)]]
