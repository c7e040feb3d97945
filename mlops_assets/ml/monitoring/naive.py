"""A rule that anybody would have thought of: a logistic or linear model of one or two features, to see what a model is worth."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.spec.columns import LABEL

Rule = Callable[[pl.DataFrame], np.ndarray]


def naive_rule(
    rows: pl.DataFrame, features: Sequence[str], task: Literal["classification", "regression"]
) -> Rule:
    """What scores frames [rows] that have the features, fitted on rows that have `LABEL` too.

    Every feature is taken as the logarithm of 1 and its size, with its sign, scaled; a missing one is 0, and a column
    beside it says so. Raises DatasetError where there is nothing to fit on.
    """
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    label = rows[LABEL].to_numpy()
    if not label.size or (task == "classification" and len(np.unique(label)) < 2):
        raise DatasetError("a naive rule needs labelled rows, of a classification both of 0 and of 1")
    model = LogisticRegression() if task == "classification" else LinearRegression()
    fitted: Any = make_pipeline(StandardScaler(), model).fit(_columns(rows, features), label)
    if task == "regression":
        return lambda frame: fitted.predict(_columns(frame, features))
    return lambda frame: fitted.predict_proba(_columns(frame, features))[:, 1]


def _columns(rows: pl.DataFrame, features: Sequence[str]) -> np.ndarray:
    """Two columns for each feature [rows, 2 * features]."""
    values = rows.select(pl.col(features).cast(pl.Float64).fill_nan(None))
    sized = values.select((pl.all().abs() + 1).log() * pl.all().sign())
    known = sized.select(pl.all().fill_null(0.0))
    return np.hstack([known.to_numpy(), sized.select(pl.all().is_null().cast(pl.Float64)).to_numpy()])
