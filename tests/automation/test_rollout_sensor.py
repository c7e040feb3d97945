"""A roll-out in Dagster: the sensor that looks, the asset and its page, the jobs of the UI, and the command line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.assets.rollout import rollout
from mlops_assets.automation.rollout import rollout_jobs, rollout_sensor
from mlops_assets.automation.sensors import model_sensors
from mlops_assets.kit.rollout_page import rollout_metadata
from mlops_assets.ml.rollout.plot import timeline
from mlops_assets.promotion.rollout_states import newest
from mlops_assets.stages import rollout_rows
from mlops_assets.stages.rollout_page import marks_of
from tests.command_lines import command_line
from tests.pumps.project import SPEC
from tests.pumps.promotion import AUTOMATIC, NAME, NAMES, Project, add_week, copied, spec

pytestmark = pytest.mark.usefixtures("pumps_features")
STEP = {"bake": "6d", "minimum_samples": 20}
PLANNED = spec(
    rollout={
        "answers_influence_labels": False,
        "shadow": STEP,
        "canary": [STEP | {"share": 0.1}],
        "full": STEP,
        "dry_run": ["auc"],
    }
)
WHO = {"model": NAME, "by": "lin", "why": "to see"}


@pytest.fixture(autouse=True)
def scored_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version scores in this process, which is spoilt and killed here; its own process has tests of its own."""
    monkeypatch.setattr(rollout_rows, "alone", rollout_rows.here)


@pytest.fixture
def project(championed: Path, tmp_path: Path) -> Project:
    return copied(championed, tmp_path)


def tick(project: Project, instance: dg.DagsterInstance) -> str:
    names = ("lake", "tracking", "endpoint", "audit", "clock", "serving_log")
    watched = {name: project.parts[name] for name in names}
    with dg.build_sensor_context(instance=instance, resources=watched) as context:
        found = rollout_sensor(PLANNED).evaluate_tick(context)
    return str(found.skip_message)


def run_job(project: Project, job: str, **config: Any) -> dg.ExecuteInProcessResult:
    defs = dg.Definitions(jobs=rollout_jobs(lambda: {NAME: PLANNED}), resources=project.parts)
    run_config = {"ops": {job.replace("_", "_the_"): {"config": {**WHO, **config}}}}
    return defs.resolve_job_def(job).execute_in_process(run_config=run_config, raise_on_error=False)


def another_week(project: Project) -> None:
    add_week(project.lake, NAMES[len(project.lake.partitions(SPEC.prediction.table))])


def test_the_sensor_moves_a_rollout_on_and_says_what_it_waits_for_and_both_pages_show_it(project):
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(project, instance) == "no roll-out is under way"
        assert run_job(project, "start_rollout", version=1).success
        assert "is in step 1 of 3, shadow. It waits for shadow: bakes until 2024-02-11" in tick(
            project, instance
        )
        another_week(project)
        assert "is in step 2 of 3, canary 0.1. It waits for canary 0.1: bakes until" in tick(
            project, instance
        )
        for page in ("rollout", "deployment"):
            event = instance.get_latest_materialization_event(dg.AssetKey([NAME, page]))
            shown = event.asset_materialization.metadata
            assert "step 2 of 3" in str(shown["roll-out"].value)
            assert str(shown["time line"].value).startswith("![time line](data:image/png;base64,")
        another_week(project)
        another_week(project)
        tick(project, instance)
        assert project.champion == 2 and newest(project.lake, NAME).step == 2
        assert tick(project, instance).endswith("UTC")


def test_only_a_model_that_plans_rollouts_has_the_sensor():
    assert len(model_sensors(AUTOMATIC)) == 2
    assert [s.name for s in model_sensors(PLANNED)][1] == f"advance_{NAME}_rollout"


def test_the_asset_looks_and_shows_state_evidence_and_what_decides_nothing(project):
    assert run_job(project, "start_rollout", version=1).success
    another_week(project)
    done = dg.materialize([rollout(PLANNED)], resources=project.parts)
    shown = done.asset_materializations_for_node(f"{NAME}__rollout")[0].metadata
    assert "is in step 2 of 3" in str(shown["roll-out"].value)
    assert "auc (dry run)" in str(shown["evidence"].value) and "decides nothing" in str(
        shown["evidence"].value
    )
    assert "7 of 28 clusters" in str(shown["evidence"].value)
    assert "ada" not in str(shown["transitions"].value) and "lin" in str(shown["transitions"].value)


def test_the_asset_of_a_model_that_never_rolled_out_says_so(project):
    done = dg.materialize([rollout(PLANNED)], resources=project.parts)
    shown = done.asset_materializations_for_node(f"{NAME}__rollout")[0].metadata
    assert shown["roll-out"].value == "none was ever begun"


def test_the_jobs_of_the_ui_steer_a_rollout_and_refuse_in_words(project):
    assert run_job(project, "start_rollout", version=1).success
    for job, phase in (("pause", "running"), ("resume", "running"), ("promote", "completed")):
        assert run_job(project, f"{job}_rollout").success
        assert newest(project.lake, NAME).phase == phase
    assert project.champion == 1
    for job, config, said in (
        ("abort_rollout", {}, "has no roll-out under way"),
        ("start_rollout", {"version": 1}, "version 1 is champion already"),
        ("pause_rollout", {"model": "nobody"}, "model 'nobody' does not exist"),
        ("pause_rollout", {"why": " "}, "with a name and a reason"),
    ):
        done = run_job(project, job, **config)
        [event] = [e for e in done.all_events if e.event_type_value == "STEP_FAILURE"]
        assert said in str(event.event_specific_data.user_failure_data.description)


def test_a_time_line_has_a_mark_for_each_transition_and_the_share_from_then_on(project):
    run_job(project, "start_rollout", version=1)
    another_week(project)
    dg.materialize([rollout(PLANNED)], resources=project.parts)
    run_job(project, "abort_rollout")
    state = newest(project.lake, NAME)
    marks = marks_of(state)
    assert [(mark.kind, mark.share) for mark in marks] == [
        ("started", 0.0),
        ("advanced", 0.1),
        ("aborted", 0.0),
    ]
    drawn = timeline(marks, marks[-1].moment, "a roll-out")
    assert drawn.startswith(b"\x89PNG") and drawn == timeline(marks, marks[-1].moment, "a roll-out")
    assert str(rollout_metadata(state)["waits for"]).startswith("nothing: it ended, aborted by lin")


@pytest.fixture
def mlops(project, monkeypatch, capsys) -> Iterator[Any]:
    """A function that runs a command on the state: exit status and what was printed."""
    monkeypatch.setenv("MLOPS_HOME", str(project.home))
    monkeypatch.setattr("mlops_assets.spec.files.read_specs", lambda: {NAME: PLANNED})
    return command_line(capsys)


def test_a_rollout_from_the_command_line(mlops, project):
    code, said = mlops("rollout", NAME)
    assert code == 1 and "never had a roll-out" in said
    code, said = mlops("rollout", NAME, "start", "--version", "1", "--by", "lin", "--why", "to see")
    assert code == 0 and "is in step 1 of 3, shadow" in said
    code, said = mlops("rollout", NAME, "pause", "--by", "lin", "--why", "wait")
    assert code == 0 and "paused by lin: wait" in said
    assert mlops("rollout", NAME, "resume", "--why", "go on")[0] == 0
    code, said = mlops("rollout", NAME, "abort", "--by", "eve", "--why", "no")
    assert code == 0 and "is aborted" in said and "aborted by eve: no" in said
    assert mlops("rollout", NAME, "status")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "model 'nobody' does not exist; there are: pump_stops"),
        ([NAME, "start", "--why", "w"], "name the version"),
        ([NAME, "start", "--version", "1"], "with a name and a reason"),
        ([NAME, "start", "--version", "1", "--ab", "--why", "w"], "declares no A/B test"),
        (
            [NAME, "pause", "--version", "1", "--why", "w"],
            "--version and --ab are for start, and this is pause",
        ),
        ([NAME, "abort", "--why", "w"], "has no roll-out under way"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(mlops, project, arguments, said):
    code, told = mlops("rollout", *arguments)
    assert code == 1 and told.startswith("error: ") and said in told
    assert newest(project.lake, NAME) is None
