"""The paired test: how much better one model is than another on the same rows, and how sure that is.

Rows of one cluster (the flights of a day) share their weather, so their losses differ together and ten thousand rows
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
from mlops_assets.ml.evaluation import auc, calibration_error, goodness, row_losses, score_bins

WHOLE = {"auc": auc, "calibration_error": calibration_error}
"""Metrics that are no mean over rows."""


@dataclass(frozen=True)
class Effect:
    """How much better the challenger is than the champion, and the uncertainty of that; a positive `gain` is better.

    `error` is the standard error of `gain`, `freedom` its degrees of freedom; NaN where they are undefined.
    """

    metric: str
    challenger: float
    champion: float
    gain: float
    error: float
    freedom: float
    clusters: int
    rows: int

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided confidence interval of `1 - 2 * alpha`: above a limit exactly where the one-sided test says so."""
        half = _quantile(self.freedom, 1 - alpha) * self.error if self.error else 0.0
        return self.gain - half, self.gain + half

    def p_above(self, limit: float) -> float:
        """Chance of a gain at least this large where the true gain is `limit`: small shows that it exceeds it."""
        return _tail(self.gain - limit, self.error, self.freedom)

    def p_below(self, limit: float) -> float:
        """Chance of a gain at most this large where the true gain is `limit`: small shows that it stays below."""
        return _tail(limit - self.gain, self.error, self.freedom)

    def detectable(self, alpha: float, power: float) -> float:
        """True gain over a limit that a test at `alpha` would find with this power, from the noncentral t."""
        from scipy.special import nctdtrinc

        critical = _quantile(self.freedom, 1 - alpha)
        return float(nctdtrinc(self.freedom, 1 - power, critical)) * self.error


def compare(
    y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, cluster: np.ndarray, metric: str
) -> Effect:
    """The paired effect of two models' scores on rows [n] with labels `y` and cluster codes `cluster`.

    Fewer than two clusters leave the error undefined (NaN), and no test is then passed. Raises DatasetError where
    the arrays do not have the same length, at least one.
    """
    lengths = {len(values) for values in (y, challenger, champion, cluster)}
    if lengths == {0} or len(lengths) > 1:
        raise DatasetError(
            f"a paired comparison needs equally many labels, scores of both models and clusters, at least one: "
            f"got {len(y)}, {len(challenger)}, {len(champion)} and {len(cluster)}"
        )
    _, codes, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    ours, theirs = (_jackknife(y, score, codes, sizes, metric) for score in (challenger, champion))
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
) -> tuple[float, float, float]:
    """One model's metric on rows [n] and its two-sided interval of `level`, by the same jackknife over clusters.

    Fewer than two clusters leave the interval undefined (NaN).
    """
    _, codes, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    found = _jackknife(y, score, codes, sizes, metric)
    value, error = float(found[0]), _error(found)
    half = _quantile(_freedom(sizes), (1 + level) / 2) * error if error else 0.0
    return value, value - half, value + half


def gain_by_cluster(
    y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, cluster: np.ndarray, metric: str
) -> list[tuple[int, float]]:
    """Rows of each cluster and the gain on them alone, in the order of the codes; NaN where the metric is undefined."""
    found = []
    for code in np.unique(cluster):
        here = cluster == code
        ours, theirs = (whole(y[here], score[here], metric) for score in (challenger, champion))
        found.append((int(here.sum()), float(goodness(metric, ours) - goodness(metric, theirs))))
    return found


def whole(y: np.ndarray, score: np.ndarray, metric: str) -> float:
    """One metric on all rows, as `evaluation.evaluate` computes it."""
    if metric in WHOLE:
        return WHOLE[metric](y, score)
    mean = float(row_losses(y, score, metric).mean())
    return math.sqrt(mean) if metric == "rmse" else mean


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
    return math.sqrt(((values[1:] - values[0]) ** 2).sum() * (count - 1) / count) if count > 1 else math.nan


def _freedom(sizes: np.ndarray) -> float:
    """One less than the effective number of clusters of these sizes."""
    return float(sizes.sum()) ** 2 / float((sizes**2.0).sum()) - 1


def _jackknife(
    y: np.ndarray, score: np.ndarray, codes: np.ndarray, sizes: np.ndarray, metric: str
) -> np.ndarray:
    """The metric on all rows, then without each cluster: [1 + clusters]."""
    if metric == "auc":
        rest = [auc(y[kept], score[kept]) for kept in (codes != code for code in range(len(sizes)))]
        return np.array([auc(y, score), *rest])
    rows = np.concatenate([[len(y)], len(y) - sizes])
    with np.errstate(invalid="ignore"):
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


def _tail(distance: float, error: float, freedom: float) -> float:
    """P of Student's t over `distance / error`; an error of nothing at all leaves nothing to chance."""
    from scipy.special import stdtr

    if error == 0:
        return 0.5 if distance == 0 else float(distance < 0)
    return float(stdtr(freedom, -distance / error))


def _quantile(freedom: float, share: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
