"""Alpha spending: at which level each look may show something, so that all looks together err as rarely as one would.

A paired test that is made after every window would find a difference between equal models sooner or later. Lan & DeMets
(1983) say how much of the rate may be spent by the time that a share of the planned evidence is in; the level of each
look follows by the recursive integration of Armitage, McPherson & Rowe (1969). The statistic is taken to be a Brownian
motion in the share of evidence, which a mean over independent clusters is (Jennison & Turnbull 2000, chapters 7 and 11).
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

POINTS = 301
"""Of the grid on which a density is integrated: 2e-5 of a rate of 0.05 at 28 looks."""

DEEP = 8.0
"""Standard deviations below which nothing is integrated."""

NOTHING = 1e-12
"""Less than this is not spent at a look: its boundary is taken to be infinite."""


class SpendingError(ValueError):
    """Shares of evidence that do not grow from above 0 to at most 1, or a rate that is none."""


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


@lru_cache(maxsize=4096)
def levels(shares: tuple[float, ...], alpha: float, function: str) -> tuple[float, ...]:
    """One-sided level of each look, at these growing shares of the planned evidence; 0 where nothing can be shown yet.

    Raises SpendingError where the shares do not grow from above 0 to at most 1.
    """
    _refuse(shares, alpha)
    rates = [spent(share, alpha, function) for share in shares]
    found, where, density, before = [], None, None, 0.0
    for number, share in enumerate(shares):
        step = math.sqrt(share - (shares[number - 1] if number else 0.0))
        rate = rates[number] - before
        bound = _bound(where, density, step, rate)
        before = rates[number] if math.isfinite(bound) else before
        where, density = _survivors(where, density, step, bound, math.sqrt(share))
        found.append(_level(bound / math.sqrt(share)))
    return tuple(found)


def _refuse(shares: Sequence[float], alpha: float) -> None:
    if not 0 < alpha < 0.5:
        raise SpendingError(f"a rate of {alpha} cannot be spent: give one above 0 and under 0.5")
    if not shares or shares[0] <= 0 or shares[-1] > 1 or any(b <= a for a, b in pairwise(shares)):
        raise SpendingError(
            f"shares of evidence {', '.join(f'{share:g}' for share in shares) or 'of no look'} do not grow from above 0 to at most 1"
        )


def _level(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(-z)) if math.isfinite(z) else 0.0


def _bound(where: np.ndarray | None, density: np.ndarray | None, step: float, rate: float) -> float:
    """The boundary that the process crosses at this look, and at none before, with probability `rate`."""
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    if rate < NOTHING:
        return math.inf
    if where is None or density is None:
        return float(-ndtri(rate) * step)

    def excess(bound: float) -> float:
        return float(_integral(where, density * ndtr((where - bound) / step))) - rate

    return _root(excess, float(where[0]), float(where[-1]) + 2 * DEEP * step, brentq)


def _root(excess: Callable[[float], float], low: float, high: float, solve: Callable[..., float]) -> float:
    """Where a falling function is 0; the low end where it is nowhere above 0."""
    return float(solve(excess, low, high, xtol=1e-10)) if excess(low) > 0 else low


def _survivors(
    where: np.ndarray | None, density: np.ndarray | None, step: float, bound: float, deviation: float
) -> tuple[np.ndarray, np.ndarray]:
    """The density of the process below the boundary at this look, of paths that crossed none before."""
    top = min(bound, DEEP * deviation)
    here = np.linspace(-DEEP * deviation, top, POINTS)
    if where is None or density is None:
        return here, _normal(here / step) / step
    reach = _normal((here[:, None] - where[None, :]) / step) / step
    return here, _integral(where, reach * density)


def _normal(z: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)


def _integral(where: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Simpson's rule along the last axis."""
    from scipy.integrate import simpson

    return simpson(values, x=where, axis=-1)
