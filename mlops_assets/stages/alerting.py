"""What is wrong with the models now, as alerts: raised where the records show it, over where they show it no more."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from mlops_assets.ml.judging.metrics import goodness
from mlops_assets.promotion.rollout_states import in_words, newest
from mlops_assets.promotion.waiting import waits_for_a_person
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.arrivals import overdue_name
from mlops_assets.stages.judging import attempt_name
from mlops_assets.stages.standing import Standing, describe_platform
from resources.addresses import shown
from resources.alerts.alert import Alert
from resources.alerts.alertmanager import is_by_rule, twin
from resources.alerts.outbox import Alerts
from resources.alerts.policy import Limits, Policy
from resources.audit.acknowledged import record_acknowledged
from resources.audit.log import Audit, Entry
from resources.records.alerts import AlertState, Fact
from resources.records.attempts import Attempt
from resources.records.documents import load_record
from resources.systems import Systems

LOG = logging.getLogger(__name__)
OF_MODELS = (
    "drift_alarm",
    "quality_under_floor",
    "stale_model",
    "labels_missing",
    "rollout_rolled_back",
    "rollout_waits",
    "approval_waits",
    "promotion_refused",
    "model_unreadable",
)
"""Kinds that a look at a model settles: one that is open and was not found again is over."""


@dataclass(frozen=True)
class Findings:
    """What one look found, and what it looked at: kinds and subjects of which nothing else is wrong."""

    alerts: Sequence[Alert]
    settled: frozenset[tuple[str, str]] = field(default_factory=frozenset)

    def __add__(self, other: "Findings") -> "Findings":
        return Findings([*self.alerts, *other.alerts], self.settled | other.settled)

    def settles(self, state: AlertState) -> bool:
        """Whether an open alert is over by what was found."""
        if is_by_rule(state):
            return False
        there = {one.id for one in self.alerts}
        of_table = (state.kind, state.subject.partition("/")[0])
        return (
            (state.kind, state.subject) in self.settled or of_table in self.settled
        ) and state.id not in there


def look_at_models(
    systems: Systems,
    specs: Mapping[str, ModelSpec],
    limits: Limits,
    looked: Mapping[str, Standing] = MappingProxyType({}),
) -> Findings:
    """What is wrong with each model and its tables; a model that cannot be read is one of the alerts, and hides no other.

    Models that were `looked` at a moment ago are taken as they stood then.
    """
    alerts: list[Alert] = []
    settled: set[tuple[str, str]] = set()
    for name, spec in sorted(specs.items()):
        try:
            alerts += _of_model(systems, spec, limits, looked.get(name))
            settled |= {(kind, name) for kind in OF_MODELS}
        except Exception as error:
            LOG.exception("the standing of %s cannot be read", name)
            alerts.append(_unreadable(systems, spec, error))
    use_cases = sorted({spec.use_case for spec in specs.values()})
    late = [one for use_case in use_cases for one in _of_tables(systems, use_case)]
    return Findings([*alerts, *late], frozenset(settled | {("stale_data", name) for name in use_cases}))


def look_at_endpoint(
    systems: Systems, specs: Mapping[str, ModelSpec], problems: Mapping[str, str]
) -> Findings:
    """The versions that the endpoint cannot serve, by what it says of each model."""
    alerts = []
    for name, why in sorted(problems.items()):
        owner = specs[name].owner if name in specs else None
        numbers: dict[str, Fact] = {"problem": shown(why)[:500]}
        said = f"{name}: the endpoint cannot serve what was deployed"
        link = systems.pages.asset(name, "deployment")
        alerts.append(Alert("endpoint_broken", name, shown(why)[:200], said, numbers, link, owner))
    return Findings(alerts, frozenset(("endpoint_broken", name) for name in {*specs, *problems}))


def settle(alerts: Alerts, findings: Findings, now: datetime, policy: Policy) -> tuple[int, int]:
    """Raise what was found and note what is over; how many are raised and how many are over."""
    there = {state.id: state for state in alerts.states()}
    for one in findings.alerts:
        if not twin(one, there):
            alerts.raise_alert(one, now, policy)
    over = [state for state in there.values() if state.resolved is None and findings.settles(state)]
    for state in over:
        alerts.resolve(state.id, now)
    return len(findings.alerts), len(over)


def acknowledge(alerts: Alerts, audit: Audit, id: str, by: str, why: str, now: datetime) -> Entry:
    """Note in the audit log who has an alert in hand, then in its state; one that is acknowledged keeps who was first."""
    state = alerts.acknowledge(id, by, why, now)
    first = state.acknowledgement
    assert first is not None
    return record_acknowledged(
        audit,
        identity={"alert": state.id, "occurrence": state.occurrence, "raised": state.raised},
        by=first.by,
        why=first.why,
        evidence={"alert": state.id, "kind": state.kind, "subject": state.subject, "cause": state.cause}
        | {"severity": state.severity, "raised": state.raised, "numbers": dict(state.evidence)},
    )


def _of_model(systems: Systems, spec: ModelSpec, limits: Limits, looked: Standing | None) -> list[Alert]:
    standing = looked or describe_platform(systems, {spec.name: spec}).models[0]
    look: tuple[Callable[..., Iterable[Alert]], ...] = (_drift, _quality, _freshness, _coverage)
    alerts = [one for check in look for one in check(standing, limits)]
    return [
        *alerts,
        *_rollout(systems, spec),
        *_decisions(systems, spec, standing),
        *_refusals(systems, spec, limits),
    ]


def _alert(
    kind: str, standing: Standing, cause: object, summary: str, numbers: Mapping[str, Fact], page: str
) -> Alert:
    link = standing.links.get(page, "")
    return Alert(kind, standing.model, str(cause), summary, numbers, link, standing.owner)


def _drift(one: Standing, _: Limits) -> Iterator[Alert]:
    if one.alarm:
        said = f"{one.model}: drift alarm on {one.drift_partition}" + (
            f": {one.alarm_remark}" if one.alarm_remark else ""
        )
        numbers = {"partition": one.drift_partition, "PSI of the scores": one.drift, "limit": one.drift_limit}
        yield _alert("drift_alarm", one, one.drift_partition, said, numbers, "drift")


def _quality(one: Standing, _: Limits) -> Iterator[Alert]:
    if one.metric is None or one.quality is None or one.floor is None:
        return
    if goodness(one.metric, one.quality) < goodness(one.metric, one.floor):
        said = f"{one.model}: {one.metric} of {one.quality_partition} is {one.quality:.4f}, worse than its floor {one.floor:g}"
        numbers: dict[str, Fact] = {
            one.metric: one.quality,
            "95% from": one.quality_low,
            "95% to": one.quality_high,
            "floor": one.floor,
            "partition": one.quality_partition,
            "version": one.champion,
        }
        yield _alert("quality_under_floor", one, one.quality_partition, said, numbers, "performance")


def _freshness(one: Standing, limits: Limits) -> Iterator[Alert]:
    hours, limit = one.freshness_hours, limits.freshness_hours
    if hours is not None and limit is not None and hours > limit:
        said = f"{one.model}: its newest partition {one.newest_partition} ended {hours:.1f} hours ago, limit {limit:g}"
        numbers: dict[str, Fact] = {"hours": hours, "limit": limit, "partition": one.newest_partition}
        yield _alert("stale_model", one, one.newest_partition, said, numbers, "data")


def _coverage(one: Standing, limits: Limits) -> Iterator[Alert]:
    share, limit = one.coverage, limits.coverage
    if share is not None and limit is not None and share < limit:
        said = f"{one.model}: {share:.0%} of the rows of {one.quality_partition} that should have a label have one, limit {limit:.0%}"
        numbers: dict[str, Fact] = {"share": share, "limit": limit, "partition": one.quality_partition}
        yield _alert("labels_missing", one, one.quality_partition, said, numbers, "performance")


def _rollout(systems: Systems, spec: ModelSpec) -> Iterator[Alert]:
    state = newest(systems.lake, spec.name)
    if state is None or state.phase not in ("rolled_back", "rolling_back"):
        return
    last = state.transitions[-1] if state.transitions else None
    numbers: dict[str, Fact] = {
        "version": state.version,
        "champion": state.champion,
        "step": last.step if last else None,
    }
    said = f"{spec.name}: {in_words(state)}" + (f": {last.why}" if last else "")
    link = systems.pages.asset(spec.name, "rollout" if spec.rollout else "deployment")
    yield Alert("rollout_rolled_back", spec.name, state.id, said, numbers, link, spec.owner)


def _decisions(systems: Systems, spec: ModelSpec, standing: Standing) -> Iterator[Alert]:
    """What waits for a person; the words have the command that settles it."""
    state = newest(systems.lake, spec.name)
    rollout = state if state is not None and not state.ended else None
    for said in waits_for_a_person(spec, systems.audit, standing.champion, None):
        challenger = systems.audit.latest(spec.name, ("evaluated",))
        number = challenger.version if challenger else None
        yield _alert(
            "approval_waits", standing, number, f"{spec.name}: {said}", {"version": number}, "evaluation"
        )
    if rollout and (rollout.paused or rollout.has_asked):
        numbers: dict[str, Fact] = {
            "version": rollout.version,
            "step": rollout.step + 1,
            "waits for": rollout.waits,
        }
        said = f"{spec.name}: {in_words(rollout)}"
        yield _alert(
            "rollout_waits", standing, f"{rollout.id}, step {rollout.step}", said, numbers, "rollout"
        )


def _refusals(systems: Systems, spec: ModelSpec, limits: Limits) -> Iterator[Alert]:
    """So many challengers in a row that did not pass; one alert for as long as the row goes on."""
    refused: list[Attempt] = []
    for name in reversed(systems.lake.records(f"{spec.name}/attempts") if limits.refusals else []):
        attempt = load_record(systems.lake, Attempt, attempt_name(spec, name))
        if attempt is None or attempt.promote:
            break
        refused.append(attempt)
    if not limits.refusals or len(refused) < limits.refusals:
        return
    numbers: dict[str, Fact] = {one.partition: one.verdict for one in refused[: limits.refusals]}
    said = f"{spec.name}: the last {len(refused)} challengers were refused"
    link = systems.pages.asset(spec.name, "evaluation")
    cause = f"since {refused[-1].partition}"
    yield Alert("promotion_refused", spec.name, cause, said, numbers, link, spec.owner)


def _of_tables(systems: Systems, use_case: str) -> Iterator[Alert]:
    late: dict[str, dict[str, dict[str, Fact]]] = systems.lake.read_json(overdue_name(use_case)) or {}
    for table, partitions in sorted(late.items()):
        for partition, numbers in sorted(partitions.items()):
            said = f"{table}: {partition} did not arrive within its limit"
            link = systems.pages.asset(*table.split("/"))
            yield Alert("stale_data", table, partition, said, numbers, link, None)


def _unreadable(systems: Systems, spec: ModelSpec, error: Exception) -> Alert:
    said = f"{spec.name}: how it stands cannot be read: {type(error).__name__}"
    link = systems.pages.asset(spec.name, "deployment")
    return Alert(
        "model_unreadable",
        spec.name,
        type(error).__name__,
        said,
        {"error": shown(str(error))[:500]},
        link,
        spec.owner,
    )
