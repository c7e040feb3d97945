"""What Dagster knows of operations: runs that failed and were not made good, daemons that are silent, and what a month cost."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter

from mlops_assets.kit.run_tags import FIRST_TAG, LAST_TAG, PARTITION_TAG, UNFINISHED

LOOKED_BACK = timedelta(days=7)
"""A run that failed longer ago is history: whoever was on call has seen it."""

MOST_RUNS, MOST_EVENTS = 200, 1000
MOST_NAMED = 3
SILENT = timedelta(minutes=5)
"""Dagster's daemons report every thirty seconds."""

FOR_TAG = "mlops/partition"
OF_PARTITION = (PARTITION_TAG, FIRST_TAG, LAST_TAG, FOR_TAG)
SPENT = ("run cpu seconds", "cpu seconds")
"""What a run's process took, and what a fit says of all its workers, which may be elsewhere; the larger of both counts."""


@dataclass(frozen=True)
class Work:
    """What a run was to do: two runs of the same work make good for each other."""

    job: str
    assets: frozenset[dg.AssetKey]
    partition: tuple[str, ...]

    @classmethod
    def of(cls, run: DagsterRun) -> "Work":
        """The work of a run."""
        partition = tuple(run.tags[tag] for tag in OF_PARTITION if tag in run.tags)
        return cls(run.job_name, frozenset(run.asset_selection or ()), partition)


def platform_waits(instance: DagsterInstance, address: str, now: datetime) -> list[str]:
    """Sentences on silent daemons and failed runs; `address` is that of Dagster's pages, `now` the wall clock."""
    return [*silent_daemons(instance, now), *failed_runs(instance, address, now)]


def month_costs(instance: DagsterInstance, models: Iterable[str], now: datetime) -> dict[str, float]:
    """CPU-hours of each model since the first of the month, in UTC; a model of which no run says what it took is left out."""
    begin = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    costs = {model: cpu_hours(instance, model, begin) for model in models}
    return {model: cost for model, cost in costs.items() if cost is not None}


def failed_runs(instance: DagsterInstance, address: str, now: datetime) -> Iterator[str]:
    """A sentence for each job of which a run failed in the last seven days and no later one of the same work ended well or is at it."""
    failing = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=now - LOOKED_BACK)
    newest: dict[Work, RunRecord] = {}
    for record in instance.get_run_records(failing, limit=MOST_RUNS):
        newest.setdefault(Work.of(record.dagster_run), record)
    by_job: dict[str, list[RunRecord]] = {}
    for work, record in newest.items():
        if not repeated_since(instance, record, (DagsterRunStatus.SUCCESS, *UNFINISHED)):
            by_job.setdefault(work.job, []).append(record)
    for records in by_job.values():
        yield _failure(records, address)


def repeated_since(
    instance: DagsterInstance, failed: RunRecord, statuses: Sequence[DagsterRunStatus]
) -> bool:
    """Whether a later run of the same work is in one of these states."""
    work = Work.of(failed.dagster_run)
    later = RunsFilter(job_name=work.job, statuses=[*statuses], created_after=failed.create_timestamp)
    return any(Work.of(one.dagster_run) == work for one in instance.get_run_records(later, limit=MOST_RUNS))


def _failure(records: Sequence[RunRecord], address: str) -> str:
    run = records[0].dagster_run
    partitions = sorted(
        {" to ".join(dict.fromkeys(Work.of(one.dagster_run).partition)) for one in records} - {""}
    )
    more = f" and {len(partitions) - MOST_NAMED} more" if len(partitions) > MOST_NAMED else ""
    of = f" of {', '.join(partitions[:MOST_NAMED])}{more}" if partitions else ""
    ended = records[0].end_time
    when = f" at {datetime.fromtimestamp(ended, UTC):%Y-%m-%d %H:%M} UTC" if ended else ""
    runs = "a run" if len(records) == 1 else f"{len(records)} runs"
    return (
        f"{runs} of {run.job_name}{of} failed, the newest{when}, and none has ended well since: "
        f"{address.rstrip('/')}/runs/{run.run_id}"
    )


def silent_daemons(instance: DagsterInstance, now: datetime) -> Iterator[str]:
    """That the daemon is silent which has sensors and schedules looked at; nothing where none was ever started."""
    beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    if beats and now - (last := datetime.fromtimestamp(max(beats), UTC)) > SILENT:
        yield (
            f"Dagster's daemon is silent since {last:%Y-%m-%d %H:%M} UTC: no sensor and no schedule looks; "
            "start it again (`make dev` does, on a cluster its deployment)"
        )


def cpu_hours(instance: DagsterInstance, model: str, begin: datetime) -> float | None:
    """CPU-hours of the runs of a model's assets since `begin`; None where none says what it took."""
    spent: dict[tuple[str, dg.AssetKey], float] = {}
    for key in instance.get_asset_keys(prefix=[model]):
        events = dg.AssetRecordsFilter(asset_key=key, after_timestamp=begin.timestamp())
        for record in instance.fetch_materializations(events, limit=MOST_EVENTS).records:
            event = record.asset_materialization
            seconds = _seconds(event.metadata) if event else None
            if seconds is not None:
                spent[record.run_id, key] = seconds
    return sum(spent.values()) / 3600 if spent else None


def _seconds(metadata: Mapping[str, dg.MetadataValue]) -> float | None:
    """CPU-seconds that a materialization says it took."""
    said = [metadata[name].value for name in SPENT if name in metadata]
    numbers = [float(value) for value in said if isinstance(value, int | float)]
    return max(numbers, default=None)
