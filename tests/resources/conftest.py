"""An empty MLflow of each test's own, and the bytes of a small model to log in it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from resources.tracking.client import client_of
from resources.tracking.tracking import Tracking

ENCODING = '{"features": ["queue", "depot"], "categories": {"depot": ["north", "south"]}}'


@pytest.fixture(scope="module")
def model() -> bytes:
    import xgboost

    draw = np.random.default_rng(0)
    data = xgboost.DMatrix(draw.random((200, 2)), draw.random(200), feature_names=["queue", "depot"])
    booster = xgboost.train({"max_depth": 2, "nthread": 1}, data, 3)
    booster.set_attr(encoding=ENCODING)
    return bytes(booster.save_raw("ubj"))


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    client_of(f"sqlite:///{path}")
    return path


@pytest.fixture
def tracking(tmp_path, empty_database) -> Tracking:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "artifacts"))
