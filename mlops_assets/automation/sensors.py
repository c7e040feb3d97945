"""Every sensor of a model, named for what it does.

The sensors keep no cursor: what they ask for follows from the lake, the registry and the runs. So the daemon, the
replay and a machine that was switched off in between come to the same requests. What a tick found settled it notes for
the next one, in a record that may be lost at any time (`settled`).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.automation.jobs import REPORT_PARTS, RETRAIN_PARTS
from mlops_assets.automation.rollout import rollout_sensor
from mlops_assets.automation.trainings import promotion_cut_off, training_of, waits_in_turn
from mlops_assets.automation.tries import (
    BASIS_TAG,
    TRY_TAG,
    Order,
    Past,
    Plan,
    partition_runs,
    plan,
    training_runs,
)
from mlops_assets.automation.unreported import partitions_to_score
from mlops_assets.ml.monitoring.calibration import remedy_in
from mlops_assets.ml.monitoring.policy import CALIBRATION, Decision, PartitionEvidence, decide
from mlops_assets.promotion.holds import Holds
from mlops_assets.spec.maturity import held_out_from
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.judging import attempt_name
from resources.audit.log import Audit
from resources.clock import Clock, wall
from resources.lake.lake import Lake
from resources.records.attempts import Attempt
from resources.records.documents import load_record
from resources.settings import settings

LOG = logging.getLogger(__name__)
MOST_RUNS_A_TICK = 10
WAITS = "{} is at work on this state alone: it asks for the runs itself, and this sensor goes on when it has ended"


def model_sensors(spec: ModelSpec) -> list[dg.SensorDefinition]:
    """The sensors of a model: one scores what was ingested, one retrains on evidence, one moves its roll-outs on where it plans any."""
    rolls_out = [rollout_sensor(spec)] if spec.rollout else []
    return [score_sensor(spec), *rolls_out, retrain_sensor(spec)]


def score_sensor(spec: ModelSpec, now: Callable[[], datetime] = wall) -> dg.SensorDefinition:
    """`score_<model>_when_features_arrive`: a run for each partition whose features are newer than its predictions.

    A partition is scored by the champion of its moment and reported by itself, so those behind one that failed go on.
    """

    @dg.sensor(
        name=_score_name(spec),
        job_name=f"{spec.name}_partition",
        minimum_interval_seconds=settings().look_every_s,
        default_status=_at_first(spec),
        description="Join, score and report on each partition as its features arrive; what failed is tried again.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        lake: dg.ResourceParam[Lake],
        audit: dg.ResourceParam[Audit],
        clock: dg.ResourceParam[Clock],
    ) -> Any:
        if who := lake.worked_on():
            return dg.SkipReason(WAITS.format(who))
        if retired := Holds.of(audit).retirement(spec.name):
            return dg.SkipReason(retired)
        waiting = partitions_to_score(spec, lake, clock)
        if not waiting:
            return dg.SkipReason("every ingested partition is scored")
        tries = scoring(spec, context.instance, waiting, now())
        return _requests_or_why(
            context,
            tries,
            f"{spec.name}_partition",
            lambda one, number: dg.RunRequest(
                run_key=f"{spec.name}:{one.partition}:{one.basis}:{number}",
                partition_key=one.partition,
                tags={BASIS_TAG: one.basis, TRY_TAG: str(number)},
            ),
        )

    return sensor


def _at_first(spec: ModelSpec) -> dg.DefaultSensorStatus:
    """On where the use case lives by the wall clock, until somebody turns it off; by the data the replay is in charge."""
    by_wall = spec.clock == "wall"
    return dg.DefaultSensorStatus.RUNNING if by_wall else dg.DefaultSensorStatus.STOPPED


def _score_name(spec: ModelSpec) -> str:
    return f"score_{spec.name}_when_features_arrive"


def scoring(
    spec: ModelSpec, instance: dg.DagsterInstance, waiting: Sequence[tuple[str, str]], now: datetime
) -> Plan:
    """Which of the partitions that wait are to be scored now, by what came of their runs."""
    orders = [Order(partition, content[:16]) for partition, content in waiting]
    makes = _keys(spec, REPORT_PARTS[:-1])
    partitions = [one.partition for one in orders]
    return plan(
        orders, partition_runs(instance, f"{spec.name}_partition", _score_name(spec), partitions, makes), now
    )


def _keys(spec: ModelSpec, parts: Sequence[str]) -> set[dg.AssetKey]:
    return {dg.AssetKey([spec.name, part]) for part in parts}


def _requests_or_why(
    context: dg.SensorEvaluationContext,
    plans: Plan,
    job: str,
    request: Callable[[Order, int], dg.RunRequest],
) -> Any:
    """The requests of a tick; a tick that asks for nothing says why, one that does says it in its log."""
    held = plans.reasons(job)
    if not plans.due:
        return dg.SkipReason(held)
    if held:
        context.log.warning(held)
    return [request(one, number) for one, number in plans.due[:MOST_RUNS_A_TICK]]


def retrain_sensor(spec: ModelSpec, now: Callable[[], datetime] = wall) -> dg.SensorDefinition:
    """`retrain_<model>_on_evidence`: one run a partition, with its reason in the tags, and again where that run failed."""
    name, job = f"retrain_{spec.name}_on_evidence", f"{spec.name}_retrain"

    @dg.sensor(
        name=name,
        job_name=job,
        minimum_interval_seconds=settings().look_every_s,
        default_status=_at_first(spec),
        description="Retrain when the newest partition's reports give the evidence that the retrain policy asks for.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        lake: dg.ResourceParam[Lake],
        audit: dg.ResourceParam[Audit],
        clock: dg.ResourceParam[Clock],
    ) -> Any:
        if who := lake.worked_on():
            return dg.SkipReason(WAITS.format(who))
        holds = Holds.of(audit)
        if frozen := holds.freeze(spec.name):
            return dg.SkipReason(frozen)
        partition, decision = decision_now(spec, lake)
        lifted = holds.since_lifted(spec.name)
        training = training_of(spec, lake, partition, decision.reason, decision.trigger, lifted)
        if not decision.retrain:
            why_not = f"{partition or 'no partition'}: {decision.reason}"
            if in_turn := waits_in_turn(spec, lake):
                return dg.SkipReason(f"{why_not.rstrip('.')}; {in_turn}")
            cut_off = promotion_cut_off(spec, lake, lifted)
            if cut_off is None or cut_off.is_made(runs(context, cut_off.partition)):
                return dg.SkipReason(why_not)
            training = cut_off
        elif missing := partitions_on_the_way(spec, lake, context.instance, training.partition, now(), clock):
            return dg.SkipReason(
                f"{partition}: {decision.reason} It waits for {', '.join(missing)}: a model is trained on every partition there is."
            )
        tries = plan([Order(training.partition, training.basis)], runs(context, training.partition), now())
        return _requests_or_why(context, tries, job, training.request(spec))

    def runs(context: dg.SensorEvaluationContext, partition: str) -> list[Past]:
        return training_runs(context.instance, job, name, partition, _keys(spec, RETRAIN_PARTS[:-1]))

    return sensor


def partitions_on_the_way(
    spec: ModelSpec,
    lake: Lake,
    instance: dg.DagsterInstance,
    until: str,
    now: datetime,
    clock: Clock | None = None,
) -> list[str]:
    """Partitions up to this one that are being scored or will be tried again: a training before would leave them out."""
    waiting = [
        (partition, content)
        for partition, content in partitions_to_score(spec, lake, clock)
        if partition <= until
    ]
    return scoring(spec, instance, waiting, now).on_the_way if waiting else []


def decision_now(spec: ModelSpec, lake: Lake) -> tuple[str | None, Decision]:
    """What the retrain policy says at the end of the newest partition that has been reported on."""
    partitions = _reported_on(spec, lake)
    if not partitions:
        return None, Decision(False, "too_little_history", "no partition has been reported on yet")
    newest = partition_evidence(spec, lake, partitions[-1])
    attempts = lake.records(f"{spec.name}/attempts")
    last = spec.calendar.partition(attempts[-1]).end if attempts else None
    evidence = [newest, *_judged_before(spec, lake, partitions[:-1], last)] if not newest.rows else [newest]
    if last and not _was_off_before(spec, lake, partitions, last, newest.end):
        evidence = [replace(one, remedy=None) for one in evidence]
    return partitions[-1], decide(evidence, last, spec, newest.end, _last_training(spec, lake, attempts))


def _was_off_before(
    spec: ModelSpec, lake: Lake, partitions: Sequence[str], last: datetime, now: datetime
) -> bool:
    """Whether scores were off, too, in a partition since the last attempt that a recalibration may learn from: before the held-out days."""
    if not spec.retrain.recalibrate:
        return False
    until = held_out_from(spec, now)
    earlier = [name for name in partitions if last < spec.calendar.partition(name).end <= until]
    return any(partition_evidence(spec, lake, name).remedy in ("shift", "platt") for name in earlier)


def _last_training(spec: ModelSpec, lake: Lake, attempts: Sequence[str]) -> datetime | None:
    """The moment of the last attempt that was no recalibration, where age counts; None where there is none."""
    if spec.retrain.max_age_days is None:
        return None
    for name in reversed(attempts):
        attempt = load_record(lake, Attempt, attempt_name(spec, name))
        if attempt and attempt.trigger != CALIBRATION:
            return spec.calendar.partition(name).end
    return None


def _reported_on(spec: ModelSpec, lake: Lake) -> list[str]:
    """The partitions that have both reports, in order: a run that is under way may have written one of them."""
    judged = {*lake.partitions(f"{spec.name}/performance")}
    return [name for name in lake.partitions(f"{spec.name}/drift") if name in judged]


def _judged_before(
    spec: ModelSpec, lake: Lake, partitions: Sequence[str], last: datetime | None
) -> Iterator[PartitionEvidence]:
    """The newest partition with labels that was served since the last training, where the newest of all has none yet."""
    for partition in reversed(partitions):
        evidence = partition_evidence(spec, lake, partition)
        if last is not None and evidence.end <= last:
            return
        if evidence.rows:
            yield evidence
            return


def partition_evidence(spec: ModelSpec, lake: Lake, partition: str) -> PartitionEvidence:
    """What the reports of one partition say, in the policy's terms."""
    report = lake.read(f"{spec.name}/performance", [partition]).row(0, named=True)
    drift = lake.manifest(f"{spec.name}/drift", partition).notes or {}
    return PartitionEvidence(
        partition=partition,
        end=spec.calendar.partition(partition).end,
        rows=report["scored"],
        metric=report[spec.gate.metric],
        reference=drift.get("reference metric"),
        prediction_psi=drift.get("prediction_psi"),
        prediction_psi_chance=drift.get("prediction_psi_chance"),
        drift_share=drift.get("drift_share"),
        served=report["model_version"] is not None,
        remedy=remedy_in(report, spec.gate.alpha),
    )
