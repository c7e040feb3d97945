"""The paired test: how much better one model is than another on the same rows, and how sure that is.

Rows of one cluster (a day) share what happened that day, such as its weather, so their losses differ together and ten thousand rows
are worth little more than their fourteen days. The cluster is therefore what is counted:

- The gain is the difference of the metric on all rows (Diebold & Mariano 1995 for losses).
- Its standard error is the delete-one-cluster jackknife, which holds for ratios (days have different row counts) and
  for metrics that are no mean, such as the AUC: CV3 of Bell & McCaffrey (2002); with few clusters it keeps its size
  better than the usual sandwich (Cameron, Gelbach & Miller 2008; MacKinnon, Nielsen & Webb 2023).
- It is compared with Student's t of one degree of freedom less than there are effective clusters, which are fewer where
  sizes differ (Kish 1965; Carter, Schnepel & Steigerwald 2017).

`benchmarks/promotion.py` measures how often it errs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.metrics import auc, calibration_error, goodness, row_losses, score_bins
from mlops_assets.ml.scores import defined, finite

WHOLE = {"auc": auc, "calibration_error": calibration_error}
"""Metrics that are no mean over rows."""


@dataclass(frozen=True)
class Effect:
    """How much better the challenger is than the champion, and the uncertainty of that; a positive `gain` is better.

    `error` is the standard error of `gain`, `freedom` its degrees of freedom; a number that is not defined is None,
    and so is all that follows from it.
    """

    metric: str
    challenger: float | None
    champion: float | None
    gain: float | None
    error: float | None
    freedom: float
    clusters: int
    rows: int

    def __post_init__(self) -> None:
        for name in ("challenger", "champion", "gain", "error"):
            object.__setattr__(self, name, defined(getattr(self, name)))

    def interval(self, alpha: float) -> tuple[float | None, float | None]:
        """Two-sided confidence interval of `1 - 2 * alpha`: above a limit exactly where the one-sided test says so."""
        half = _half(self.error, self.freedom, 1 - alpha)
        return (None, None) if self.gain is None or half is None else (self.gain - half, self.gain + half)

    def p_above(self, limit: float) -> float | None:
        """Chance of a gain at least this large where the true gain is `limit`: small shows that it exceeds it."""
        return None if self.gain is None else _tail(self.gain - limit, self.error, self.freedom)

    def p_below(self, limit: float) -> float | None:
        """Chance of a gain at most this large where the true gain is `limit`: small shows that it stays below."""
        return None if self.gain is None else _tail(limit - self.gain, self.error, self.freedom)

    def detectable(self, alpha: float, power: float) -> float | None:
        """True gain over a limit that a test at `alpha` would find with this power, from the noncentral t."""
        from scipy.special import nctdtrinc

        if self.error is None:
            return None
        critical = _quantile(self.freedom, 1 - alpha)
        return defined(float(nctdtrinc(self.freedom, 1 - power, critical)) * self.error)


def shows(p: float | None, alpha: float) -> bool:
    """Whether a p value shows something at this level; one that is not defined shows nothing."""
    return p is not None and p <= alpha


def compare(
    y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, cluster: np.ndarray, metric: str
) -> Effect:
    """The paired effect of two models' scores on rows [n] with labels `y` and cluster codes `cluster`.

    Fewer than two clusters leave the error undefined, and no test is then passed. Raises DatasetError where the
    arrays do not have the same length, at least one, ScoreError where a score is not finite.
    """
    lengths = {len(values) for values in (y, challenger, champion, cluster)}
    if lengths == {0} or len(lengths) > 1:
        raise DatasetError(
            f"a paired comparison needs equally many labels, scores of both models and clusters, at least one: "
            f"got {len(y)}, {len(challenger)}, {len(champion)} and {len(cluster)}"
        )
    _, codes, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    sides = finite(challenger, "the challenger"), finite(champion, "the champion")
    ours, theirs = (_jackknife(y, score, codes, sizes, metric) for score in sides)
    with np.errstate(invalid="ignore"):
        gains = goodness(metric, ours) - goodness(metric, theirs)
    return Effect(
        metric=metric,
        challenger=float(ours[0]),
        champion=float(theirs[0]),
        gain=float(gains[0]),
        error=_error(gains),
        freedom=_freedom(sizes),
        clusters=len(sizes),
        rows=len(y),
    )


def estimate(
    y: np.ndarray, score: np.ndarray, cluster: np.ndarray, metric: str, level: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """One model's metric on rows [n] and its two-sided interval of `level`, by the same jackknife over clusters.

    Fewer than two clusters leave the interval undefined; what is not defined is None.
    """
    _, codes, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    jackknife = _jackknife(y, finite(score, "the model"), codes, sizes, metric)
    value = defined(jackknife[0])
    half = _half(defined(_error(jackknife)), _freedom(sizes), (1 + level) / 2)
    return (value, None, None) if value is None or half is None else (value, value - half, value + half)


def two_sided(
    jackknife: np.ndarray, sizes: np.ndarray, null: float, level: float = 0.95
) -> tuple[float, float, float] | None:
    """A number's interval of `level` and the two-sided p value that it is `null`, by its values on all rows, then without each cluster.

    `jackknife` [1 + clusters], `sizes` the rows of each cluster [clusters]. None where one of them is not finite, or of one cluster.
    """
    error, freedom = defined(_error(jackknife)), _freedom(sizes)
    half = _half(error, freedom, (1 + level) / 2)
    tail = _tail(abs(float(jackknife[0]) - null), error, freedom)
    if half is None or tail is None:
        return None
    return float(jackknife[0]) - half, float(jackknife[0]) + half, min(2 * tail, 1.0)


def gain_by_cluster(
    y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, cluster: np.ndarray, metric: str
) -> list[tuple[int, float | None]]:
    """Rows of each cluster and the gain on them alone, in the order of the codes; None where it is undefined."""
    gains = []
    for code in np.unique(cluster):
        here = cluster == code
        ours, theirs = (whole(y[here], score[here], metric) for score in (challenger, champion))
        both = ours is not None and theirs is not None
        gain = defined(goodness(metric, ours) - goodness(metric, theirs)) if both else None
        gains.append((int(here.sum()), gain))
    return gains


def whole(y: np.ndarray, score: np.ndarray, metric: str) -> float | None:
    """One metric on all rows, as `evaluation.evaluate` computes it; None where it is undefined."""
    if metric in WHOLE:
        return WHOLE[metric](y, score)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(row_losses(y, score, metric).mean())
    return defined(math.sqrt(mean) if metric == "rmse" else mean)


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for their number by Holm (1979): comparing them with alpha keeps the family's error at alpha."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty(len(values))
    factors = len(values) - np.arange(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return corrected.tolist()


def _error(values: np.ndarray) -> float:
    """The standard error that a jackknife's values [1 + clusters] give; NaN where there is only one cluster."""
    count = len(values) - 1
    with np.errstate(over="ignore", invalid="ignore"):
        return (
            math.sqrt(((values[1:] - values[0]) ** 2).sum() * (count - 1) / count) if count > 1 else math.nan
        )


def _freedom(sizes: np.ndarray) -> float:
    """One less than the effective number of clusters of these sizes."""
    return float(sizes.sum()) ** 2 / float((sizes**2.0).sum()) - 1


def _jackknife(
    y: np.ndarray, score: np.ndarray, codes: np.ndarray, sizes: np.ndarray, metric: str
) -> np.ndarray:
    """The metric on all rows, then without each cluster: [1 + clusters]."""
    if metric == "auc":
        rest = [auc(y[others], score[others]) for others in (codes != code for code in range(len(sizes)))]
        return np.array([auc(y, score), *rest], np.float64)
    rows = np.concatenate([[len(y)], len(y) - sizes])
    with np.errstate(over="ignore", invalid="ignore"):
        if metric == "calibration_error":
            return np.abs(_and_without(score - y, codes, score_bins(score))).sum(axis=1) / rows
        means = _and_without(row_losses(y, score, metric), codes)[:, 0] / rows
    return np.sqrt(np.maximum(means, 0.0)) if metric == "rmse" else means


def _and_without(values: np.ndarray, codes: np.ndarray, column: np.ndarray | None = None) -> np.ndarray:
    """Sums of values by column, over all rows and then without each cluster: [1 + clusters, columns].

    Columns are the bins of the calibration error, which stay where they are when a cluster is left out.
    """
    column = np.zeros(len(values), np.int64) if column is None else column
    width = int(column.max()) + 1
    sums = np.bincount(codes * width + column, values, (int(codes.max()) + 1) * width).reshape(-1, width)
    return np.vstack([sums.sum(axis=0), sums.sum(axis=0) - sums])


def _tail(distance: float, error: float | None, freedom: float) -> float | None:
    """P of Student's t over `distance / error`; an error of nothing at all leaves nothing to chance."""
    from scipy.special import stdtr

    if error is None:
        return None
    if error == 0:
        return 0.5 if distance == 0 else float(distance < 0)
    return defined(stdtr(freedom, -distance / error))


def _half(error: float | None, freedom: float, share: float) -> float | None:
    """Half the width of an interval; an error of nothing at all has none."""
    return error and defined(_quantile(freedom, share) * error)


def _quantile(freedom: float, share: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
