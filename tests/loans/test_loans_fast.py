"""A model that is given columns of the request answers without frames what it answers by them, to the last bit."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import fit
from mlops_assets.spec.files import read_specs
from mlops_assets.stages.served import code_of
from resources.features.planned_stores import PlannedStores
from resources.features.stores import FeatureStores
from resources.lake.lake import Lake
from resources.serving.fast import compiled
from resources.serving.live_models import LiveModels, Served
from resources.serving.ray_serve import Endpoint
from tests.loans.data import FOLDER, START, loans, zipcodes

NAME, DAYS = "loan_default", 20
NOW = START + timedelta(days=DAYS)
LATER = NOW + timedelta(days=90)
ASKED: list[dict[str, Any]] = [
    {"zipcode": 10_001, "amount": 9_000.0, "term": 36, "grade": "A"},
    {"zipcode": 10_008, "amount": 0.1, "term": 60, "grade": "Z"},
    {"zipcode": 10_003, "amount": None, "term": None, "grade": None},
    {"zipcode": 99_999},
]


@pytest.fixture(scope="module", params=["by feast", "without feast"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("loans")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_USE_CASES", str(FOLDER))
        yield _served(folder, without_feast=request.param == "without feast")


def _served(folder: Path, without_feast: bool) -> Served:
    zips = zipcodes()
    table = zips.with_columns(event_timestamp=pl.lit(START - timedelta(days=1), pl.Datetime("us", "UTC")))
    Lake(root=str(folder / "lake")).write("loans/features/zipcodes", table)
    stores = FeatureStores(lake_root=str(folder / "lake"), home=str(folder / "feast"))
    store = stores.of("loans")
    store.apply()
    store.materialize(["zipcodes"], START - timedelta(days=2), NOW)
    spec = read_specs()[NAME]
    joined = store.historical(NAME, loans(DAYS, 60, zips), "applied_at")
    columns = {name: column.type for name, column in spec.prediction.columns.items()}
    rows = labelled(joined, spec, LATER)
    content = fit(rows, spec, [*spec.row_columns, *store.feature_columns(NAME)]).model
    path = folder / "serving" / "models" / "one.model"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    endpoint = Endpoint(folder=str(folder / "serving"))
    endpoint.publish(
        {
            "name": NAME,
            "version": 1,
            "task": spec.task,
            "model_path": str(path),
            "model_sha256": hashlib.sha256(content).hexdigest(),
            "scorer": "mlops_assets.ml.training.fit:Scorer",
            "feature_service": NAME,
            "columns": columns,
            "key": spec.prediction.key,
            "time": spec.prediction.time,
        }
    )
    endpoint.advance(NOW, "loans")
    given: Any = PlannedStores(stores) if without_feast else stores
    live = LiveModels(folder / "serving", given, {NAME: code_of(spec)}.get)
    live.look()
    assert not live.problems, live.problems
    return live.served[NAME]


@pytest.mark.parametrize("size", [1, 4, 12])
def test_scores_and_columns_are_those_by_frames(model: Served, size: int) -> None:
    assert model.fast is not None
    requests = [model.request.model_validate(one) for one in ASKED * 3]
    for first in range(0, len(requests), size):
        some = requests[first : first + size]
        wanted, found = compiled.by_frames(model, some, NOW), model.fast.scored(some, NOW)
        assert compiled.difference(wanted.vectors, np.asarray(wanted.scores, np.float64), found) is None
        assert found.unseen == wanted.unseen
    assert model.fast.scored(requests[:2], NOW).unseen == {1: {"grade": "Z"}}
