"""How far this week's rows have moved from those the champion was trained on: numbers per column, and Evidently's page.

The reference is kept as a profile of a few hundred numbers, so that comparing a week reads the week alone.
"""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError, require
from mlops_assets.ml.scores import defined

BINS = 10
QUANTILES = 101
REPORT_COLUMNS = 12
SMALLEST_SHARE = 1e-4
SCORE = "score"


def reference_profile(
    frame: pl.DataFrame, columns: Sequence[str], categories: Sequence[str] = ()
) -> dict[str, Any]:
    """What a comparison needs of the reference rows, as JSON values, by column.

    A number: bin edges at its deciles (a value that fills a bin of its own gets one), counts, nulls, quantiles and
    standard deviation. A category: counts of its values. NaN and infinity count as null.
    """
    require(frame, columns, "a drift reference")
    if not frame.height:
        raise DatasetError("a drift reference needs at least one row: the frame is empty")
    kinds = {c: _category_profile if c in categories else _number_profile for c in columns}
    return {"rows": frame.height, "columns": {c: kind(frame[c]) for c, kind in kinds.items()}}


def column_drift(profile: Mapping[str, Any], current: pl.DataFrame, threshold: float = 0.25) -> pl.DataFrame:
    """Each column of the profile against the current rows: column, psi, wasserstein, nulls_reference, nulls_current, drifted.

    Nulls are shares. `psi` is the population stability index with nulls as a bin of their own (0.1 is usually called
    small, 0.25 large); `wasserstein` is the first distance in standard deviations of the reference, null for
    categories; `drifted` says whether the PSI exceeds the threshold.
    """
    require(current, list(profile["columns"]), "a drift comparison")
    if not current.height:
        raise DatasetError("a drift comparison needs at least one current row: the frame is empty")
    rows = [_compare(name, reference, current[name]) for name, reference in profile["columns"].items()]
    schema = {
        "column": pl.String,
        **dict.fromkeys(("psi", "wasserstein", "nulls_reference", "nulls_current"), pl.Float64),
    }
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(drifted=pl.col("psi") > threshold)


def score_profile(score: np.ndarray) -> dict[str, Any]:
    """The profile of a model's predictions, for `score_psi`."""
    return reference_profile(pl.DataFrame({SCORE: score}), [SCORE])


def score_psi(profile: Mapping[str, Any], score: np.ndarray) -> float:
    """PSI of predictions against those of the reference rows; the same code as for columns."""
    return float(column_drift(profile, pl.DataFrame({SCORE: score}))["psi"][0])


def summary(drift: pl.DataFrame) -> dict[str, Any]:
    """Share of columns that drifted, how many of how many, and the worst column with its PSI."""
    worst = (
        drift.sort("psi", descending=True).row(0, named=True)
        if drift.height
        else {"column": None, "psi": None}
    )
    drifted = int(drift["drifted"].sum())
    return {
        "share_drifted": drifted / drift.height if drift.height else 0.0,
        "drifted": drifted,
        "columns": drift.height,
        "worst_column": worst["column"],
        "worst_psi": worst["psi"],
    }


def psi(expected: np.ndarray, actual: np.ndarray) -> float:
    """Population stability index of two rows of counts over the same bins; shares are kept above 0.0001."""
    p, q = (np.maximum(c / max(c.sum(), 1), SMALLEST_SHARE) for c in (expected, actual))
    return float(((q - p) * np.log(q / p)).sum())


def worst_columns(drift: pl.DataFrame, count: int = REPORT_COLUMNS) -> list[str]:
    """The columns that moved most by PSI, which are the ones worth a page: Evidently's cost grows with each column."""
    return drift.sort("psi", "column", descending=[True, False])["column"].head(count).to_list()


def report_html(
    reference: pl.DataFrame, current: pl.DataFrame, columns: Sequence[str], seed: int, rows: int
) -> str:
    """Evidently's DataDriftPreset as one self-contained page, over a seeded sample of at most `rows` of each side.

    About 0.08 CPU-seconds a column and 4 MB a page, of which 3.5 MB are the same script in each: see `detach_script`.
    Columns without a value on either side are left out, because Evidently refuses them.
    """
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    samples = [_sample(frame, columns, seed, rows) for frame in (reference, current)]
    kept = [c for c in columns if all(s[c].null_count() < s.height for s in samples)]
    texts = [c for c in kept if not samples[0].schema[c].is_numeric()]
    definition = DataDefinition(
        numerical_columns=[c for c in kept if c not in texts], categorical_columns=texts
    )
    old, new = (Dataset.from_pandas(s.select(kept).to_pandas(), definition) for s in samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Report([DataDriftPreset(columns=kept)]).run(new, old).get_html_str(as_iframe=False)


def detach_script(page: str, address: str) -> tuple[str, str]:
    """Take the longest inline script out of a report: (page that loads it from `address`, the script).

    The script is the same for every report of one Evidently version, so a year of reports needs it once.
    """
    blocks = [(m.start(1), m.end(1)) for m in re.finditer(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)]
    fixed = [(a, b) for a, b in blocks if "additional_graphs" not in page[a : a + 2000]]
    start, end = max(fixed, key=lambda block: block[1] - block[0])
    opening = page.rindex("<script", 0, start)
    return f'{page[:opening]}<script src="{address}">{page[end:]}', page[start:end]


def _number_profile(column: pl.Series) -> dict[str, Any]:
    values = _sorted_numbers(column)
    quantiles = _quantiles(values, QUANTILES)
    edges = _edges(values)
    return {
        "kind": "number",
        "edges": edges.tolist(),
        "counts": [*_counts(values, edges), len(column) - len(values)],
        "quantiles": quantiles.tolist(),
        "deviation": _deviation(values) if len(values) else 0.0,
    }


def _category_profile(column: pl.Series) -> dict[str, Any]:
    counted = _value_counts(column)
    return {"kind": "category", "values": list(counted), "counts": [*counted.values(), column.null_count()]}


def _compare(name: str, reference: Mapping[str, Any], column: pl.Series) -> tuple[Any, ...]:
    expected = np.asarray(reference["counts"], np.float64)
    compare = _compare_numbers if reference["kind"] == "number" else _compare_categories
    expected, actual, distance = compare(reference, expected, column)
    nulls = [float(c[-1] / c.sum()) for c in (expected, actual)]
    return (name, psi(expected, actual), distance, *nulls)


def _compare_numbers(
    reference: Mapping[str, Any], expected: np.ndarray, column: pl.Series
) -> tuple[np.ndarray, np.ndarray, float | None]:
    values = _sorted_numbers(column)
    actual = np.array(
        [*_counts(values, np.asarray(reference["edges"])), len(column) - len(values)], np.float64
    )
    quantiles = np.asarray(reference["quantiles"])
    if not len(values) or not len(quantiles):
        return expected, actual, None
    if reference["deviation"] is None:
        return expected, actual, None
    distance = np.abs(quantiles - _quantiles(values, QUANTILES)).mean()
    return expected, actual, defined(distance / max(reference["deviation"], 1e-3))


def _compare_categories(
    reference: Mapping[str, Any], expected: np.ndarray, column: pl.Series
) -> tuple[np.ndarray, np.ndarray, None]:
    counted = _value_counts(column)
    known = [counted.pop(value, 0) for value in reference["values"]]
    actual = np.array([*known, sum(counted.values()), column.null_count()], np.float64)
    return np.insert(expected, -1, 0.0), actual, None


def _deviation(values: np.ndarray) -> float | None:
    with np.errstate(over="ignore", invalid="ignore"):
        return defined(values.std())


def _sorted_numbers(column: pl.Series) -> np.ndarray:
    values = column.cast(pl.Float64).drop_nulls().to_numpy()
    return np.sort(values[np.isfinite(values)])


def _quantiles(values: np.ndarray, count: int) -> np.ndarray:
    """Values at the middles of `count` equal shares of sorted rows; their mean distance is the Wasserstein distance."""
    if not len(values):
        return values
    return values[((np.arange(count) + 0.5) / count * len(values)).astype(np.int64)]


def _edges(values: np.ndarray) -> np.ndarray:
    """Inner bin edges at the deciles; where deciles coincide, that value becomes a bin of its own."""
    if not len(values):
        return values
    deciles, times = np.unique(_quantiles_at(values, np.arange(1, BINS) / BINS), return_counts=True)
    return np.unique(np.concatenate([deciles, np.nextafter(deciles[times > 1], np.inf)]))


def _quantiles_at(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return values[np.minimum((shares * len(values)).astype(np.int64), len(values) - 1)]


def _counts(values: np.ndarray, edges: np.ndarray) -> list[int]:
    """Rows of sorted values by bin: below the first edge, from each edge up to the next, from the last on."""
    ends = np.searchsorted(values, edges, side="left")
    return np.diff(np.concatenate([[0], ends, [len(values)]])).astype(int).tolist()


def _value_counts(column: pl.Series) -> dict[str, int]:
    counted = column.cast(pl.String).drop_nulls().value_counts(name="count")
    return dict(sorted(counted.iter_rows()))


def _sample(frame: pl.DataFrame, columns: Sequence[str], seed: int, rows: int) -> pl.DataFrame:
    require(frame, columns, "a drift report")
    plain = frame.select(_plain(frame, column) for column in columns)
    return plain.sample(min(rows, plain.height), seed=seed)


def _plain(frame: pl.DataFrame, column: str) -> pl.Expr:
    """Numbers as floats with nulls for NaN, anything else as text: the two kinds that Evidently compares."""
    value = pl.col(column)
    return (
        value.cast(pl.Float64).fill_nan(None) if frame.schema[column].is_numeric() else value.cast(pl.String)
    )
