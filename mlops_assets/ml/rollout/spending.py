"""Alpha spending: at which level each look may show something, so that all looks together err as rarely as one would.

A paired test that is made after every window would find a difference between equal models sooner or later. Lan & DeMets
(1983) say how much of the rate may be spent by the time that a share of the planned evidence is in. The level of each look
follows from how the statistic of few clusters behaves: Student's t of growing samples of independent normal draws, which
has no parameter that would have to be known, simulated with a fixed seed. Of many clusters the levels are those of the
Brownian motion that tables are printed for (Jennison & Turnbull 2000, chapters 7 and 11); of few, taking those would err
half as often again as is stated.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

PATHS = 200_000
"""Simulated: a rate of 0.05 is kept to 0.0005."""

SEED = 17


class SpendingError(ValueError):
    """Looks that do not grow, or a rate or function that is none."""


def spent(share: float, alpha: float, function: str) -> float:
    """How much of a one-sided rate may be spent once this share of the planned evidence is in.

    `obrien_fleming` and `pocock` are the two functions of Lan & DeMets (1983) that come near those authors' boundaries.
    """
    from scipy.special import ndtr, ndtri

    if function == "pocock":
        return alpha * math.log1p((math.e - 1) * share)
    if function == "obrien_fleming":
        return float(2 * ndtr(ndtri(alpha / 2) / math.sqrt(share)))
    raise SpendingError(f"spending function {function!r} does not exist: choose obrien_fleming or pocock")


@lru_cache(maxsize=1024)
def levels(looks: tuple[int, ...], planned: int, alpha: float, function: str) -> tuple[float, ...]:
    """One-sided level of each look, at these growing numbers of clusters of so many planned; 0 where nothing can be shown yet.

    Raises SpendingError where there are fewer than two clusters, or they do not grow.
    """
    _refuse(looks, alpha)
    alive, crossed, result = np.ones(PATHS, bool), 0, []
    for p, clusters in zip(_p_values(looks), looks, strict=True):
        allowed = int(spent(min(1.0, clusters / planned), alpha, function) * PATHS) - crossed
        here = np.sort(p[alive])
        level = float(here[allowed - 1]) if allowed > 0 else 0.0
        over = alive & (p <= level)
        crossed += int(over.sum())
        alive &= ~over
        result.append(level)
    return tuple(result)


def _refuse(looks: Sequence[int], alpha: float) -> None:
    if not 0 < alpha < 0.5:
        raise SpendingError(f"a rate of {alpha} cannot be spent: give one above 0 and under 0.5")
    if not looks or looks[0] < 2 or any(b <= a for a, b in pairwise(looks)):
        raise SpendingError(
            f"looks at {', '.join(map(str, looks)) or 'no'} clusters: they have to grow, from at least 2 on"
        )


def _p_values(looks: Sequence[int]) -> list[np.ndarray]:
    """At each look the p value of every simulated path [PATHS]; what comes later changes none before it."""
    from scipy.special import stdtr

    dice = np.random.default_rng(SEED)
    total, squares, before, result = np.zeros(PATHS), np.zeros(PATHS), 0, []
    for clusters in looks:
        more = clusters - before
        step = math.sqrt(more) * dice.standard_normal(PATHS)
        total += step
        squares += step**2 / more + (2 * dice.standard_gamma((more - 1) / 2, PATHS) if more > 1 else 0.0)
        error = np.sqrt((squares - total**2 / clusters) / (clusters - 1) / clusters)
        result.append(stdtr(clusters - 1, -total / clusters / error))
        before = clusters
    return result
