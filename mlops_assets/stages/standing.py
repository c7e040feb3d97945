"""How every model stands: read from the records for whoever is on call, and never written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mlops_assets.ml.reports.standing import (
    alert_in_words,
    below_the_floor,
    drift_alarm,
    in_order,
    overdue,
    without_champion,
)
from mlops_assets.promotion.holds import Holds
from mlops_assets.promotion.rollout_states import in_words, standing, under_way
from mlops_assets.promotion.waiting import waits_for_a_person
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.arrivals import overdue_name
from mlops_assets.stages.drift_alarm import alarm_of
from mlops_assets.stages.history import interval_on_record
from mlops_assets.stages.now import now_of
from mlops_assets.stages.reporting import floors_missed
from mlops_assets.stages.rollout_page import waits_for
from resources.alerts.alert import is_on_record
from resources.audit.log import CHANGES, Entry
from resources.clock import wall
from resources.lake.lake import Lake
from resources.records.alerts import AlertState
from resources.records.rollout import Rollout
from resources.records.standing import Platform, Standing
from resources.serving.rows_served import rows_served
from resources.systems import Systems

__all__ = ["Operations", "Platform", "Standing", "describe_platform"]

LOOKED_BACK = 12
"""So many of the newest reports are looked at for one whose labels are known."""

DAY = timedelta(days=1)
CPU_HOURS = "CPU-hours"


@dataclass(frozen=True)
class Operations:
    """What the records do not say: failed runs and dead daemons in sentences, and by model this month's cost."""

    waits: Sequence[str] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    cost_unit: str = CPU_HOURS


NOTHING = Operations()


def describe_platform(
    systems: Systems, specs: Mapping[str, ModelSpec], operations: Operations = NOTHING
) -> Platform:
    """How every model of `specs` stands by the records of now; nothing is written.

    Who is champion is what the audit log says, so that neither the registry nor any server is asked.
    """
    asked_at, holds = wall(), Holds.of(systems.audit)
    alerts = [one for one in systems.alerts.states() if one.resolved is None] if systems.alerts else []
    models = [_standing(systems, specs[name], holds, operations, alerts, asked_at) for name in sorted(specs)]
    return Platform(asked_at.isoformat(timespec="seconds"), in_order(models), tuple(operations.waits))


def _standing(
    systems: Systems,
    spec: ModelSpec,
    holds: Holds,
    operations: Operations,
    alerts: Sequence[AlertState],
    asked_at: datetime,
) -> Standing:
    """How one model stands; `alerts` are all that are open, the oldest first."""
    lake, audit, name = systems.lake, systems.audit, spec.name
    change, rollout = audit.latest(name, CHANGES), under_way(lake, name)
    now = now_of(spec, lake, systems.clock)
    report = _newest_report(spec, lake)
    parts = {
        **_champion(change, now),
        **_data(spec, lake, now),
        **_quality(spec, lake, report),
        **_drift(spec, lake),
        **_rollout(rollout),
        **_traffic(systems, spec, asked_at),
    }
    about = [one for one in reversed(alerts) if one.subject == name]
    decisions = waits_for_a_person(spec, audit, parts["champion"], rollout)
    judged = None if change or decisions else audit.latest(name, ("evaluated",))
    untold = [alert_in_words(one) for one in about if not is_on_record(one.kind) and not one.acknowledgement]
    needs = [*decisions, *untold, *_problems(spec, lake, parts, report, judged)]
    return Standing(
        model=name,
        owner=spec.owner or None,
        **parts,
        waits=(*decisions, *_held(holds, name)),
        alerts=tuple(alert_in_words(one) for one in about),
        cost_month=operations.costs.get(name),
        cost_unit=operations.cost_unit,
        links=_links(systems, spec, parts["champion"]),
        needs_hands=() if name in holds.retired else tuple(needs),
    )


def _champion(change: Entry | None, now: datetime | None) -> dict[str, Any]:
    """Who is champion, since when by the data, and for how long."""
    since = change and (change.moment or change.at)
    return {
        "champion": change.version if change else None,
        "champion_since": since.isoformat() if since else None,
        "champion_age_days": max((now - since) / DAY, 0.0) if since and now else None,
    }


def _data(spec: ModelSpec, lake: Lake, now: datetime | None) -> dict[str, Any]:
    """The newest ingested partition of the rows to predict, and for how long it has been over."""
    there = lake.partitions(spec.prediction.table)
    end = spec.calendar.partition(there[-1]).end if there else None
    return {
        "newest_partition": there[-1] if there else None,
        "partition_end": end.isoformat() if end else None,
        "freshness_hours": 24 * (now - end) / DAY if now and end else None,
    }


def _newest_report(spec: ModelSpec, lake: Lake) -> Mapping[str, Any] | None:
    """The newest report with a value of the gate's metric, of the last few, and which partition it is of."""
    table = f"{spec.name}/performance"
    for name in reversed(lake.partitions(table)[-LOOKED_BACK:]):
        report = lake.read(table, [name]).row(0, named=True)
        if report.get(spec.gate.metric) is not None:
            return {**report, "partition": name}
    return None


def _quality(spec: ModelSpec, lake: Lake, report: Mapping[str, Any] | None) -> dict[str, Any]:
    """The gate's metric of a report, its interval and floor, and how many of the rows that may have a label have one."""
    metric = spec.gate.metric
    low, high = interval_on_record(spec, lake, report["partition"]) if report else (None, None)
    matured = report["labelled"] + report["unlabelled"] if report else 0
    return {
        "metric": metric,
        "quality": report[metric] if report else None,
        "quality_low": low,
        "quality_high": high,
        "floor": spec.gate.floors.get(metric),
        "coverage": report["labelled"] / matured if report and matured else None,
        "quality_partition": report["partition"] if report else None,
    }


def _drift(spec: ModelSpec, lake: Lake) -> dict[str, Any]:
    """The newest drift report: the PSI of the scores, and whether it raised the alarm."""
    table = f"{spec.name}/drift"
    there = lake.partitions(table)
    notes = (lake.manifest(table, there[-1]).notes or {}) if there else {}
    return {
        "drift": notes.get("prediction_psi"),
        "drift_limit": spec.drift.psi,
        "drift_partition": there[-1] if there else None,
        "alarm": alarm_of(notes),
        "alarm_remark": notes.get("alarm_remark") or notes.get("prediction_remark") or None,
    }


def _rollout(state: Rollout | None) -> dict[str, Any]:
    """The roll-out that is under way, the share of the requests that its version has, and what it waits for."""
    return {
        "rollout": in_words(state) if state else None,
        "rollout_share": standing(state).step.share if state else None,
        "rollout_waits": waits_for(state) if state else None,
    }


def _traffic(systems: Systems, spec: ModelSpec, asked_at: datetime) -> dict[str, Any]:
    """Rows that were answered in the last day of the wall clock; errors are counted by no record, but by `/metrics`."""
    log = systems.serving_log if spec.deployment.enabled else None
    return {
        "requests_24h": rows_served(log, spec.name, asked_at - DAY) if log else None,
    }


def _problems(
    spec: ModelSpec,
    lake: Lake,
    parts: Mapping[str, Any],
    report: Mapping[str, Any] | None,
    judged: Entry | None,
) -> Iterator[str]:
    """What the records show to be wrong, in sentences; `judged` is the newest challenger where no version is champion."""
    if judged is not None:
        yield without_champion(judged.version, judged.why)
    for metric, numbers in floors_missed(spec, dict(report)).items() if report else ():
        yield below_the_floor(metric, parts["quality_partition"], numbers)
    if parts["alarm"]:
        yield drift_alarm(
            parts["drift"], parts["drift_limit"], parts["drift_partition"], parts["alarm_remark"]
        )
    late: dict[str, dict[str, Any]] = lake.read_json(overdue_name(spec.use_case)) or {}
    for table, partitions in sorted(late.items()):
        if partitions:
            yield overdue(table, sorted(partitions))


def _held(holds: Holds, name: str) -> list[str]:
    """The hold that is on a model, with the command that lifts it."""
    if name in holds.retired:
        return [str(holds.retirement(name))]
    held = holds.freeze(name)
    return [f"{held}. `mlops resume{'' if holds.everything else f' {name}'}` lifts it"] if held else []


def _links(systems: Systems, spec: ModelSpec, champion: int | None) -> dict[str, str]:
    """Addresses of the pages on a model, by what they are about."""
    pages, name = systems.pages, spec.name
    stages = ["model", "evaluation", "deployment", "performance", "drift", "card"]
    links = {stage: pages.asset(name, stage) for stage in stages}
    links["data"] = pages.asset(*spec.prediction.table.split("/"))
    links["rollout"] = pages.asset(name, "rollout" if spec.rollout else "deployment")
    if champion is not None:
        links["registry"] = pages.version(name, champion)
    if spec.deployment.enabled:
        links["endpoint"] = pages.endpoint or systems.endpoint.address
    return links
