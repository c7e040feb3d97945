"""What Evidently's page is fed with: a sample that comes to the conclusions that all rows come to, and the exact scores above it."""

from collections.abc import Sequence
from html import escape

import polars as pl

from mlops_assets.ml.monitoring.comparison import compare
from mlops_assets.ml.monitoring.reference_summary import summarize

LIMIT = 0.1
"""Evidently's limit of a column's distance, of numbers the Wasserstein distance in deviations, of categories Jensen-Shannon's."""

TRIES = 8
SHOWN = (
    "psi",
    "wasserstein",
    "ks",
    "jensen_shannon",
    "nulls_reference",
    "nulls_current",
    "new_share",
    "drifted",
)
STYLE = "font:14px sans-serif;padding:1em 2em;background:#fff;color:#222"


def conclusions(compared: pl.DataFrame) -> dict[str, bool]:
    """By column of a comparison whether its distance reaches Evidently's limit; columns without a distance are left out."""
    distance = pl.coalesce("wasserstein", "jensen_shannon")
    concluded = compared.select("column", over=distance >= LIMIT).drop_nulls("over")
    return dict(concluded.iter_rows())


def agreeing_sample(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    exact: pl.DataFrame,
    named: Sequence[str],
    seed: int,
    rows: int,
) -> tuple[pl.DataFrame, list[str]]:
    """A seeded sample of at most `rows` current rows, and the columns on which it does not conclude what all rows do.

    `exact` compares all rows, a line a column (`drift.column_drift`). Of TRIES samples it is the first with the fewest such
    columns: a distance beside the limit may fall on either side of it by the luck of a draw.
    """
    expected = {column: over for column, over in conclusions(exact).items() if column in current.columns}
    known = (
        summarize(reference, [*expected], [c for c in named if c in expected]) if reference.height else None
    )
    best, differing = current.sample(min(rows, current.height), seed=seed), [*expected]
    for attempt in range(TRIES if known and expected and current.height else 0):
        sample = current.sample(min(rows, current.height), seed=seed + attempt)
        concluded = conclusions(compare(known, sample)) if known else {}
        wrong = [column for column, over in expected.items() if concluded.get(column) is not over]
        if len(wrong) < len(differing) or not attempt:
            best, differing = sample, wrong
        if not differing or rows >= current.height:
            break
    return best, differing


def with_exact_scores(
    page: str, exact: pl.DataFrame, rows: int, sampled: int, differing: Sequence[str]
) -> str:
    """Evidently's page with the scores of all rows above what it drew of a sample, and where its drawing concludes otherwise."""
    columns = [name for name in SHOWN if name in exact.columns]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("column", *columns))
    lines = [
        f"<tr><td>{escape(row['column'])}</td>{''.join(f'<td>{_cell(row[name])}</td>' for name in columns)}</tr>"
        for row in exact.iter_rows(named=True)
    ]
    said = (
        f"The sample concludes otherwise on {', '.join(differing)}, whose distance lies beside Evidently's limit of {LIMIT:g}: "
        "the scores here count."
        if differing
        else f"Each column of the sample is on the same side of Evidently's limit of {LIMIT:g} as all rows are."
    )
    sentence = (
        f"Exact scores of all {rows:,} rows. Below is what Evidently draws of a sample of {sampled:,}. {said}"
    )
    table = f"<table cellpadding=4 style='border-collapse:collapse'><tr>{head}</tr>{''.join(lines)}</table>"
    section = f"<section id=exact style='{STYLE}'><p>{escape(sentence)}</p>{table}</section>"
    place = page.find(">", page.find("<body")) + 1
    return f"{page[:place]}{section}{page[place:]}" if "<body" in page else section + page


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else escape(str(value))
