"""Each kind of alert is raised by what raises it, and stands on the screen once, whether or not the records say it by themselves."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.automation.alerting import failed_runs
from mlops_assets.kit.operations import platform_waits
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.alerting import look_at_endpoint, look_at_models
from mlops_assets.stages.arrivals import overdue_name
from mlops_assets.stages.judging import attempt_name
from mlops_assets.stages.standing import describe_platform
from resources.alerts.alert import KINDS, Alert, is_on_record
from resources.alerts.alertmanager import take_webhook
from resources.alerts.policy import Limits
from resources.clock import wall
from resources.records.documents import save_record
from resources.systems import Systems
from tests.ml.conftest import parcel_spec
from tests.record_samples import attempt
from tests.resources.alerts.test_alertmanager import body
from tests.stages.test_described_platform import (
    BY_ADA,
    END,
    SECOND,
    SPEC,
    drifted,
    evaluated,
    ingest,
    promote,
    report,
    rollout,
    systems_in,
)

NAME = SPEC.name
BY_THE_WALL = parcel_spec(clock="wall")
LIMITS = Limits(freshness_hours=48)
Case = Callable[[Systems], Iterable[Any]]


def looked(prepare: Callable[[Systems], Any], spec: ModelSpec = SPEC) -> Case:
    """A state that is prepared so that a look at the model raises the alert."""

    def case(systems: Systems) -> list[Alert]:
        promote(systems, 1, END - timedelta(days=7))
        assert not look_at_models(systems, {NAME: spec}, LIMITS).alerts
        prepare(systems)
        return [*look_at_models(systems, {NAME: spec}, LIMITS).alerts]

    return case


def late(systems: Systems) -> None:
    systems.lake.write_json(overdue_name(SPEC.use_case), {"parcels": {SECOND: {"outcome": "missing"}}})


def refused(systems: Systems) -> None:
    for week in SPEC.calendar.names()[:3]:
        save_record(systems.lake, attempt_name(SPEC, week), attempt(week=week, promote=False))


def unreadable(systems: Systems) -> None:
    systems.lake.storage.write(f"{NAME}/attempts/{SECOND}.json", b"{")


@dg.op
def leak():
    raise RuntimeError("the depot is flooded")


@dg.job(name=f"{NAME}_partition", executor_def=dg.in_process_executor)
def floods():
    leak()


def failed(systems: Systems) -> list[Alert]:
    with dg.DagsterInstance.ephemeral() as instance:
        floods.execute_in_process(instance=instance, raise_on_error=False)
        assert len(platform_waits(instance, "http://localhost:3000", wall())) == 1
        return [*failed_runs(instance, systems.pages, {NAME: SPEC}, wall())]


def unserved(systems: Systems) -> Iterable[Alert]:
    return look_at_endpoint(systems, {NAME: SPEC}, {NAME: "RecordError: the model file is away"}).alerts


def fired(systems: Systems) -> Iterable[Any]:
    fires = body(alertname="EndpointFails", model=NAME, kind="")
    take_webhook(systems.alerts, fires, END, lambda kind, subject: (None, ""))
    return systems.alerts.states()


CASES: dict[str, Case] = {
    "drift_alarm": looked(lambda systems: drifted(systems, prediction_psi=0.4, alarm=True)),
    "quality_under_floor": looked(lambda systems: report(systems, SECOND, auc=0.5)),
    "stale_data": looked(late),
    "stale_model": looked(ingest, BY_THE_WALL),
    "labels_missing": looked(lambda systems: report(systems, SECOND, labelled=5, unlabelled=90)),
    "rollout_rolled_back": looked(lambda systems: rollout(systems, phase="rolled_back")),
    "rollout_waits": looked(lambda systems: rollout(systems, has_asked=True)),
    "approval_waits": looked(lambda systems: evaluated(systems, 2, champion=1), BY_ADA),
    "promotion_refused": looked(refused),
    "run_failed": failed,
    "endpoint_broken": unserved,
    "model_unreadable": looked(unreadable),
    "prometheus": fired,
}
OF_A_MODEL = sorted(KINDS.keys() - {"run_failed", "model_unreadable"})


def test_every_kind_has_a_case_here():
    assert CASES.keys() == KINDS.keys(), "say here what raises a new kind of alert"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_raises_a_kind_raises_it_and_nothing_else(kind, tmp_path: Path):
    raised = [*CASES[kind](systems_in(tmp_path))]
    assert [one.kind for one in raised] == [kind]
    assert raised[0].summary and (raised[0].link.startswith("http") or kind == "prometheus")


@pytest.mark.parametrize("kind", OF_A_MODEL)
def test_a_kind_is_one_reason_for_hands_whether_the_records_or_the_alert_say_it(kind, tmp_path: Path):
    systems = systems_in(tmp_path)
    spec = {"approval_waits": BY_ADA, "stale_model": BY_THE_WALL}.get(kind, SPEC)

    def reasons() -> int:
        (one,) = describe_platform(systems, {NAME: spec}).models
        return len(one.needs_hands)

    (raised,) = CASES[kind](systems)
    if kind == "prometheus":
        assert reasons() == 1
        return
    by_themselves = reasons()
    assert by_themselves == (1 if is_on_record(kind) else 0)
    systems.alerts.raise_alert(raised, END)
    assert reasons() == 1
