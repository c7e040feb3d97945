"""Every statistic of every column of some rows against the summary of a reference: rows in memory, or read in parts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError, require
from mlops_assets.ml.monitoring.bins import binned, in_order
from mlops_assets.ml.monitoring.distances import (
    chi_square,
    in_deviations,
    jensen_shannon,
    largest_gap,
    moved,
)
from mlops_assets.ml.monitoring.psi import figures, measured, pooled
from mlops_assets.ml.monitoring.reference_summary import (
    Categories,
    Numbers,
    Summary,
    refuse_lists,
    value_counts,
)
from mlops_assets.ml.scores import defined

STATISTICS = (
    *("ks", "ks_error", "wasserstein", "wasserstein_error", "jensen_shannon", "chi_square"),
    *("psi", "psi_raw", "psi_expected", "psi_chance", "nulls_reference", "nulls_current", "new_share"),
)
"""What is a share, a distance or an index: Float64, null where it is not defined."""
SCHEMA = {
    "column": pl.String,
    **dict.fromkeys(STATISTICS, pl.Float64),
    "chi_square_freedom": pl.Int64,
    "new_categories": pl.Int64,
    "remark": pl.String,
}
ROWS_AT_ONCE = 1_000_000


def compare(summary: Summary, frame: pl.DataFrame) -> pl.DataFrame:
    """Each column of the summary against the rows of a frame, a row for each by SCHEMA.

    `ks` and `wasserstein` (in standard deviations of the reference) are those of numbers, each within its `_error` of the
    exact one, which is 0 where the summary keeps every value; `chi_square` with its degrees of freedom, `new_categories` and
    `new_share` of the rows are those of categories. `psi` is the corrected one (`psi.py`); nulls are shares of the rows.
    Raises DatasetError for a frame without rows, a column that it lacks, and lists.
    """
    return _compared(summary, [frame], whole=True)


def compare_scan(summary: Summary, rows: pl.LazyFrame, at_once: int = ROWS_AT_ONCE) -> pl.DataFrame:
    """The same for rows that need not fit in memory, such as a scan of parquet files: so many are read at a time.

    Memory does not grow with the rows, only with the different texts of categories. `wasserstein_error` then has the
    distance in it by which the current rows were moved to values of the summary, as those of the reference were.
    """
    return _compared(summary, _parts(rows, list(summary.columns), at_once), whole=False)


def _parts(rows: pl.LazyFrame, columns: Sequence[str], at_once: int) -> Iterable[pl.DataFrame]:
    start = 0
    while (part := rows.slice(start, at_once).select(columns).collect()).height:
        yield part
        start += part.height


def _compared(summary: Summary, parts: Iterable[pl.DataFrame], whole: bool) -> pl.DataFrame:
    seen = {
        name: _SeenNumbers(column, whole and column.exact)
        if isinstance(column, Numbers)
        else _SeenCategories(column)
        for name, column in summary.columns.items()
    }
    rows = 0
    for part in parts:
        require(part, list(seen), "a drift comparison")
        refuse_lists(part, list(seen))
        rows += part.height
        for name, column in seen.items():
            column.add(part[name])
    if not rows:
        raise DatasetError("a drift comparison needs at least one current row: there is none")
    compared = [{"column": name, **column.statistics()} for name, column in seen.items()]
    return pl.DataFrame(compared, schema=SCHEMA)


class _SeenNumbers:
    """Current rows of one column of numbers: how many lie below and up to each value of the reference, and their sums."""

    def __init__(self, reference: Numbers, exact: bool) -> None:
        self.reference, self.exact = reference, exact
        self.rows = self.total = 0
        self.below = np.zeros(len(reference.values), np.int64)
        self.up_to = np.zeros(len(reference.values), np.int64)
        self.bins = np.zeros(len(reference.edges) + 1, np.int64)
        self.beyond = self.shifted = 0.0
        self.moved = moved(reference.values, reference.counts, np.array([]))

    def add(self, column: pl.Series) -> None:
        ordered = in_order(column)
        self.rows += len(column)
        self.total += len(ordered)
        self.bins += binned(ordered, self.reference.edges)
        if self.exact:
            self.moved = moved(self.reference.values, self.reference.counts, ordered)
        elif len(self.reference.values):
            self._place(ordered)

    def _place(self, ordered: np.ndarray) -> None:
        """Count rows at the values of the reference, and add up how far they lie from those at which they count."""
        values = self.reference.values
        below, up_to = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
        self.below += below
        self.up_to += up_to
        first, last = below[0], up_to[-1]
        inside, at_each = ordered[first:last], np.diff(up_to, prepend=first)
        with np.errstate(over="ignore", invalid="ignore"):
            self.beyond += (values[0] - ordered[:first]).sum() + (ordered[last:] - values[-1]).sum()
            self.shifted += max(float(at_each @ values - inside.sum()), 0.0)

    def statistics(self) -> dict[str, Any]:
        reference, nulls = self.reference, self.rows - self.total
        expected, actual = np.append(reference.bins, reference.missing), np.append(self.bins, nulls)
        return {
            **(self._exactly() if self.exact else self._at_values()),
            "jensen_shannon": jensen_shannon(reference.bins, self.bins),
            **_psi(expected, actual),
        }

    def _exactly(self) -> dict[str, float | None]:
        distance = in_deviations(self.moved.wasserstein, self.reference.deviation)
        error, ks = (None if distance is None else 0.0), self.moved.ks
        return {
            "ks": ks,
            "ks_error": None if ks is None else 0.0,
            "wasserstein": distance,
            "wasserstein_error": error,
        }

    def _at_values(self) -> dict[str, float | None]:
        reference = self.reference
        if not reference.rows or not self.total:
            return dict.fromkeys(("ks", "ks_error", "wasserstein", "wasserstein_error"))
        ks = largest_gap(reference.below, (self.below, self.up_to), reference.rows, self.total)
        apart = np.abs(reference.below[1] / reference.rows - self.up_to / self.total)[:-1]
        with np.errstate(over="ignore", invalid="ignore"):
            area = defined(float(apart @ np.diff(reference.values) + self.beyond / self.total))
            error = defined((reference.shifted or 0.0) + self.shifted / self.total)
        if reference.shifted is None or area is None or error is None:
            area = error = None
        return {
            "ks": ks,
            "ks_error": reference.ks_error,
            "wasserstein": in_deviations(area, reference.deviation),
            "wasserstein_error": in_deviations(error, reference.deviation),
        }


class _SeenCategories:
    """Current rows of one column of categories, by value."""

    def __init__(self, reference: Categories) -> None:
        self.reference, self.known = reference, reference.known
        self.rows, self.counted = 0, Counter[str]()

    def add(self, column: pl.Series) -> None:
        self.rows += len(column)
        self.counted.update(value_counts(column, self.known.read))

    def statistics(self) -> dict[str, Any]:
        reference, missing = self.reference, self.reference.missing
        before = dict(zip(reference.values, reference.counts.tolist(), strict=True))
        nulls, rows = self.rows - self.counted.total(), int(reference.counts.sum()) + missing
        expected, actual = pooled(before, self.counted, rows, self.rows)
        return {
            **category_distances(before, self.counted, self.rows),
            **_psi(np.append(expected, missing), np.append(actual, nulls)),
        }


def category_distances(before: dict[str, int], now: dict[str, int], rows: int) -> dict[str, Any]:
    """Jensen-Shannon, chi-square and what is new, of two sides' rows by category; `rows` are all the current ones."""
    new = sorted(name for name in now if name not in before)
    sides = [np.array([side.get(name, 0) for name in [*before, *new]], np.float64) for side in (before, now)]
    statistic, freedom = chi_square(*sides) or (None, None)
    return {
        "jensen_shannon": jensen_shannon(*sides),
        "chi_square": statistic,
        "chi_square_freedom": freedom,
        "new_categories": len(new),
        "new_share": sum(now[name] for name in new) / rows,
    }


def _psi(expected: np.ndarray, actual: np.ndarray) -> dict[str, Any]:
    return figures(measured(expected, actual), expected, actual)
