"""An incident: promotion and retraining are frozen everywhere, a model is retired and brought back, in words that name who and why."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import mlops_assets.stages.deploying
from mlops_assets.assets.card import card
from mlops_assets.automation.decisions import DecisionError
from mlops_assets.automation.holding import hold_jobs
from mlops_assets.commands.holds import tell
from mlops_assets.local.servers import prepare_dagster_home
from mlops_assets.promotion.holds import Holds, pause, reinstate, resume, retire
from resources.settings import settings
from resources.storage.durable import write_text
from tests.command_lines import command_line
from tests.pumps.promotion import AUTOMATIC, BY_ADA, FIRST, NAME, NAMES, Project, add_week, tick
from tests.resources.endpoint_in_process import TRIP, client, endpoint

pytestmark = pytest.mark.usefixtures("pumps_features")
PAUSED = "everything is paused: nothing is retrained or promoted. By lin since "


def put(project: Project, act: Any, model: str | None = None) -> None:
    act(project.audit, project.endpoint, model, "lin", "the weather feed lies")


def test_a_deployment_under_a_pause_ends_green_says_so_on_its_page_and_is_made_after_it(project):
    put(project, pause)
    said = project.said(AUTOMATIC)
    assert said.startswith(f"none: {PAUSED}") and said.endswith(": the weather feed lies")
    assert (project.champion, [kind for kind, _ in project.log if kind == "promoted"]) == (None, [])
    put(project, resume)
    project.make(AUTOMATIC, "deployment")
    assert project.champion == 2


@pytest.mark.parametrize(("act", "model"), [(pause, None), (pause, NAME), (retire, NAME)])
def test_a_run_that_has_begun_is_stopped_at_its_promotion(project, monkeypatch, act, model):
    fitted = mlops_assets.stages.deploying.fit

    def fit_and_then(*arguments: Any, **named: Any) -> Any:
        put(project, act, model)
        return fitted(*arguments, **named)

    monkeypatch.setattr(mlops_assets.stages.deploying, "fit", fit_and_then)
    assert "By lin since" in project.said(AUTOMATIC)
    assert project.champion is None and "promoted" not in dict(project.log)


def test_nobody_approves_under_a_pause_a_rejection_is_heard_and_after_it_the_challenger_still_waits(project):
    project.make(BY_ADA)
    put(project, pause)
    with pytest.raises(DecisionError, match=f"{NAME}: no version becomes champion: {PAUSED}"):
        project.approve(1)
    done = project.decide("approve_challenger", version=1, by="ada", reason="fine")
    assert not done.success and "approved" not in dict(project.log)
    put(project, resume)
    assert project.approve(1) == project.champion == 2
    add_week(project.lake, NAMES[FIRST])
    project.make(BY_ADA)
    put(project, pause)
    assert project.decide("reject_challenger", version=3, by="lin", reason="no").success


def test_the_card_of_a_model_names_the_hold_and_only_while_there_is_one(project):
    project.make(AUTOMATIC)
    texts = []
    for act in (None, pause, resume):
        if act:
            put(project, act)
        done = dg.materialize([card(AUTOMATIC)], resources=project.parts)
        texts.append(done.asset_materializations_for_node(f"{NAME}__card")[0].metadata["card"].value)
    assert PAUSED in texts[1] and "on hold" not in texts[0] + texts[2]


def test_the_sensor_tells_an_endpoint_that_was_not_told(project):
    project.make(AUTOMATIC)
    put(project, retire, NAME)
    notice = Path(project.endpoint.folder) / "holds" / "now.json"
    notice.unlink()
    assert "the endpoint was not told of every hold" in tick(project)
    assert set(project.endpoint.notice().retired) == {NAME}
    assert "told" not in tick(project)


def run_job(project: Project, job: str, **config: Any) -> dg.ExecuteInProcessResult:
    jobs = hold_jobs(lambda: {NAME: AUTOMATIC, "another": AUTOMATIC})
    defs = dg.Definitions(jobs=jobs, resources=project.parts)
    run_config = {"ops": {job.split("_")[0]: {"config": config}}}
    return defs.resolve_job_def(job).execute_in_process(run_config=run_config, raise_on_error=False)


def shown(done: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What the pages of deployments show, by model."""
    events = [e for e in done.all_events if e.is_step_materialization]
    found = [e.step_materialization_data.materialization for e in events]
    assert all(one.asset_key.path[1] == "deployment" for one in found)
    return {one.asset_key.path[0]: str(one.metadata["on hold"].value) for one in found}


def test_the_jobs_of_the_ui_do_the_same_and_show_it_on_the_deployments_pages(project):
    done = run_job(project, "pause_models", by="lin", why="the weather feed lies")
    assert done.success and set(shown(done)) == {NAME, "another"}
    assert shown(done)["another"].startswith(PAUSED)
    assert set(shown(run_job(project, "resume_models", by="lin", why="mended")).values()) == {"no"}
    done = run_job(project, "retire_model", by="lin", why="nobody asks", model=NAME)
    assert shown(done)[NAME].startswith(f"{NAME} is retired. By lin since ")
    assert set(
        shown(run_job(project, "retire_model", by="lin", why="x", model=NAME, undo=True)).values()
    ) == {"no"}
    assert [kind for kind, _ in project.log] == ["paused", "resumed", "retired", "reinstated"]


def test_a_job_that_cannot_be_done_fails_in_words(project):
    for job, config, said in (
        ("pause_models", {"model": "nobody"}, "model 'nobody' does not exist; there are: another,"),
        ("resume_models", {}, "everything was never paused: there is nothing to lift"),
        ("retire_model", {"model": NAME, "undo": True}, f"{NAME} was never retired"),
        ("pause_models", {"why": " "}, "with a name and a reason"),
    ):
        done = run_job(project, job, **{"by": "lin", "why": "x", **config})
        [event] = [e for e in done.all_events if e.event_type_value == "STEP_FAILURE"]
        assert said in str(event.event_specific_data.user_failure_data.description)
    assert project.log == []


@pytest.fixture
def mlops(project, monkeypatch, capsys) -> Iterator[Any]:
    """A function that runs a command on the state: exit status and what was printed."""
    monkeypatch.setenv("MLOPS_HOME", str(project.home))

    return command_line(capsys)


def test_an_incident_from_the_command_line(mlops, project, capsys):
    project.make(AUTOMATIC)
    prepare_dagster_home(settings())
    code, said = mlops("pause", "--all", "--why", "numbers are wrong", "--by", "lin")
    assert code == 0
    assert (
        "everything is paused: nothing is retrained or promoted; scoring and reports go on (by lin at" in said
    )
    assert f"on hold: {PAUSED}" in said
    assert "(by lin at" in mlops("pause", "--all", "--why", "again", "--by", "eve")[1]
    tell(settings())
    assert capsys.readouterr().out.startswith(f"on hold: {PAUSED}")
    with dg.DagsterInstance.from_config(str(settings().dagster_home)) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey([NAME, "deployment"]))
        assert event.asset_materialization.metadata["on hold"].value.startswith(PAUSED)
    assert f"on hold: {PAUSED}" in mlops("history", NAME)[1]
    code, said = mlops("resume", "--by", "lin")
    assert code == 0 and "on hold" not in said + mlops("history", NAME)[1]
    assert [entry.by for entry in project.audit.entries(kinds=("paused", "resumed"))] == ["lin", "lin"]


def test_one_model_from_the_command_line_and_by_the_account_where_nobody_is_named(mlops, project):
    project.make(AUTOMATIC)
    assert mlops("pause", NAME, "--why", "w")[0] == mlops("retire", NAME, "--why", "w")[0] == 0
    code, said = mlops("resume", NAME)
    assert code == 1 and f"error: {NAME} is retired. By " in said
    code, said = mlops("retire", NAME, "--undo", "--why", "w")
    assert code == 0 and f"{NAME} is back" in said and f"on hold: {NAME} is paused" in said
    assert mlops("resume", NAME)[0] == 0
    holds = Holds.of(project.audit)
    assert holds.sentences() == [] and all(e.by for e in project.audit.entries(kinds=("paused", "resumed")))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pause", "--why", "w"], "a hold is on one model or on all: name one, or give --all"),
        (["pause", "m", "--all", "--why", "w"], "name one, or give --all"),
        (["pause", "nobody", "--why", "w"], "model 'nobody' does not exist; there are: arrival_minutes, "),
        (["retire", "nobody", "--why", "w"], "model 'nobody' does not exist"),
        (["resume"], "everything was never paused: there is nothing to lift"),
        (["pause", "--all", "--why", " "], "with a name and a reason"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence_and_recorded_nowhere(mlops, project, arguments, said):
    code, told = mlops(*arguments)
    assert code == 1 and told.startswith("error: ") and said in told
    assert project.log == []


def test_a_state_without_a_log_has_nothing_to_tell(tmp_path, capsys):
    tell(settings({"MLOPS_HOME": str(tmp_path)}))
    assert capsys.readouterr().out == "" and list(tmp_path.iterdir()) == []


def test_a_retired_model_answers_410_with_who_and_why_and_after_it_is_brought_back_as_before(
    project, tmp_path
):
    app = endpoint(tmp_path)
    models = app.state.models
    project.parts["endpoint"] = project.endpoint = type(project.endpoint)(folder=str(tmp_path / "serving"))
    with client(app) as http:
        before = http.post("/predict/trips", json=TRIP).json()
        put(project, pause)
        models.look()
        assert http.post("/predict/trips", json=TRIP).status_code == 200
        assert (
            http.get("/models")
            .json()[0]["held"]
            .startswith("paused: nothing is retrained or promoted. By lin")
        )
        assert "On hold:" in http.get("/").text
        for _ in range(2):
            put(project, retire, "trips")
            models.look()
            gone = http.post("/predict/trips", json=TRIP)
            assert gone.status_code == 410
            assert gone.json()["detail"].startswith("model 'trips' is retired. By lin since ")
            assert "the weather feed lies. `mlops retire trips --undo" in gone.json()["detail"]
        [entry] = http.get("/models").json()
        assert entry["version"] is None and "is retired" in entry["held"]
        assert "is retired" in http.get("/").text
        put(project, reinstate, "trips")
        models.look()
        after = http.post("/predict/trips", json=TRIP).json()
        assert {**after, "request_id": 0} == {**before, "request_id": 0}


def test_an_endpoint_that_starts_again_knows_what_is_retired(project, tmp_path):
    project.parts["endpoint"] = project.endpoint = type(project.endpoint)(folder=str(tmp_path / "serving"))
    put(project, retire, "trips")
    app = endpoint(tmp_path)
    with client(app) as http:
        assert http.post("/predict/trips", json=TRIP).status_code == 410
    write_text(Path(project.endpoint.folder) / "holds" / "now.json", "{")
    app.state.models.look()
    with client(app) as http:
        assert http.post("/predict/trips", json=TRIP).status_code == 410
