"""A leaked label under another name stops at the model: no fit, no version, no deployment, and the page says which feature."""

import dagster as dg
import polars as pl
import pytest

from mlops_assets.assets.deployment import deployment
from mlops_assets.assets.evaluation import evaluation
from mlops_assets.assets.model import model
from mlops_assets.spec.decides import of_a_fit, spec_digest
from resources.audit.log import Audit
from resources.clock import Clock
from resources.compute.compute import Compute
from resources.serving.ray_serve import Endpoint
from resources.tracking.tracking import Tracking
from tests.ml.conftest import parcel_spec, parcels
from tests.parcel_weeks import ROWS, TRAINER, parcel_lake

pytestmark = pytest.mark.usefixtures("flights_features")
LEAKED = parcels(ROWS).with_columns(weight=(pl.col("delay") / 60).cast(pl.Float32))


def launched(folder, spec, frame=None) -> tuple[dg.ExecuteInProcessResult, Tracking]:
    """One run over model, evaluation and deployment, as a retraining makes it."""
    tracking = Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))
    resources = {
        "lake": parcel_lake(folder / "lake", spec, frame),
        "clock": Clock(),
        "tracking": tracking,
        "audit": Audit(folder=str(folder / "audit")),
        "compute": Compute(folder=str(folder / "training")),
        "endpoint": Endpoint(folder=str(folder / "serving")),
    }
    assets = [model(spec), evaluation(spec), deployment(spec)]
    return dg.materialize(assets, resources=resources, raise_on_error=False), tracking


def check(done: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    return next(one for one in done.get_asset_check_evaluations() if one.check_name == "leaks")


def test_a_leaked_label_under_another_name_is_stopped_before_it_is_fitted(tmp_path):
    done, tracking = launched(tmp_path, parcel_spec(trainer=TRAINER), LEAKED)
    assert not done.success and not check(done).passed and check(done).blocking
    assert "weight" in check(done).metadata["AUC of single features"].value
    failure = done.failure_data_for_node("late_parcel__model")
    assert "weight (AUC 1.0000" in str(failure) and "leaks: {allowed: [weight]}" in str(failure)
    assert done.get_asset_materialization_events() == [] and tracking.versions("late_parcel") == []
    assert not list((tmp_path / "serving").glob("*.json"))


@pytest.mark.parametrize(
    ("frame", "leaks"), [(None, {}), (LEAKED, {"allowed": ["weight"]})], ids=["honest", "allowed"]
)
def test_an_honest_feature_and_one_that_is_allowed_are_deployed(tmp_path, frame, leaks):
    done, tracking = launched(tmp_path, parcel_spec(trainer=TRAINER, leaks=leaks), frame)
    assert done.success and check(done).passed
    assert (tmp_path / "serving" / "late_parcel.json").exists()
    assert tracking.champion("late_parcel")


def test_the_rule_for_leaks_makes_no_other_version():
    spec, allowing = parcel_spec(), parcel_spec(leaks={"allowed": ["weight"], "above": 0.9})
    assert spec_digest(spec) == spec_digest(allowing)
    assert of_a_fit(spec.model_dump(mode="json")) == of_a_fit(allowing.model_dump(mode="json"))
