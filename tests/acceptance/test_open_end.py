"""A use case of days without an end is ingested, joined, trained, scored and reported on by the same replay and sensors."""

import dagster as dg
import polars as pl
import pytest

from mlops_assets.replay.clock import Clock, Progress
from mlops_assets.replay.tables import partitions_table
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.model import ModelSpec
from resources.local import local_resources
from resources.settings import settings
from tests.pumps import project

ENDLESS = Calendar(cadence="daily", timezone="Europe/Berlin", start=project.WEEKS.start)
DAYS = ENDLESS.back("2024-01-11", 20)
SPEC = ModelSpec.model_validate(
    project.SPEC.model_dump()
    | {
        "calendar": ENDLESS,
        "window": {"hold_out_days": 3, "minimum_days": 8},
        "retrain": {"cool_down_days": 3, "max_age_days": 90},
    }
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    home = tmp_path_factory.mktemp("endless")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home))
        patch.setenv("MLOPS_FEATURE_REPO", "tests.pumps.repo")
        patch.setattr(project, "WEEKS", ENDLESS)
        patch.setattr(project, "SPEC", SPEC)
        resources = local_resources(settings())
        (home / "dagster").mkdir()
        with dg.instance_for_test(temp_dir=str(home / "dagster")) as instance:
            sensors = ["score_pump_stops_when_features_arrive", "retrain_pump_stops_on_evidence"]
            clock = Clock(project.definitions(resources), instance, resources["lake"], sensors)
            clock.replay("pumps", DAYS, Progress(len(DAYS)))
            assert all(run.is_success for run in instance.get_runs())
            yield resources["lake"]


def test_every_day_is_joined_and_reported_under_its_name(lake):
    parts = ("training_set", "predictions", "performance", "drift")
    assert {part: lake.partitions(f"pump_stops/{part}") for part in parts} == dict.fromkeys(parts, DAYS)


def test_the_first_model_is_trained_when_there_are_days_enough_and_scores_those_after(lake):
    table = partitions_table(SPEC, lake)
    trained = table.filter(pl.col("decision").str.starts_with("retrained"))
    assert trained["partition"].to_list() == ["2024-01-08"]
    later = table.filter(pl.col("partition") > "2024-01-08")
    assert later.height == 3
    assert later.filter(pl.col("auc") > 0.6).height == 3
