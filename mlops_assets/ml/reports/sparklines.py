"""Pictures small enough to stand in a table: one curve against the diagonal, as SVG of under 950 characters.

Dagster shows Markdown in place up to a thousand characters, so a picture that is to be seen without a click has to
be drawn with few points. The full pictures are in `plots`.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import numpy as np

from mlops_assets.ml.judging.metrics import auc

WIDTH, HEIGHT = 220, 150
LARGEST = 950
TENTHS, POINTS = 10, 16


def sparklines(y: np.ndarray, score: np.ndarray, task: str) -> dict[str, str]:
    """SVG by name: reliability and roc for a classification, actual_by_predicted for a regression."""
    y, score = np.asarray(y, np.float64), np.asarray(score, np.float64)
    predicted, actual = tenths(y, score)
    low, high = (float(f(np.concatenate([predicted, actual]))) for f in (np.min, np.max))
    if task == "regression":
        return {"actual_by_predicted": curve(predicted, actual, low, high, "predicted", "actual")}
    drawn = {"reliability": curve(predicted, actual, 0.0, high, "predicted", "observed")}
    if auc(y, score) is not None:
        drawn["roc"] = curve(*_roc(y, score), 0.0, 1.0, "false alarms", "hits")
    return drawn


Line = Sequence[Sequence[float]]
"""Places across and places up."""


def reliability(now: Line, before: Line | None) -> str:
    """Observed by predicted rate of now (blue), and of before (orange) where that is known, both by tenths of the rows."""
    lines = [now, before] if before else [now]
    high = max(max(part) for line in lines for part in line)
    x, y = np.array(now)
    return curve(x, y, 0.0, high, "predicted", "observed", before)


def curve(
    x: np.ndarray, y: np.ndarray, low: float, high: float, across: str, up: str, other: Line | None = None
) -> str:
    """A line through the points in a square plot from `low` to `high` on both axes, the diagonal dashed; another one under it in orange."""
    span = (high - low) or 1.0
    left, right, top, bottom = 34, WIDTH - 8, 8, HEIGHT - 24
    points, others = (
        " ".join(
            f"{left + (a - low) / span * (right - left):.0f},{bottom - (b - low) / span * (bottom - top):.0f}"
            for a, b in zip(*line, strict=True)
        )
        for line in ((x, y), other or ((), ()))
    )
    under = f"<polyline points='{others}' stroke='orange'/>" if other else ""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' font-size='11' font-family='Arial' fill='none'>"
        f"<path d='M{left} {top}V{bottom}H{right}' stroke='gray'/>"
        f"<path d='M{left} {bottom}L{right} {top}' stroke='gray' stroke-dasharray='3'/>"
        f"{under}<polyline points='{points}' stroke='blue' stroke-width='2'/>"
        f"<g fill='gray'><text x='2' y='14'>{high:.2g}</text><text x='2' y='{bottom}'>{low:.2g}</text>"
        f"<text x='90' y='{HEIGHT - 8}'>{across}</text><text x='38' y='14'>{up}</text></g></svg>"
    )


def bars(values: Mapping[str, int]) -> str:
    """A line for each name with its count and a bar as long as its share of the largest; at most seven fit."""
    longest = max([*values.values(), 1])
    rows = [(18 * i + 13, max(round(90 * count / longest), 1)) for i, count in enumerate(values.values())]
    shapes = "".join(f"M160 {y - 9}h{width}v10H160z" for y, width in rows)
    texts = "".join(
        f"<text y='{y}'>{name} {count:,}</text>"
        for (y, _), (name, count) in zip(rows, values.items(), strict=True)
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='252' height='{18 * len(values) + 2}' font-size='11' "
        f"font-family='Arial' fill='gray'><path d='{shapes}' fill='blue'/>{texts}</svg>"
    )


def data_uri(svg: str) -> str:
    """The SVG as an address; only what an address inside Markdown may not hold is escaped.

    Raises ValueError where it is longer than a page shows in place.
    """
    address = "data:image/svg+xml," + quote(svg, safe="/:;=,'")
    if len(address) > LARGEST:
        raise ValueError(f"the picture takes {len(address)} characters, at most {LARGEST} are shown in place")
    return address


def tenths(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean score and mean outcome of ten groups of rows, from the lowest scores to the highest."""
    groups = [rows for rows in np.array_split(np.argsort(score, kind="stable"), TENTHS) if len(rows)]
    return np.array([score[rows].mean() for rows in groups]), np.array([y[rows].mean() for rows in groups])


def _roc(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rate at a few thresholds; equal scores fall on one side."""
    order = np.argsort(-score, kind="stable")
    hits = np.concatenate([[0], np.cumsum(y[order] > 0.5)])
    misses = np.arange(len(hits)) - hits
    ends = np.concatenate([[0], np.flatnonzero(np.diff(score[order])) + 1, [len(y)]])
    places = np.linspace(0, 1, POINTS) ** 1.5 * len(y)
    keep = np.unique(ends[np.minimum(np.searchsorted(ends, places), len(ends) - 1)])
    return misses[keep] / misses[-1], hits[keep] / hits[-1]
