"""How far this partition's rows have moved from those the champion was trained on: numbers per column, and Evidently's page.

The reference is kept as a profile of a few hundred numbers, so that comparing a partition reads the partition alone.
"""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError, require
from mlops_assets.ml.monitoring.bins import binned, in_order
from mlops_assets.ml.monitoring.comparison import category_distances
from mlops_assets.ml.monitoring.distances import in_deviations, jensen_shannon, largest_gap
from mlops_assets.ml.monitoring.psi import figures, measured, pooled
from mlops_assets.ml.monitoring.reference_summary import numbers_of, value_counts
from mlops_assets.ml.values import Known, canonical, kind_of, numbers

QUANTILES = 101
REPORT_COLUMNS = 12
SCORE = "score"
NUMBERS = (
    *("psi", "psi_raw", "psi_expected", "psi_chance", "wasserstein", "nulls_reference", "nulls_current"),
    *("ks", "ks_error", "jensen_shannon", "chi_square", "chi_square_freedom", "new_categories", "new_share"),
)
COUNTED = ("chi_square_freedom", "new_categories")
DISTANCES: dict[str, Any] = {
    "num_method": "wasserstein",
    "num_threshold": 0.1,
    "cat_method": "jensenshannon",
    "cat_threshold": 0.1,
}
"""What Evidently takes by default for over 1,000 rows, said for any number of them: of fewer it would go by p values."""

POINTS = 256
"""Values of a number that a profile keeps at most; see `reference_summary.py`."""


def reference_profile(
    frame: pl.DataFrame, columns: Sequence[str], categories: Sequence[str] = ()
) -> dict[str, Any]:
    """What a comparison needs of the reference rows, as JSON values, by column.

    A number: bin edges at its deciles (a value that fills a bin of its own gets one), counts, nulls, quantiles and
    standard deviation, in single precision, which is what a model sees, and POINTS values for the Kolmogorov-Smirnov
    statistic. A category, and any text: counts of its values
    by their canonical text (`ml/values.py`). NaN and infinity count as null.
    """
    require(frame, columns, "a drift reference")
    if not frame.height:
        raise DatasetError("a drift reference needs at least one row: the frame is empty")
    named = [c for c in columns if c in categories or kind_of(frame.schema[c]) == "text"]
    kinds = {c: _category_profile if c in named else _number_profile for c in columns}
    return {"rows": frame.height, "columns": {c: kind(frame[c]) for c, kind in kinds.items()}}


def column_drift(profile: Mapping[str, Any], current: pl.DataFrame, threshold: float = 0.25) -> pl.DataFrame:
    """Each column of the profile against the current rows: `column`, NUMBERS, `drifted` and `remark`.

    `psi` is the population stability index with nulls as a bin of their own (0.1 is usually called small, 0.25 large),
    less `psi_expected`, what two samples of one distribution have (`ml/psi.py`), and not below 0; `psi_raw` is as it was
    before. `wasserstein` is the first distance in standard deviations of the reference, null for categories; nulls are
    shares. `ks` is within `ks_error`, under 0.4%, of the exact one; it, Jensen-Shannon, `chi_square` and what is new are as in
    `comparison.py`, except that a profile of an earlier release has no `ks`. `drifted` says whether `psi` exceeds the threshold and `psi_chance`. Where either side has too few rows,
    the PSI and `drifted` are null and `remark` says so.
    """
    require(current, list(profile["columns"]), "a drift comparison")
    if not current.height:
        raise DatasetError("a drift comparison needs at least one current row: the frame is empty")
    compared = profile["columns"].items()
    rows = [{"column": name, **_compare(reference, current[name], threshold)} for name, reference in compared]
    numeric = {name: pl.Int64 if name in COUNTED else pl.Float64 for name in NUMBERS}
    return pl.DataFrame(
        rows, schema={"column": pl.String, **numeric, "drifted": pl.Boolean, "remark": pl.String}
    )


def score_profile(score: np.ndarray) -> dict[str, Any]:
    """The profile of a model's predictions, for `score_drift`."""
    return reference_profile(pl.DataFrame({SCORE: score}), [SCORE])


def score_drift(profile: Mapping[str, Any], score: np.ndarray, threshold: float = 0.25) -> dict[str, Any]:
    """Predictions against those of the reference rows, by the same code: the row of `column_drift`."""
    return column_drift(profile, pl.DataFrame({SCORE: score}), threshold).row(0, named=True)


def summary(drift: pl.DataFrame) -> dict[str, Any]:
    """Share of the columns with a PSI that drifted, how many of how many, and the worst column with its PSI.

    Columns of too few rows count nowhere but in `too_few_rows`; None where all are.
    """
    measured_columns = drift.filter(pl.col("psi").is_not_null())
    worst = measured_columns.sort("psi", "column", descending=[True, False]).head(1).to_dicts()
    drifted = int(measured_columns["drifted"].sum())
    return {
        "share_drifted": drifted / measured_columns.height if measured_columns.height else None,
        "drifted": drifted,
        "columns": measured_columns.height,
        "too_few_rows": drift.height - measured_columns.height,
        "worst_column": worst[0]["column"] if worst else None,
        "worst_psi": worst[0]["psi"] if worst else None,
    }


def worst_columns(drift: pl.DataFrame, count: int = REPORT_COLUMNS) -> list[str]:
    """The columns that moved most by PSI, which are the ones worth a page: Evidently's cost grows with each column."""
    ordered = drift.sort("psi", "column", descending=[True, False], nulls_last=True)
    return ordered["column"].head(count).to_list()


def report_html(
    reference: pl.DataFrame, current: pl.DataFrame, columns: Sequence[str], seed: int, rows: int
) -> str:
    """Evidently's DataDriftPreset as one self-contained page, over a seeded sample of at most `rows` of each side.

    About 0.08 CPU-seconds a column and 4 MB a page, of which 3.5 MB are the same script in each: see `detach_script`.
    Columns without a value on either side are left out, because Evidently refuses them; where none is left, the page is
    one sentence.
    """
    os.environ["DO_NOT_TRACK"] = "true"
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    named = [c for c in columns if c in reference.columns and kind_of(reference.schema[c]) != "number"]
    samples = [_sample(frame, columns, named, seed, rows) for frame in (reference, current)]
    filled = [c for c in columns if all(s[c].null_count() < s.height for s in samples)]
    if not filled:
        return _page_without_values(columns, samples)
    texts = [c for c in filled if c in named]
    definition = DataDefinition(
        numerical_columns=[c for c in filled if c not in texts], categorical_columns=texts
    )
    old, new = (Dataset.from_pandas(s.select(filled).to_pandas(), definition) for s in samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        preset = DataDriftPreset(columns=filled, **DISTANCES)
        return Report([preset]).run(new, old).get_html_str(as_iframe=False)


def detach_script(page: str, address: str) -> tuple[str, str]:
    """Take the longest inline script out of a report: (page that loads it from `address`, the script).

    The script is the same for every report of one Evidently version, so a year of reports needs it once. A page that is
    one sentence has none.
    """
    if "<script" not in page:
        return page, ""
    blocks = [(m.start(1), m.end(1)) for m in re.finditer(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)]
    fixed = [(a, b) for a, b in blocks if "additional_graphs" not in page[a : a + 2000]]
    start, end = max(fixed, key=lambda block: block[1] - block[0])
    opening = page.rindex("<script", 0, start)
    return f'{page[:opening]}<script src="{address}">{page[end:]}', page[start:end]


def _page_without_values(columns: Sequence[str], samples: Sequence[pl.DataFrame]) -> str:
    sides = [
        f"{side} {sample.height} rows have a value in {sum(sample[c].null_count() < sample.height for c in columns)}"
        for side, sample in zip(("the reference's", "the current"), samples, strict=True)
    ]
    sentence = (
        f"There is nothing to draw: of the {len(columns)} columns {', '.join(columns)} none has a value on both sides "
        f"({' and '.join(sides)}). The numbers of each column are on the drift asset's page."
    )
    return f"<!DOCTYPE html><html><body><p>{escape(sentence)}</p></body></html>"


def _number_profile(column: pl.Series) -> dict[str, Any]:
    values = in_order(column)
    points = numbers_of(values, len(column), exact_values=POINTS, ranks=POINTS - 1)
    return {
        "kind": "number",
        "precision": "single",
        "edges": points.edges.tolist(),
        "counts": [*points.bins.tolist(), points.missing],
        "quantiles": _quantiles(values, QUANTILES).tolist(),
        "deviation": points.deviation,
        "points": {name: getattr(points, name).tolist() for name in ("values", "counts", "at")},
    }


def _category_profile(column: pl.Series) -> dict[str, Any]:
    counted = value_counts(column, canonical)
    nulls = len(column) - sum(counted.values())
    return {
        "kind": "category",
        "value_kind": kind_of(column.dtype),
        "values": list(counted),
        "counts": [*counted.values(), nulls],
    }


def _compare(reference: Mapping[str, Any], column: pl.Series, threshold: float) -> dict[str, Any]:
    compare = _compare_numbers if reference["kind"] == "number" else _compare_categories
    expected, actual, distances = compare(reference, column)
    value = measured(expected, actual)
    return {
        **figures(value, expected, actual),
        **distances,
        "drifted": value.exceeds(threshold) if value else None,
    }


def _compare_numbers(
    reference: Mapping[str, Any], column: pl.Series
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    expected = np.asarray(reference["counts"], np.float64)
    values = in_order(column, single=reference.get("precision") == "single")
    actual = np.array(
        [*binned(values, np.asarray(reference["edges"])), len(column) - len(values)], np.float64
    )
    distances = {
        "wasserstein": _distance(reference, values),
        "jensen_shannon": jensen_shannon(expected[:-1], actual[:-1]),
        **_gap(reference.get("points"), values),
    }
    return expected, actual, distances


def _distance(reference: Mapping[str, Any], values: np.ndarray) -> float | None:
    """The mean distance of the quantiles, in standard deviations of the reference."""
    quantiles = np.asarray(reference["quantiles"])
    if not len(values) or not len(quantiles):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        moved = np.abs(quantiles - _quantiles(values, QUANTILES)).mean()
        return in_deviations(moved, reference["deviation"])


def _gap(points: Mapping[str, Any] | None, values: np.ndarray) -> dict[str, float | None]:
    """Kolmogorov-Smirnov with its error; nothing of a profile of before, which kept no values for it."""
    if points is None or not points["values"] or not len(values):
        return {"ks": None, "ks_error": None}
    ordered, counts, at = (np.asarray(points[name]) for name in ("values", "counts", "at"))
    before = (counts.cumsum() - at, counts.cumsum())
    below, up_to = (np.searchsorted(values, ordered, side=side) for side in ("left", "right"))
    rows = int(counts.sum())
    error = float((counts - at).max()) / rows
    return {"ks": largest_gap(before, (below, up_to), rows, len(values)), "ks_error": error}


def _compare_categories(
    reference: Mapping[str, Any], column: pl.Series
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    *counts, nulls = reference["counts"]
    before = dict(zip(reference["values"], counts, strict=True))
    known = Known(reference["values"], reference.get("value_kind", "text"))
    now = value_counts(column, known.read)
    nulls_now = len(column) - sum(now.values())
    expected, actual = pooled(before, now, sum(counts) + nulls, len(column))
    distances = category_distances(before, now, len(column))
    return np.append(expected, nulls), np.append(actual, nulls_now), distances


def _quantiles(values: np.ndarray, count: int) -> np.ndarray:
    """Values at the middles of `count` equal shares of sorted rows; their mean distance is the Wasserstein distance."""
    if not len(values):
        return values
    return values[((np.arange(count) + 0.5) / count * len(values)).astype(np.int64)]


def _sample(
    frame: pl.DataFrame, columns: Sequence[str], named: Sequence[str], seed: int, rows: int
) -> pl.DataFrame:
    """Numbers as a model sees them, null where that is not finite; what is named as text: the two kinds that Evidently compares.

    Evidently's histograms fail on numbers that only double precision tells apart or can hold, and it writes texts into its
    page as they are: without their `<` none can end the script that it stands in.
    """
    require(frame, columns, "a drift report")
    some = frame.select(columns).sample(min(rows, frame.height), seed=seed)
    return some.select(_harmless(some[c]) if c in named else _single(numbers(some[c])) for c in columns)


def _harmless(values: pl.Series) -> pl.Series:
    return canonical(values).str.replace_all("<", "\u2039", literal=True)


def _single(values: pl.Series) -> pl.Series:
    seen = values.cast(pl.Float32).cast(pl.Float64)
    return seen.set(~seen.is_finite(), None)
