"""Numbers of a column in order, and the bins that a reference gives to them."""

import numpy as np
import polars as pl

from mlops_assets.ml.values import SINGLE, numbers

BINS = 10


def in_order(column: pl.Series, single: bool = True) -> np.ndarray:
    """The finite numbers of a column, sorted, as float64 [values]; in single precision, which is what a model sees.

    Missing values, NaN and infinity are left out; what single precision cannot hold stays as it is.
    """
    values = numbers(column).drop_nulls().to_numpy()
    finite = np.isfinite(values)
    values = values if finite.all() else values[finite]
    return np.sort(_single(values) if single else values).astype(np.float64) + 0.0


def inner_edges(values: np.ndarray) -> np.ndarray:
    """Inner bin edges at the deciles of sorted values; where deciles coincide, that value becomes a bin of its own."""
    if not len(values):
        return values
    deciles, times = np.unique(at_shares(values, np.arange(1, BINS) / BINS), return_counts=True)
    return np.unique(np.concatenate([deciles, np.nextafter(deciles[times > 1], np.inf)]))


def at_shares(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The sorted values below which these shares of the rows lie."""
    return values[np.minimum((shares * len(values)).astype(np.int64), len(values) - 1)]


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Rows of sorted values by bin [edges + 1]: below the first edge, from each edge up to the next, from the last on."""
    ends = np.searchsorted(values, edges, side="left")
    return np.diff(np.concatenate([[0], ends, [len(values)]])).astype(np.int64)


def _single(values: np.ndarray) -> np.ndarray:
    if np.abs(values).max(initial=0.0) <= SINGLE:
        return values.astype(np.float32)
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32).astype(np.float64)
    return np.where(np.abs(values) <= SINGLE, rounded, values)
