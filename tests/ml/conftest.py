"""Invented parcels: will one arrive more than 15 hours late? Nothing here knows flights."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from mlops_assets.ml.dataset import labelled
from mlops_assets.spec.model import ModelSpec

NOW = datetime(2020, 7, 6, tzinfo=UTC)
FEATURES = ("queue", "weight", "hour", "noise")


def parcel_spec(**changes: Any) -> ModelSpec:
    base: dict[str, Any] = {
        "name": "late_parcel",
        "owner": "parcels@example.org",
        "task": "classification",
        "feature_service": "parcel_v1",
        "prediction": {"table": "parcels", "key": ["parcel"], "time": "sent"},
        "label": {"column": "delay", "known_at": "seen", "above": 15},
        "calendar": {"cadence": "weekly", "start": "2020-01-06", "end": "2020-07-06"},
        "trainer": {"categories": ["depot"], "rounds": 40, "early_stopping_rounds": 5},
        "gate": {"metric": "auc", "floors": {"auc": 0.6}},
        "slices": ["depot", "hour"],
    }
    return ModelSpec.model_validate({**base, **changes})


def regression_spec(**changes: Any) -> ModelSpec:
    return parcel_spec(
        task="regression",
        label={"column": "delay", "known_at": "seen"},
        gate={"metric": "mae", "floors": {"mae": 50}},
        **changes,
    )


def parcels(rows: int, seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    queue, hour = draw.normal(size=rows), draw.integers(0, 24, rows)
    depot = draw.integers(0, 3, rows)
    delay = 8 + 12 * queue + 6 * (depot == 2) + 0.5 * hour + draw.normal(scale=10, size=rows)
    start = datetime(2020, 1, 6, tzinfo=UTC)
    sent = [start + timedelta(minutes=15 * int(i)) for i in range(rows)]
    return pl.DataFrame(
        {
            "parcel": [f"p{i:06}" for i in range(rows)],
            "sent": sent,
            "seen": [moment + timedelta(hours=30) for moment in sent],
            "delay": delay,
            "queue": pl.Series(np.where(draw.random(rows) < 0.1, np.nan, queue), dtype=pl.Float32),
            "weight": draw.normal(size=rows).astype(np.float32),
            "hour": hour,
            "noise": draw.normal(size=rows).astype(np.float32),
            "depot": np.array(["north", "south", "west"])[depot],
        }
    ).with_columns(pl.col("queue").fill_nan(None), pl.when(pl.col("noise") < 2).then("delay").alias("delay"))


MANY = pytest.mark.parametrize("many", [300, pytest.param(1000, marks=pytest.mark.nightly)])
"""How many experiments a rate is counted in."""


def between(count: int, trials: int, rate: float) -> bool:
    """Whether a count is what a rate gives in all but one of a thousand such experiments."""
    low, high = stats.binom.ppf((0.0005, 0.9995), trials, rate)
    return bool(low <= count <= high)


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., ModelSpec]:
    return parcel_spec


@pytest.fixture(scope="session")
def make_regression_spec() -> Callable[..., ModelSpec]:
    return regression_spec


@pytest.fixture(scope="session")
def make_parcels() -> Callable[..., pl.DataFrame]:
    return parcels


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return parcel_spec()


@pytest.fixture(scope="session")
def known(spec) -> pl.DataFrame:
    """3000 labelled parcels."""
    return labelled(parcels(3000), spec, NOW)


@pytest.fixture(scope="session")
def features() -> tuple[str, ...]:
    return FEATURES


@pytest.fixture(scope="session")
def fitted(known, spec):
    from mlops_assets.ml.training.fit import fit

    return fit(known, spec, FEATURES)
