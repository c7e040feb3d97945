"""The platform knows nothing of flights: a model of water pumps lives from its spec, two tables and a feature view."""

import dagster as dg
import polars as pl
import pytest

from mlops_assets.assets.model import version_identity
from mlops_assets.assets.training_set import join_week, training_data
from mlops_assets.partitions import week_names
from mlops_assets.replay import Clock, Progress
from mlops_assets.results import weeks_table
from mlops_assets.spec_decides import TRAINING_SET
from resources.local import local_resources
from resources.settings import settings
from tests.pumps.project import SPEC, WEEKS, definitions
from tests.spec_reads import fields_read


@pytest.fixture(scope="module")
def pumps(tmp_path_factory):
    """Nine weeks of pumps, replayed."""
    home = tmp_path_factory.mktemp("pumps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home))
        patch.setenv("MLOPS_FEATURE_REPO", "tests.pumps.repo")
        resources = local_resources(settings())
        (home / "dagster").mkdir()
        with dg.instance_for_test(temp_dir=str(home / "dagster")) as instance:
            clock = Clock(
                definitions(resources),
                instance,
                resources["lake"],
                ["score_pump_stops_when_features_arrive", "retrain_pump_stops_on_evidence"],
            )
            clock.replay("ingest_week", week_names(WEEKS), Progress(9))
            yield resources, instance


def test_a_model_of_pumps_is_trained_promoted_and_scores_the_weeks_after(pumps):
    resources, _ = pumps
    table = weeks_table(SPEC, resources["lake"])
    trained = [week for week, text in table.select("week", "decision").rows() if text.startswith("retrained")]
    assert trained[0] == "2024-01-22"
    assert table["decision"].str.contains("promoted as version").any()
    assert table.filter(pl.col("week") <= "2024-01-22")["auc"].is_null().all()
    assert table.filter(pl.col("week") > "2024-01-22")["auc"].min() > 0.65


def test_what_served_is_behind_the_endpoint_with_a_request_made_from_the_service(pumps):
    resources, _ = pumps
    record = resources["endpoint"].records()["pump_stops"]
    assert record.request is None
    assert resources["feature_store"].request_fields("pump_stops_v1") == {"pump": str}
    assert record.model_sha256 == resources["tracking"].champion("pump_stops").sha256


def test_no_run_of_the_pumps_failed_though_the_gate_rejected_challengers(pumps):
    resources, instance = pumps
    decisions = weeks_table(SPEC, resources["lake"])["decision"]
    assert decisions.str.contains("rejected").any()
    assert all(run.is_success for run in instance.get_runs())


def test_what_the_join_of_a_week_reads_of_a_spec_is_listed(pumps):
    """The name says where the week goes, the start where the sample of the leak probe may begin."""
    resources, _ = pumps
    newest = week_names(WEEKS)[-1]
    with fields_read() as read:
        join_week(SPEC, resources["lake"], resources["feature_store"], newest)
    parts = {path.partition(".")[0] for path in read if "." in path}
    assert read - parts - {*TRAINING_SET} == {"name", "weeks.start"}
    assert {*TRAINING_SET} <= read


def test_a_column_that_only_a_judge_splits_by_makes_another_training_set_and_the_same_version(pumps):
    resources, _ = pumps
    lake, newest = resources["lake"], week_names(WEEKS)[-1]

    def joined(spec):
        join_week(spec, lake, resources["feature_store"], newest)
        data = training_data(spec, lake, newest)
        return data.digest, version_identity(spec, data, "challenger")

    gate = SPEC.gate.model_copy(update={"cluster": "pump"})
    split = [SPEC.model_copy(update=one) for one in ({"slices": ["pump"]}, {"gate": gate})]
    plain, *others = [joined(spec) for spec in (SPEC, *split)]
    assert {digest != plain[0] for digest, _ in others} == {True}
    assert {identity for _, identity in others} == {plain[1]}
    learnt = SPEC.model_copy(update={"trainer": SPEC.trainer.model_copy(update={"categories": ["pump"]})})
    assert joined(learnt)[1] != plain[1]
    assert joined(SPEC) == plain
