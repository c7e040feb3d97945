"""How the values of each column of a frame are spread: a small picture, the share that is missing, and three numbers.

Bars hold equal widths between the 1st and the 99th percentile, the outermost ones also what lies beyond. A column of
few whole numbers gets a bar for each.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.reports.sparklines import data_uri
from mlops_assets.ml.values import TEXTS, canonical, kind_of

BARS, WIDTH, HEIGHT = 12, 96, 24
TAILS = (0.01, 0.99)
TOP_VALUES = 3
NOTHING = "-"


def distributions(
    frame: pl.DataFrame, skip: Collection[str] = (), unix_seconds: Collection[str] = ()
) -> list[dict[str, Any]]:
    """One row for each column: `column`, `values` (Markdown), `missing`, `min`, `median` and `max`, all as text.

    Args:
        frame: any rows; numbers are drawn, of text and booleans the most frequent values are named, other types are left out.
        skip: columns to leave out, such as keys.
        unix_seconds: columns whose numbers are moments, shown as such (UTC).
    """
    return [
        {"column": name, **_spread(frame[name], name in unix_seconds)}
        for name, dtype in frame.schema.items()
        if name not in skip and (kind_of(dtype) != "text" or dtype in TEXTS)
    ]


def histogram(ordered: np.ndarray) -> np.ndarray:
    """Counts of sorted, finite values in at most BARS bins of equal width; their sum is the number of values."""
    low, high = (float(ordered[int(share * (len(ordered) - 1))]) for share in TAILS)
    codes = ordered[-1] - ordered[0] < BARS and not np.any(ordered % 1)
    if codes:
        edges = np.arange(np.floor(ordered[0]), ordered[-1] + 1) + 0.5
    else:
        edges = np.linspace(low, high, BARS + 1)[1:]
    below = np.searchsorted(ordered, edges[:-1], side="right")
    return np.diff([0, *below, len(ordered)])


def bars(counts: np.ndarray) -> str:
    """The counts as an SVG of WIDTH by HEIGHT pixels; a bar that is not empty is at least one pixel high."""
    heights = np.where(counts > 0, np.maximum(np.round(counts / counts.max() * HEIGHT), 1), 0).astype(int)
    step = WIDTH // len(counts)
    path = "".join(f"V{HEIGHT - height}h{step}" for height in heights)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}'>"
        f"<path d='M0,{HEIGHT}{path}V{HEIGHT}z' fill='steelblue'/></svg>"
    )


def _spread(values: pl.Series, moments: bool) -> dict[str, str]:
    values = values.cast(pl.Float64) if values.dtype.is_decimal() else values
    values = values.fill_nan(None) if values.dtype.is_float() else values
    numbers = {
        "values": NOTHING,
        "missing": _missing(values),
        "min": NOTHING,
        "median": NOTHING,
        "max": NOTHING,
    }
    if values.null_count() == len(values):
        return numbers
    if kind_of(values.dtype) != "number":
        return {**numbers, "values": _most_frequent(values)}
    ordered = np.sort(values.drop_nulls().to_numpy())
    if not (np.isfinite(ordered[0]) and np.isfinite(ordered[-1])):
        ordered = ordered[np.isfinite(ordered)]
    if not len(ordered):
        return numbers
    picture = f"![{values.name}]({data_uri(bars(histogram(ordered)))})"
    shown = [_text(number, moments) for number in (ordered[0], _middle(ordered), ordered[-1])]
    return {**numbers, "values": picture, **dict(zip(("min", "median", "max"), shown, strict=True))}


def _middle(ordered: np.ndarray) -> float:
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else (float(ordered[half - 1]) + float(ordered[half])) / 2


def _missing(values: pl.Series) -> str:
    return f"{values.null_count() / len(values):.1%}" if values.null_count() else "0%"


def _most_frequent(values: pl.Series) -> str:
    texts = canonical(values).drop_nulls().alias("value")
    counts = texts.value_counts(name="rows").sort("rows", "value", descending=[True, False])
    total = counts["rows"].sum()
    top = [f"{value} {count / total:.0%}" for value, count in counts.head(TOP_VALUES).iter_rows()]
    more = counts.height - len(top)
    return ", ".join(top + ([f"{more:,} more"] if more else []))


def _text(number: float, moment: bool) -> str:
    if moment:
        return datetime.fromtimestamp(float(number), UTC).strftime("%Y-%m-%d %H:%M")
    if abs(number) < 1000:
        unsigned_zero = number + 0.0
        return f"{unsigned_zero:.3g}"
    return f"{number:.0f}" if abs(number) < 10_000 else f"{number:,.0f}"
