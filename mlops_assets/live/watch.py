"""What the platform did since the last look, read where it is written down: Dagster's runs and ticks, the audit log, the lake, the endpoint."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, InstigatorType, TickStatus
from dagster_shared.error import SerializableErrorInfo

from mlops_assets.automation.ingesting import ingest_sensor_name
from mlops_assets.automation.unreported import REPORTS
from mlops_assets.kit.run_tags import FIRST_TAG, PARTITION_TAG, REASON_TAG, TRIGGER_TAG, UNFINISHED
from mlops_assets.live.journal import Event
from mlops_assets.live.reports import reported
from mlops_assets.replay.clock import first_error, sensors_of
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import ingest_job_name
from mlops_assets.stages.arrivals import overdue_name
from resources.audit.log import Audit, Entry
from resources.lake.lake import Lake

TOLD_KINDS = ("evaluated", "promoted", "rolled_back")
WORK = "mlops/partition"


@dataclass
class Watch:
    """Looks at one use case and some of its models."""

    use_case: str
    models: Mapping[str, ModelSpec]
    instance: dg.DagsterInstance
    lake: Lake
    audit: Audit
    since: datetime
    _ended: set[str] = field(default_factory=set)
    _begun: set[str] = field(default_factory=set)
    _entries: int = -1
    _reasons: dict[str, str] = field(default_factory=dict)
    _overdue: dict[str, set[str]] = field(default_factory=dict)
    _ticked: dict[str, float] = field(default_factory=dict)
    """When the newest tick of each sensor ended that was looked at."""

    @property
    def sensors(self) -> list[str]:
        """The sensors that do the work: of the use case, and those of each model."""
        of_models = (sensors_of(name, spec.rollout is not None) for name, spec in self.models.items())
        return [ingest_sensor_name(self.use_case), *(name for names in of_models for name in names)]

    def events(self) -> Iterator[Event]:
        """What is new."""
        for record in reversed(self.instance.get_run_records(RunsFilter(created_after=self.since), limit=50)):
            yield from self._of_run(record)
        yield from self._decisions()
        yield from self._alarms()
        yield from self._refusals()

    def forget_the_past(self) -> None:
        """Leave untold what was decided before now."""
        self._entries = max((entry.seq for entry in self.audit.entries()), default=-1)

    def at_rest(self, since: datetime) -> bool:
        """Whether nothing runs, and every sensor has looked again since what it looks at changed last, `since` at the earliest."""
        if self._works():
            return False
        arrived = self._ended_last(ingest_job_name(self.use_case), since)
        after = {ingest_sensor_name(self.use_case): since}
        for model in self.models:
            score, *_, retrain = sensors_of(model)
            after |= {score: arrived, retrain: self._ended_last(f"{model}_partition", arrived)}
        states = self._states()
        looked = (self._looked(states.get(name), moment) for name, moment in after.items())
        return all(looked) and not self._works()

    def _works(self) -> bool:
        return bool(self.instance.get_run_records(RunsFilter(statuses=UNFINISHED), limit=1))

    def _ended_last(self, job: str, since: datetime) -> datetime:
        """When the newest run of a job ended; `since` where that was before."""
        records = self.instance.get_run_records(RunsFilter(job_name=job), limit=1)
        ended = records[0].end_time if records else None
        return max(since, datetime.fromtimestamp(ended, UTC)) if ended else since

    def is_reported(self, partition: str) -> bool:
        """Whether a partition was reported on for every model."""
        parts = [f"{model}/{part}" for model in self.models for part in REPORTS]
        return all(self.lake.described(part, partition) for part in parts)

    def _looked(self, state: InstigatorState | None, since: datetime) -> bool:
        tick = self._newest_tick(state)
        done = (TickStatus.SKIPPED, TickStatus.SUCCESS)
        return tick is not None and tick.status in done and tick.timestamp >= since.timestamp()

    def _states(self) -> dict[str, InstigatorState]:
        """What Dagster notes of each sensor, by name."""
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        return {state.instigator_name: state for state in states}

    def _newest_tick(self, state: InstigatorState | None) -> InstigatorTick | None:
        if state is None:
            return None
        ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        return ticks[0] if ticks else None

    def _of_run(self, record: RunRecord) -> Iterator[Event]:
        run, tags = record.dagster_run, record.dagster_run.tags
        if run.run_id not in self._begun:
            self._begun.add(run.run_id)
            if TRIGGER_TAG in tags:
                model = run.job_name.removesuffix("_retrain")
                text = f"{model}, {tags[TRIGGER_TAG].replace('_', ' ')}: {tags.get(REASON_TAG, '')}"
                yield Event("retraining", text, tags.get(WORK), model, {"trigger": tags[TRIGGER_TAG]})
        if run.status in UNFINISHED or run.run_id in self._ended:
            return
        self._ended.add(run.run_id)
        partition = tags.get(PARTITION_TAG) or tags.get(FIRST_TAG) or tags.get(WORK)
        yield Event("run", f"{run.job_name} {partition}: {run.status.value}", partition, None, _times(record))
        if run.status == DagsterRunStatus.SUCCESS:
            yield from self._came_of(run.job_name, partition)
        else:
            logs = self.instance.all_logs(run.run_id) if run.status == DagsterRunStatus.FAILURE else []
            why = first_error([log.dagster_event for log in logs if log.dagster_event])
            yield Event(
                "failed",
                f"{run.job_name} {partition or ''} ({run.status.value.lower()}): {_one_line(why)}",
                partition,
            )

    def _came_of(self, job: str, partition: str | None) -> Iterator[Event]:
        """What a run that succeeded has left in the lake."""
        if partition is None:
            return
        if job == ingest_job_name(self.use_case):
            tables = dict.fromkeys(spec.prediction.table for spec in self.models.values())
            rows = {
                table: self.lake.manifest(table, partition).rows
                for table in tables
                if self.lake.described(table, partition)
            }
            shown = ", ".join(f"{count:,} rows of {table}" for table, count in rows.items())
            yield Event("partition in", f"{partition}: {shown}", partition, None, {"rows": rows})
        for model, spec in self.models.items():
            if job == f"{model}_partition" and self.lake.described(f"{model}/drift", partition):
                yield from reported(spec, self.lake, partition)

    def _decisions(self) -> Iterator[Event]:
        for entry in self.audit.entries(kinds=TOLD_KINDS):  # type: ignore[arg-type]
            if entry.seq > self._entries and entry.model in self.models:
                self._entries = entry.seq
                yield _decision(entry)

    def _alarms(self) -> Iterator[Event]:
        """Partitions that are not there beyond their limit, once each."""
        for table, partitions in (self.lake.read_json(overdue_name(self.use_case)) or {}).items():
            for name, numbers in partitions.items():
                if name not in self._overdue.setdefault(table, set()):
                    self._overdue[table].add(name)
                    yield Event(
                        "alarm",
                        f"{table} {name} is not there beyond its limit: {numbers['found']}",
                        name,
                        None,
                        {"table": table},
                    )

    def _refusals(self) -> Iterator[Event]:
        """Why a sensor asks for nothing, where that is because something is waited for, failed or is held back."""
        states = self._states()
        for name in self.sensors:
            data: Any = states[name].instigator_data if name in states else None
            ended = data and data.last_tick_timestamp
            if ended is None or ended == self._ticked.get(name):
                continue
            tick = self._newest_tick(states[name])
            if tick is not None and tick.status != TickStatus.STARTED:
                self._ticked[name] = ended
            if tick is None or tick.status not in (TickStatus.SKIPPED, TickStatus.FAILURE):
                continue
            reason = _cause(tick.error) if tick.error else tick.skip_reason or ""
            if reason == self._reasons.get(name):
                continue
            self._reasons[name] = reason
            if tick.error:
                yield Event("failed", f"{name}: {_one_line(reason)}")
            elif _is_waiting(reason):
                yield Event("waiting", _one_line(reason))


def _cause(error: SerializableErrorInfo) -> str:
    """What the innermost error says."""
    while error.cause:
        error = error.cause
    return error.message


def _is_waiting(reason: str) -> bool:
    return any(
        words in reason
        for words in (" is late since ", " is missing since ", " is empty since ", "was tried ", "paused")
    )


def _decision(entry: Entry) -> Event:
    model, numbers = (
        entry.model,
        {"version": entry.version, "entry": entry.seq, "recorded": entry.at.timestamp()},
    )
    if entry.kind == "evaluated":
        passed = bool(entry.evidence.get("passed"))
        text = (
            f"{model} version {entry.version} {'passed' if passed else 'did not pass'} the gate: {entry.why}"
        )
        return Event("judged", text, None, model, numbers | {"passed": passed})
    return Event(
        "promoted", f"{model} version {entry.version} is champion: {entry.why}", None, model, numbers
    )


def _times(record: RunRecord) -> dict[str, Any]:
    """When a run was created, begun and ended, in seconds since 1970, and the job it is of."""
    run = record.dagster_run
    return {
        "job": run.job_name,
        "status": run.status.value,
        "trigger": run.tags.get(TRIGGER_TAG),
        "created": _utc(record.create_timestamp).timestamp(),
        "started": record.start_time,
        "finished": record.end_time,
    }


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _one_line(text: str) -> str:
    return " ".join(text.split())
