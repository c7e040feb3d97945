"""The platform knows nothing of flights: a model of water pumps lives from its spec, two tables and a feature view."""

import dagster as dg
import polars as pl
import pytest

from mlops_assets.ml.provenance.code_digest import parts_of
from mlops_assets.ml.training.fit import fit
from mlops_assets.replay.clock import Clock, Progress
from mlops_assets.replay.tables import partitions_table
from mlops_assets.spec.decides import FIELDS, TRAINING_SET
from mlops_assets.spec.gate import Guards
from mlops_assets.stages import fingerprints
from mlops_assets.stages.identity import version_identity
from mlops_assets.stages.judging import judge_challenger
from mlops_assets.stages.reporting import write_drift, write_performance
from mlops_assets.stages.scoring import score_partition
from mlops_assets.stages.training import training_files
from mlops_assets.stages.training_set import join_partition, training_data
from resources.local import local_resources
from resources.settings import settings
from resources.systems import Systems
from tests.executed import executed
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
            clock.replay("pumps", WEEKS.names(), Progress(9))
            yield resources, instance


def test_a_model_of_pumps_is_trained_promoted_and_scores_the_weeks_after(pumps):
    resources, _ = pumps
    table = partitions_table(SPEC, resources["lake"])
    trained = [
        week for week, text in table.select("partition", "decision").rows() if text.startswith("retrained")
    ]
    assert trained[0] == "2024-01-22"
    assert table["decision"].str.contains("promoted as version").any()
    assert table.filter(pl.col("partition") <= "2024-01-22")["auc"].is_null().all()
    assert table.filter(pl.col("partition") > "2024-01-22")["auc"].min() > 0.65


def test_what_served_is_behind_the_endpoint_with_a_request_made_from_the_service(pumps):
    resources, _ = pumps
    record = resources["endpoint"].records()["pump_stops"]
    assert record.request is None
    assert resources["feature_store"].of("pumps").request_fields("pump_stops_v1") == {"pump": str}
    assert record.model_sha256 == resources["tracking"].champion("pump_stops").sha256


def test_no_run_of_the_pumps_failed_though_the_gate_rejected_challengers(pumps):
    resources, instance = pumps
    decisions = partitions_table(SPEC, resources["lake"])["decision"]
    assert decisions.str.contains("rejected").any()
    assert all(run.is_success for run in instance.get_runs())


def test_what_the_join_of_a_week_reads_of_a_spec_is_listed(pumps):
    """The name says where the week goes, the start where the sample of the leak probe may begin.

    When a label counts is noted beside the rows, and whether it can be one is asked: no row follows from either.
    """
    resources, _ = pumps
    newest = WEEKS.names()[-1]
    with fields_read() as read:
        join_partition(SPEC, resources["lake"], resources["feature_store"].of("pumps"), newest)
    parts = {path.partition(".")[0] for path in read if "." in path}
    counted = {"label.delay", "label.within", "label.horizon", "label.above", "task"}
    assert read - parts - {*TRAINING_SET} - counted == {"name", "calendar.start", "calendar.cadence"}
    assert {*TRAINING_SET} - {"features"} <= read, "features named in YAML are a service by then"


WEEKS_THEMSELVES = {"name", *(f"calendar.{part}" for part in ("cadence", "start", "end", "timezone"))}
"""Whose it is, and between which moments the week lies: both are in a fingerprint of their own."""


AROUND = {
    "evaluation": {"earlier_code", "calendar", "search", *Guards.model_fields},
    "predictions": {"earlier_code", "trainer", "trainer.kind", "trainer.scorer", "calendar"},
    "performance": {"calendar"},
    "drift": {"calendar", "window"},
}
"""Fields of a part inside a listed one, which are told without it; what may be imported for earlier versions; the code of the scorer and of the trainer's kind is digested, not its name."""


def test_what_a_verdict_the_scores_and_the_reports_read_of_a_spec_is_listed(pumps):
    """The window of a search, a card or a retraining is none of theirs; a drift alarm is calibrated on a fit's."""
    resources, _ = pumps
    lake, tracking, newest = resources["lake"], resources["tracking"], WEEKS.names()[-1]
    stages = {
        "evaluation": lambda: judge_challenger(SPEC, Systems.of(resources), {}),
        "predictions": lambda: score_partition(SPEC, lake, tracking, newest),
        "performance": lambda: write_performance(SPEC, lake, newest),
        "drift": lambda: write_drift(SPEC, lake, newest),
    }
    for stage, work in stages.items():
        with fields_read() as read:
            work()
        listed = {*FIELDS[stage], *WEEKS_THEMSELVES}
        missed = {path for path in read if path not in listed and path.partition(".")[0] not in listed}
        assert missed - AROUND[stage] == set(), stage
        assert read & {*FIELDS[stage]}, stage


def test_a_column_that_only_a_judge_splits_by_makes_another_training_set_and_the_same_version(pumps):
    resources, _ = pumps
    lake, newest = resources["lake"], WEEKS.names()[-1]

    def joined(spec):
        join_partition(spec, lake, resources["feature_store"].of("pumps"), newest)
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


def digested(code, *given):
    """The roots whose code a fingerprint digests."""
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "code_digest", lambda roots: asked.append(roots) or "")
        code(*given)
    return asked[0]


def test_every_function_that_a_stage_runs_is_in_the_digest_of_its_code(pumps):
    """Told by the interpreter: how a system is reached counts as much as what is computed."""
    resources, _ = pumps
    lake, tracking, newest = resources["lake"], resources["tracking"], WEEKS.names()[-1]
    store, versions = resources["feature_store"].of("pumps"), tracking.versions("pump_stops")

    def fitted():
        data = training_data(SPEC, lake, newest)
        fit(training_files(SPEC, data), SPEC, data.features)

    stages = {
        "join": (digested(fingerprints.join_code, SPEC), lambda: join_partition(SPEC, lake, store, newest)),
        "fit": (digested(fingerprints.fit_code, SPEC), fitted),
        "judge": (
            digested(fingerprints.judge_code, SPEC),
            lambda: judge_challenger(SPEC, Systems.of(resources), {}),
        ),
        "score": (
            digested(fingerprints.score_code, SPEC, versions),
            lambda: score_partition(SPEC, lake, tracking, newest),
        ),
        "performance": (
            digested(fingerprints.report_code, "performance"),
            lambda: write_performance(SPEC, lake, newest),
        ),
        "drift": (digested(fingerprints.report_code, "drift"), lambda: write_drift(SPEC, lake, newest)),
    }
    ran = {name: executed(work) for name, (_, work) in stages.items()}
    assert all(len(functions) > 20 for functions in ran.values())
    missed = {name: ran[name] - parts_of(roots) for name, (roots, _) in stages.items()}
    assert not any(missed.values()), missed
    assert "resources.features.store:FeatureStoreResource.historical" in ran["join"]
    serving = {
        "resources.serving.ray_serve",
        "resources.serving.http.predict",
        "resources.serving.live_models",
        "resources.features.push",
    }
    for roots, _ in stages.values():
        assert not {part.partition(":")[0] for part in parts_of(roots)} & serving
