"""Which columns and slices moved the mean score: the change of the model's own contributions from the reference to now.

A model's contributions of a row add up to its raw score (S. Lundberg & S.-I. Lee 2017, https://arxiv.org/abs/1705.07874; of
trees exact), so their means add up to the mean raw score, and what the mean of a column's contributions changed by is the
column's part of the change. By slice, each value's part is what its share of the rows times its mean score, told from the
reference's mean, changed by; these add up to the same change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.values import canonical

FEW = 1e-12
PICTURE_BINS = 24
TAILS = (0.01, 0.99)


@dataclass(frozen=True, eq=False)
class Explained:
    """Rows with what each feature adds to their raw scores: `base` [rows], `values` [rows, features] in the order of `features`."""

    features: tuple[str, ...]
    base: np.ndarray
    values: np.ndarray

    @property
    def raw(self) -> np.ndarray:
        """The raw score of each row [rows]."""
        return self.base + self.values.sum(axis=1)


def by_column(before: Explained, now: Explained) -> pl.DataFrame:
    """Each column's part of the change of the mean raw score: `column`, `change`, `share` of all parts' sizes; the largest first.

    The changes add up to the mean raw score of now less that of before. Raises DatasetError for a side without rows, or of other features.
    """
    _refuse(before, now)
    change = now.values.mean(axis=0) - before.values.mean(axis=0)
    return _ordered(pl.DataFrame({"column": now.features, "change": change}), "column")


def by_slice(
    before: Explained,
    now: Explained,
    rows_before: pl.DataFrame,
    rows_now: pl.DataFrame,
    slices: Sequence[str],
) -> pl.DataFrame:
    """Each value's part of that change: `slice` (column and value), `change`, `share` of all parts' sizes of its column, `rows_before`, `rows_now` (shares).

    `rows_*` are the frames that were explained. A slice that a frame lacks as a column is left out.
    """
    _refuse(before, now)
    parts = [
        _ordered(_of_one(before, now, rows_before[name], rows_now[name]), "slice")
        for name in slices
        if name in rows_before.columns and name in rows_now.columns
    ]
    empty = {
        "slice": pl.String,
        "change": pl.Float64,
        "share": pl.Float64,
        "rows_before": pl.Float64,
        "rows_now": pl.Float64,
    }
    return pl.concat(parts) if parts else pl.DataFrame(schema=empty)


def then_and_now(before: pl.Series, now: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Counts of finite numbers of both sides [PICTURE_BINS each] over the same bins, what lies beyond at their ends; none where a side has no value."""
    sides = [side.cast(pl.Float64).drop_nulls().to_numpy() for side in (before, now)]
    sides = [side[np.isfinite(side)] for side in sides]
    if not all(map(len, sides)):
        return np.array([]), np.array([])
    ends = np.array([np.quantile(side, TAILS) for side in sides])
    low, high = float(ends.min()), float(ends.max())
    high = high if high > low else low + 1.0
    first, second = (np.histogram(np.clip(side, low, high), PICTURE_BINS, (low, high))[0] for side in sides)
    return first, second


def _of_one(before: Explained, now: Explained, then: pl.Series, today: pl.Series) -> pl.DataFrame:
    middle = float(before.raw.mean())
    parts, shares = [], []
    for side, column in ((before, then), (now, today)):
        grouped = (
            pl.DataFrame(
                {"slice": canonical(column).fill_null("missing"), "part": (side.raw - middle) / len(side.raw)}
            )
            .group_by("slice")
            .agg(pl.col("part").sum(), (pl.len() / len(side.raw)).alias("rows"))
        )
        parts.append(grouped)
    both = parts[0].join(parts[1], on="slice", how="full", suffix="_now", coalesce=True).fill_null(0.0)
    shares = {"rows_before": both["rows"], "rows_now": both["rows_now"]}
    named = both["slice"].map_elements(lambda value: f"{then.name} {value}", return_dtype=pl.String)
    return pl.DataFrame({"slice": named, "change": both["part_now"] - both["part"], **shares})


def _ordered(parts: pl.DataFrame, name: str) -> pl.DataFrame:
    size = pl.col("change").abs()
    shared = parts.with_columns(share=size / pl.max_horizontal(size.sum(), pl.lit(FEW)))
    columns = [name, "change", "share", *(c for c in parts.columns if c not in (name, "change"))]
    return shared.sort("share", name, descending=[True, False]).select(columns)


def _refuse(before: Explained, now: Explained) -> None:
    if before.features != now.features or not len(before.base) or not len(now.base):
        raise DatasetError(
            f"a change of scores is told from rows of both sides with the same features: got {len(before.base)} and {len(now.base)} "
            f"rows of {len(before.features)} and {len(now.features)} features; explain both by one model"
        )
