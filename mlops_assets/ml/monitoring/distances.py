"""Raw distances between two samples, from sorted values or from counts over the same bins; None where one is not defined.

Each equals scipy's figure on the same input: `ks_2samp`, `wasserstein_distance`, `jensenshannon` and
`chi2_contingency` without correction.
"""

from typing import NamedTuple

import numpy as np

from mlops_assets.ml.scores import defined

AT_ONCE = 1 << 16
"""Values of the reference that are merged at a time, so that what is worked on stays near the processor."""
LEAST_DEVIATION = 1e-3
"""A reference that hardly varies counts as if it varied by so much, as in Evidently."""


class Moved(NamedTuple):
    """How far apart two distributions of a number are: the largest gap of their shares, and the area between them."""

    ks: float | None
    wasserstein: float | None


def moved(values: np.ndarray, counts: np.ndarray, current: np.ndarray) -> Moved:
    """Two-sample Kolmogorov-Smirnov statistic and first Wasserstein distance (in the values' unit), both exact.

    The reference: sorted different values [values] and how often each occurs; the current rows: sorted [rows].
    Sources: N. Smirnov 1948 (https://doi.org/10.1214/aoms/1177730256); S. Vallender 1974 (https://doi.org/10.1137/1118101).
    """
    if not len(values) or not len(current):
        return Moved(None, None)
    before = np.cumsum(counts, dtype=np.float64) / counts.sum(dtype=np.int64)
    cuts = np.append(np.arange(AT_ONCE, len(values), AT_ONCE), len(values))
    ends = np.append(np.searchsorted(current, values[cuts[:-1] - 1], side="right"), len(current))
    ks = area = share = apart = 0.0
    first, start, last = 0, 0, min(float(values[0]), float(current[0]))
    for cut, end in zip(cuts.tolist(), ends.tolist(), strict=True):
        ordered, gaps = _block(
            values[first:cut], share, before[first:cut], current[start:end], start, len(current)
        )
        with np.errstate(over="ignore", invalid="ignore"):
            widths = np.diff(ordered, append=ordered[-1])
            area += apart * (float(ordered[0]) - last) + float(gaps @ widths)
        apart, last, share = float(gaps[-1]), float(ordered[-1]), float(before[cut - 1])
        ks = max(ks, apart, float((gaps * (widths > 0)).max()))
        first, start = cut, end
    return Moved(ks, defined(area))


def _block(
    values: np.ndarray, share: float, shares: np.ndarray, current: np.ndarray, start: int, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' values of one block in order, and how far apart their shares are after each; no tie reaches out of a block."""
    both = np.concatenate([values, current]).astype(np.float64, copy=False)
    order = np.argsort(both, kind="stable")
    known = np.cumsum(order < len(values))
    gaps = (np.arange(start + 1, start + len(both) + 1) - known) / rows
    gaps -= np.append(share, shares)[known]
    return both[order], np.abs(gaps, out=gaps)


def largest_gap(
    before: tuple[np.ndarray, np.ndarray], now: tuple[np.ndarray, np.ndarray], rows: int, current_rows: int
) -> float | None:
    """The Kolmogorov-Smirnov statistic at given values: of each side the rows below each value and those up to it.

    It is the exact one if each value of one of the sides is among the values.
    """
    if not rows or not current_rows:
        return None
    gaps = [np.abs(b / rows - n / current_rows).max(initial=0.0) for b, n in zip(before, now, strict=True)]
    return float(max(gaps))


def jensen_shannon(reference: np.ndarray, current: np.ndarray) -> float | None:
    """The Jensen-Shannon distance of two rows of counts over the same bins: the root of the divergence in nats, 0 to 0.83.

    Source: J. Lin 1991 (https://doi.org/10.1109/18.61115); its root is a metric (Endres & Schindelin 2003).
    """
    if not reference.sum() or not current.sum():
        return None
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    divergence = sum(float((s[s > 0] * np.log(s[s > 0] / middle[s > 0])).sum()) for s in (p, q)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def chi_square(reference: np.ndarray, current: np.ndarray) -> tuple[float, int] | None:
    """Pearson's statistic of homogeneity of two rows of counts over the same bins, and its degrees of freedom.

    Both sides are samples: a value that one side lacks is no division by zero. None where fewer than two bins are used.
    Source: K. Pearson 1900 (https://doi.org/10.1080/14786440009463897).
    """
    used = (reference + current) > 0
    sides = np.array([reference[used], current[used]], np.float64)
    if used.sum() < 2 or not sides.sum(axis=1).all():
        return None
    expected = sides.sum(axis=1, keepdims=True) * sides.sum(axis=0) / sides.sum()
    return float(((sides - expected) ** 2 / expected).sum()), int(used.sum()) - 1


def in_deviations(distance: float | None, deviation: float | None) -> float | None:
    """A distance in standard deviations of the reference; None where either is not defined."""
    if distance is None or deviation is None:
        return None
    return defined(distance / max(deviation, LEAST_DEVIATION))
