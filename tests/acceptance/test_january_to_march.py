"""What the features are worth: exactly January and February, all of March, nothing in between and nothing leaked."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from mlops_assets.definitions import specs
from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.judging.metrics import evaluate
from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.stages.tables import build_partition
from mlops_assets.stages.training_set import join_partition
from mlops_assets.use_cases.flights.tables import WEEKS, all_tables
from resources.local import local_resources
from resources.settings import settings

NEW_YORK = ZoneInfo("America/New_York")
MARCH, APRIL = (datetime(2013, month, 1, tzinfo=NEW_YORK).astimezone(UTC) for month in (3, 4))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Every flight up to the end of March beside the features known at its prediction time."""
    spec = specs()["flight_delay"]
    resources = local_resources(settings({"MLOPS_HOME": str(tmp_path_factory.mktemp("march"))}))
    lake, store = resources["lake"], resources["feature_store"].of("flights")
    weeks = [week for week in WEEKS.names() if week < "2013-04-01"]
    for week in weeks:
        for table in all_tables():
            found, manifest = build_partition(lake, table, week)
            assert manifest, [finding for finding in found if not finding.holds]
    store.apply()
    joined = [join_partition(spec, lake, store, week) for week in weeks]
    assert not any(week.lost or week.differ for week in joined)
    return spec, lake.read("flight_delay/training_set", weeks), joined[0].manifest.notes["features"]


def test_january_and_february_predict_march(rows):
    spec, frame, features = rows
    train = labelled(frame, spec, MARCH)
    test = labelled(frame, spec, APRIL).filter(pl.col("prediction_time").is_between(MARCH, APRIL))
    scorer = Scorer(fit(train, spec, [*spec.trainer.categories, *features]).model)
    found = evaluate(test["_label"].to_numpy(), scorer.predict(test), spec.task)
    print(f"\n{train.height:,} rows of January and February, {test.height:,} of March: {found}")
    assert train["outcome_known_at"].max() <= MARCH
    assert test.height > 27_000
    assert found["auc"] >= 0.76
    assert found["log_loss"] <= 0.455
