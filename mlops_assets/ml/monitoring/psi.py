"""The population stability index of two rows of counts, less what chance alone is expected to make of it.

PSI = sum over bins of (q - p) ln(q / p), with p and q the shares of a bin on the two sides. Of two samples of n and m
rows of one distribution in B bins, PSI / (1/n + 1/m) is about chi-square with B - 1 degrees of freedom: its mean is
(B - 1) (1/n + 1/m). Source: B. Yurdakul, Statistical Properties of Population Stability Index, Western Michigan
University, 2018 (https://scholarworks.wmich.edu/dissertations/3208).

That holds where a bin has some rows. So rare categories are pooled, and under LEAST_ROWS rows there is no figure.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_ROWS = 50
"""With fewer rows on either side nothing is said."""
RARE = 5
"""A category is rare if its share of both sides together would make fewer rows than this of the smaller side."""
NOT_RARE = 3 * RARE
"""It is not rare if its share of one side alone would make so many, which a rare one all but never does by chance."""
TOO_FEW = "too few rows"
SMALLEST_SHARE = 1e-4
ONE_IN_A_THOUSAND = 3.090
"""The normal quantile that chance passes once in a thousand."""


@dataclass(frozen=True)
class Psi:
    """One comparison: `raw` by the definition, and what is `expected` of equal distributions.

    `value`, what is left, is the figure to go by. Of equal distributions it is beyond `chance` once in a thousand by
    the chi-square distribution, and in under 5 of 100 where bins have as few rows as they may.
    """

    raw: float
    expected: float
    chance: float

    @property
    def value(self) -> float:
        return max(0.0, self.raw - self.expected)

    def exceeds(self, limit: float) -> bool:
        """Whether the distributions are shown to be further apart than a limit."""
        return self.value > max(limit, self.chance)


def measured(reference: np.ndarray, current: np.ndarray) -> Psi | None:
    """The PSI of two rows of counts over the same bins [bins]; None where a side has under LEAST_ROWS rows."""
    n, m = float(reference.sum()), float(current.sum())
    if min(n, m) < LEAST_ROWS:
        return None
    freedom, unit = int(((reference + current) > 0).sum()) - 1, 1 / n + 1 / m
    chance = (chi_square_quantile(freedom) - freedom) * unit
    return Psi(psi(reference, current), freedom * unit, chance)


def figures(psi: Psi | None, reference: np.ndarray, current: np.ndarray) -> dict[str, Any]:
    """What a report says of a comparison of counts whose last are the rows without a value: figures, null where there is none, and why."""
    before, now = int(reference.sum()), int(current.sum())
    few = f"{TOO_FEW}: {now} against {before} of the reference, {LEAST_ROWS} on each side are needed"
    values = (psi.value, psi.raw, psi.expected, psi.chance) if psi else (None,) * 4
    return {
        **dict(zip(("psi", "psi_raw", "psi_expected", "psi_chance"), values, strict=True)),
        "nulls_reference": float(reference[-1] / before),
        "nulls_current": float(current[-1] / now),
        "remark": "" if psi else few,
    }


def psi(expected: np.ndarray, actual: np.ndarray) -> float:
    """Population stability index of two rows of counts over the same bins, each side in shares of its own rows.

    Bins that are empty on both sides do not count; an empty one on one side counts as half a row, at least 0.0001.
    """
    used = (expected + actual) > 0
    p, q = (_shares(side[used]) for side in (expected, actual))
    return float(((q - p) * np.log(q / p)).sum())


def pooled(
    reference: Mapping[str, int], current: Mapping[str, int], rows: int, current_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of both sides [bins]: the frequent categories, the rare ones in one bin, and in another those never seen.

    A new sample holds rare values that the reference happens not to have: about as many of a hundred rows as those it
    has once (Good 1953, https://doi.org/10.1093/biomet/40.3-4.237). The reference is credited with so many, at most.
    """
    smaller = min(rows, current_rows)

    def is_frequent(name: str) -> bool:
        before, now = reference.get(name, 0), current.get(name, 0)
        together = (before + now) / (rows + current_rows)
        return together * smaller >= RARE or max(before / rows, now / current_rows) * smaller >= NOT_RARE

    names = [*reference, *(name for name in current if name not in reference)]
    frequent = [name for name in names if is_frequent(name)]
    rare = set(names) - set(frequent)
    once = sum(reference.get(name) == 1 for name in rare)
    known, unseen = (
        sum(current.get(name, 0) for name in rare if (name in reference) is there) for there in (True, False)
    )
    credited = min(once, rows * unseen / current_rows)
    before = sum(reference.get(name, 0) for name in rare) - credited
    return (
        np.array([*(reference.get(name, 0) for name in frequent), before, credited], np.float64),
        np.array([*(current.get(name, 0) for name in frequent), known, unseen], np.float64),
    )


def chi_square_quantile(freedom: int, z: float = ONE_IN_A_THOUSAND) -> float:
    """The chi-square quantile at a normal quantile (Wilson & Hilferty 1931), within 4% of the true one."""
    if not freedom:
        return 0.0
    part = 2 / (9 * freedom)
    return freedom * (1 - part + z * math.sqrt(part)) ** 3


def _shares(counts: np.ndarray) -> np.ndarray:
    rows = max(float(counts.sum()), 1.0)
    return np.maximum(counts / rows, max(SMALLEST_SHARE, 0.5 / rows))
