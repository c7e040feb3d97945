"""What goes wrong reaches people by the sensor, once; what is over is noted; who has it in hand is in the audit log."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets import cli
from mlops_assets.automation.alerting import alert_sensor, tell
from mlops_assets.stages.alerting import acknowledge, look_at_models
from mlops_assets.stages.arrivals import overdue_name
from resources.alerts.outbox import Alerts
from resources.alerts.policy import Limits
from resources.audit.acknowledged import acknowledged_entries
from resources.systems import Systems
from tests import record_samples
from tests.pumps.project import SPEC
from tests.pumps.promotion import NAME, Project
from tests.receivers import webhooks

pytestmark = pytest.mark.usefixtures("pumps_features")
NOW = datetime.now(UTC)
SPECS = {NAME: SPEC}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Any:
    with webhooks() as here:
        monkeypatch.setenv("TEAM_OF_THIS_TEST", here.address)
        yield here


def alerts_of(folder: Path) -> Alerts:
    file = folder / "alerts.yaml"
    file.write_text("routes: {team: TEAM_OF_THIS_TEST}\nsend: [{to: [team]}]\ngroup_seconds: 0\n")
    return Alerts(folder=str(folder / "alerts"), policy_file=str(file))


@dg.op
def pump():
    raise RuntimeError("the pump at postgresql://me:planted-passw0rd@host/db is dry")


@dg.op
def idle():
    return None


@dg.job(name=f"{NAME}_partition", executor_def=dg.in_process_executor)
def fails():
    pump()


@dg.job(name=f"{NAME}_partition", executor_def=dg.in_process_executor)
def succeeds():
    idle()


def test_a_failed_run_is_told_once_with_its_page_and_is_over_when_the_same_succeeds(
    project, receiver, tmp_path
):
    alerts, systems = alerts_of(tmp_path), Systems.of(project.parts)
    week = {"dagster/partition": "2024-01-01"}
    with dg.DagsterInstance.ephemeral() as instance:
        failure = fails.execute_in_process(instance=instance, tags=week, raise_on_error=False)
        for _ in range(3):
            tell(instance, alerts, systems, {}, NOW)
        (message,) = [one["message"] for one in receiver.got]
        assert (
            f"/runs/{failure.run_id}" in message
            and "RuntimeError: the pump at postgresql://***@host" in message
        )
        assert "planted" not in json.dumps([state.document() for state in alerts.states()])
        succeeds.execute_in_process(instance=instance, tags={"dagster/partition": "2024-01-08"})
        tell(instance, alerts, systems, {}, NOW)
        assert [state.phase for state in alerts.states()] == ["sent"]
        succeeds.execute_in_process(instance=instance, tags=week)
        assert "1 are over" in tell(instance, alerts, systems, {}, NOW + timedelta(minutes=1))
    assert [state.phase for state in alerts.states()] == ["resolved"] and len(receiver.got) == 1


def test_the_sensor_raises_what_a_model_shows_and_keeps_still_while_a_replay_passes_through(
    project, tmp_path, monkeypatch
):
    alerts = alerts_of(tmp_path)
    names = ("lake", "endpoint", "audit", "clock", "serving_log", "pages")
    parts = {**{name: project.parts[name] for name in names}, "alerts": alerts}
    project.lake.write_json(
        overdue_name(SPEC.use_case), {"pumps/checks": {"2024-02-05": {"outcome": "missing"}}}
    )
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, resources=parts) as context,
    ):
        alert_sensor(lambda: SPECS).evaluate_tick(context)
        assert [(state.kind, state.subject, state.cause) for state in alerts.states()] == [
            ("stale_data", "pumps/checks", "2024-02-05")
        ]
        monkeypatch.setattr(type(project.lake), "worked_on", lambda _: "a replay")
        said = alert_sensor(lambda: SPECS).evaluate_tick(context).skip_message
    assert said == "a replay is at work on this state alone: what it passes through is no news"


def refuse(project: Project, *weeks: str) -> None:
    for week in weeks:
        attempt = record_samples.attempt(week=week, promote=False, verdict="not better")
        project.lake.write_json(f"{NAME}/attempts/{week}", attempt.document())


def found(project: Project, **limits: Any) -> dict[str, dict[str, Any]]:
    findings = look_at_models(Systems.of(project.parts), SPECS, Limits(**limits))
    return {one.kind: dict(one.evidence) for one in findings.alerts}


def test_challengers_that_are_refused_again_and_again_are_one_alert_for_as_long_as_it_goes_on(project):
    refuse(project, "2024-02-05", "2024-02-12")
    assert "promotion_refused" not in found(project)
    refuse(project, "2024-02-19")
    systems, limits = Systems.of(project.parts), Limits()
    before = {one.id for one in look_at_models(systems, SPECS, limits).alerts}
    assert len(found(project)["promotion_refused"]) == 3
    refuse(project, "2024-02-26")
    assert {one.id for one in look_at_models(systems, SPECS, limits).alerts} == before


def test_a_model_that_cannot_be_read_is_an_alert_and_settles_nothing_of_itself(project):
    (project.home / "lake" / NAME / "attempts").mkdir(parents=True, exist_ok=True)
    (project.home / "lake" / NAME / "attempts" / "2024-02-05.json").write_text("{")
    findings = look_at_models(Systems.of(project.parts), SPECS, Limits())
    assert [one.kind for one in findings.alerts] == ["model_unreadable"]
    assert not any(subject == NAME for _, subject in findings.settled)


def test_who_acknowledges_is_in_the_audit_log_once_and_first(project, tmp_path, monkeypatch, capsys):
    alerts = project.parts["alerts"]
    project.lake.write_json(
        overdue_name(SPEC.use_case), {"pumps/checks": {"2024-02-05": {"outcome": "missing"}}}
    )
    with dg.DagsterInstance.ephemeral() as instance:
        tell(instance, alerts, Systems.of(project.parts), SPECS, NOW)
    (state,) = alerts.states()
    monkeypatch.setenv("MLOPS_HOME", str(project.home))
    assert cli.main(["alerts", "list"]) == 1
    assert f"{state.id} [warning] open" in capsys.readouterr().out
    assert cli.main(["alerts", "ack", state.id, "--by", "ada", "--why", "I call the vendor"]) == 0
    acknowledge(alerts, project.audit, state.id, "bob", "I too", NOW)
    (entry,) = acknowledged_entries(project.audit)
    assert (entry.by, entry.why, entry.evidence["alert"]) == ("ada", "I call the vendor", state.id)
    assert project.audit.verify().problem is None
    assert cli.main(["alerts", "list"]) == 0
    assert "in hand: ada since" in capsys.readouterr().out
    assert cli.main(["alerts", "test", "team"]) == 1
    assert "'team' is no route: name one of none" in capsys.readouterr().err
