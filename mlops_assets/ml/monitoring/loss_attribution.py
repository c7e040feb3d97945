"""Which slices and columns moved the mean loss, on rows of before and of now whose labels are known: parts that add up to the change.

- By slice: the change of a mean over groups has a part that comes of the groups' shares and one that comes of their means (E. Kitagawa
  1955, Components of a Difference Between Two Rates, https://doi.org/10.1080/01621459.1955.10501299; Oaxaca & Blinder 1973), each
  weighed by the average of then and now, so that nothing is left over and neither side is the standard.
- By column: of each row the loss of its raw score, less that of the model's base, is shared among the columns by their
  contributions along the straight way from the base to the raw score: Aumann & Shapley's values, which are integrated gradients
  (Sundararajan, Taly & Yan 2017, https://arxiv.org/abs/1703.01365). The loss depends on the sum of the contributions alone, so each
  column has its contribution's share of it, exactly. To watch a model by the loss that each column adds is Lundberg's (2020,
  https://doi.org/10.1038/s42256-019-0138-9). What the loss of the base itself changed by is no column's: the labels moved.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError, require
from mlops_assets.ml.judging.metrics import slice_parts
from mlops_assets.ml.monitoring.attribution import FEW, Explained

LOSS, SIDE = "_loss", "_side"
THE_LABELS = "(the labels)"
"""Stands among the columns for the loss of the model's base: what changes although no column says anything."""

STEP, CLOSE = 1e-4, 1e-6
"""Where contributions cancel up to CLOSE, the loss by them is its slope at the base, told over twice a STEP."""

LEAST_HISTORY = 4
"""Means of before under which nothing is said of what chance makes of the next."""

Losses = Callable[[np.ndarray], np.ndarray]
"""The loss of each row [rows] by the raw scores [rows]."""

BY_SLICE = {
    "slice": pl.String,
    "change": pl.Float64,
    "share": pl.Float64,
    "by_share": pl.Float64,
    "by_loss": pl.Float64,
    "rows_before": pl.Float64,
    "rows_now": pl.Float64,
    "loss_before": pl.Float64,
    "loss_now": pl.Float64,
}


def loss_by_slice(before: pl.DataFrame, now: pl.DataFrame, slices: Sequence[str]) -> pl.DataFrame:
    """Each value's part of the change of the mean LOSS, for frames with LOSS and the slice columns: `BY_SLICE`, the largest of a column first.

    `change` is `by_share` (rows came or went, told from the average loss) and `by_loss` (its own rows have another loss); over the
    values of one column they add up to the mean of now less that of before. `share` is of all parts' sizes of its column, `rows_*`
    shares of the rows, `loss_*` means, null where the side has none. Raises DatasetError for a side without rows.
    """
    for frame in (before, now):
        require(frame, [LOSS, *slices], "the change of the loss by slice")
    _refuse_empty(before.height, now.height)
    columns = [LOSS, *slices]
    sides = [f.select(columns).with_columns(pl.lit(side).alias(SIDE)) for side, f in enumerate((before, now))]
    both = pl.concat(sides, how="vertical_relaxed")
    tables = [_of_one(both, column) for column in slices]
    return pl.concat(tables) if tables else pl.DataFrame(schema=BY_SLICE)


def loss_by_column(before: Explained, now: Explained, losses: tuple[Losses, Losses]) -> pl.DataFrame:
    """Each column's part of the change of the mean loss, THE_LABELS among them: `column`, `change`, `share`, `added_before`, `added_now`; the largest first.

    `losses` are those of the rows of before and of now by their raw scores. `added_*` is the mean loss that a column adds to that of
    the base: below 0 it helps. The changes add up to the mean loss of now less that of before. Raises DatasetError for a side
    without rows, or of other features.
    """
    if before.features != now.features:
        raise DatasetError(
            f"a change of the loss is told from rows with the same features: got {len(before.features)} and {len(now.features)}; "
            "explain both by one model"
        )
    _refuse_empty(len(before.base), len(now.base))
    then, today = (_added(side, loss) for side, loss in zip((before, now), losses, strict=True))
    change = today - then
    share = np.abs(change) / max(float(np.abs(change).sum()), FEW)
    frame = pl.DataFrame(
        {
            "column": [*before.features, THE_LABELS],
            "change": change,
            "share": share,
            "added_before": then,
            "added_now": today,
        }
    )
    return frame.sort("share", "column", descending=[True, False])


def expected(means: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Between which numbers the next mean lies in `level` of cases, by those before it; None of fewer than LEAST_HISTORY.

    The prediction interval of one further normal observation, by Student's t (Hahn & Meeker 1991, Statistical Intervals).
    """
    from scipy.special import stdtrit

    count = len(means)
    if count < LEAST_HISTORY:
        return None
    middle, spread = float(np.mean(means)), float(np.std(means, ddof=1))
    half = float(stdtrit(count - 1, (1 + level) / 2)) * spread * math.sqrt(1 + 1 / count)
    return middle - half, middle + half


def _of_one(both: pl.DataFrame, column: str) -> pl.DataFrame:
    names, sums, rows = [], [], []
    for value, part in slice_parts(both, column, [LOSS, SIDE]):
        side = part[SIDE].to_numpy()
        names.append(f"{column} {value}")
        rows.append(np.bincount(side, minlength=2))
        sums.append(np.bincount(side, part[LOSS].to_numpy(), 2))
    counts, totals = np.array(rows, np.float64), np.array(sums)
    share, there = counts / counts.sum(axis=0), counts > 0
    mean = np.divide(totals, counts, out=np.full(counts.shape, np.nan), where=there)
    known = np.where(there, mean, mean[:, ::-1])
    average = (known * share).sum(axis=0).mean()
    by_share = (share[:, 1] - share[:, 0]) * (known.mean(axis=1) - average)
    by_loss = (known[:, 1] - known[:, 0]) * share.mean(axis=1)
    size = np.abs(by_share + by_loss)
    values = [
        *(by_share + by_loss, size / max(float(size.sum()), FEW), by_share, by_loss),
        *(share[:, 0], share[:, 1], mean[:, 0], mean[:, 1]),
    ]
    frame = pl.DataFrame(dict(zip(BY_SLICE, [names, *values], strict=True)), schema=BY_SLICE)
    return frame.fill_nan(None).sort("share", "slice", descending=[True, False])


def _added(side: Explained, losses: Losses) -> np.ndarray:
    """The mean loss that each feature adds, and last that of the base itself: [features + 1]; they add up to the mean loss."""
    total = side.values.sum(axis=1)
    base = losses(side.base)
    gain = losses(side.base + total) - base
    near = (losses(side.base + STEP) - losses(side.base - STEP)) / (2 * STEP)
    steep = np.divide(gain, total, out=near, where=np.abs(total) > CLOSE)
    return np.append((side.values * steep[:, None]).mean(axis=0), base.mean())


def _refuse_empty(before: int, now: int) -> None:
    if not before or not now:
        raise DatasetError(
            f"a change of the loss is told from rows of both sides: got {before} and {now}; wait for labels of both"
        )
