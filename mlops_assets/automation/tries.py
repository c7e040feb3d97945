"""When a run that a sensor asked for is asked for again: after a growing pause, up to a limit, and never twice at once.

What was tried is read from the instance's runs. A run key carries the number of the try, so a key that was used, by
whatever became of its run, never keeps Dagster from launching the next one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import dagster as dg
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter

from mlops_assets.kit.run_tags import FIRST_TAG, LAST_TAG, PARTITION_TAG, REPLAY_TAG, SENSOR_TAG, UNFINISHED

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=4)
MOST_TRIES = 12
"""With these pauses the twelfth try comes sixteen hours after the first: an outage of a night is outlived."""

BASIS_TAG, TRY_TAG, FOR_TAG = "mlops/basis", "mlops/try", "mlops/partition"
FOR_TAG_BEFORE = "mlops/week"
"""The name that `FOR_TAG` has on the runs of an earlier release."""

PARENT_TAG = "dagster/parent_run_id"
MOST_NAMED = 10


@dataclass(frozen=True)
class Order:
    """A partition that something is to be made of, and the content that it is to rest on."""

    partition: str
    basis: str


@dataclass(frozen=True)
class Past:
    """A run of a partition; `ended` None while it is in progress, `basis` None where a person launched it, or a replay.

    One that is `left` was written down by the sensor and never handed over, since the daemon ended in between; a sensor
    that looks has no tick under way, so nobody else will.
    """

    run: str
    partition: str
    basis: str | None
    number: int = 0
    ended: datetime | None = None
    succeeded: bool = False
    left: bool = False
    request_basis: str | None = None
    """What it was asked for with, whoever launched it."""

    @classmethod
    def of(cls, record: RunRecord, sensor: str, partition: str) -> Self:
        """What became of a run; a replay's runs are a person's, and so are those that somebody launched again."""
        run, tags = record.dagster_run, record.dagster_run.tags
        by_sensor = tags.get(SENSOR_TAG) == sensor and REPLAY_TAG not in tags and PARENT_TAG not in tags
        return cls(
            run.run_id,
            partition,
            tags.get(BASIS_TAG) if by_sensor else None,
            int(tags.get(TRY_TAG, 0)),
            None if run.status in UNFINISHED else _ended(record),
            run.status == DagsterRunStatus.SUCCESS,
            by_sensor and run.status == DagsterRunStatus.NOT_STARTED,
            tags.get(BASIS_TAG),
        )


@dataclass(frozen=True)
class Tried:
    """A partition whose runs did not bring what was wanted: how many, the last of them, and when the next may come."""

    partition: str
    count: int
    run: str
    again: datetime | None

    def __str__(self) -> str:
        times = (
            f"{self.partition} was tried {self.count} time{'s' * (self.count > 1)}, last by run {self.run}"
        )
        return f"{times}, next at {self.again:%Y-%m-%d %H:%M:%S} UTC" if self.again else times


@dataclass(frozen=True)
class Plan:
    """What to ask for now, with the number of the try, and why nothing is asked of the other partitions."""

    due: list[tuple[Order, int]]
    running: list[Past]
    resting: list[Tried]
    given_up: list[Tried]

    @property
    def on_the_way(self) -> list[str]:
        """The partitions of which more is to be expected without anybody's doing."""
        return sorted(one.partition for one in (*self.running, *self.resting))

    def reasons(self, job: str) -> str:
        """Which partitions are not asked for and why; empty where there is none."""
        running = [f"{past.partition} is in progress (run {past.run})" for past in self.running]
        by_hand = f"given up: mend the cause, then launch {job} for it by hand or by a backfill"
        parts = [running, self.resting, [f"{one}, {by_hand}" for one in self.given_up]]
        return "; ".join(_named(part) for part in parts if part)


def _named(said: Sequence[object]) -> str:
    more = [f"and {len(said) - MOST_NAMED} more like it"] if len(said) > MOST_NAMED else []
    return "; ".join([*map(str, said[:MOST_NAMED]), *more])


def plan(waiting: Sequence[Order], past: Sequence[Past], now: datetime) -> Plan:
    """Sort the partitions that wait by what came of their runs, which are given the newest first.

    Partitions that were tried less come first, so that none is kept waiting by those before it; else the oldest first. What
    was left is asked for under its own number: Dagster then launches the run that it has under this key.
    """
    tries_planned, due = Plan([], [], [], []), []
    by_partition: dict[str, list[Past]] = {}
    for run in past:
        by_partition.setdefault(run.partition, []).append(run)
    for one in waiting:
        known = by_partition.get(one.partition, [])
        runs = [run for run in known if not run.left]
        tries = series(runs, one.basis)
        if live := next((run for run in runs if run.ended is None), None):
            tries_planned.running.append(live)
        elif len(tries) >= MOST_TRIES:
            tries_planned.given_up.append(Tried(one.partition, len(tries), tries[0].run, None))
        elif tries and (again := _again(tries, now)) > now:
            tries_planned.resting.append(Tried(one.partition, len(tries), tries[0].run, again))
        else:
            due.append((len(tries), one.partition, one, _number(known, one.basis)))
    tries_planned.due.extend((one, number) for _, _, one, number in sorted(due, key=lambda each: each[:2]))
    return tries_planned


def _number(known: Sequence[Past], basis: str) -> int:
    """The number of the next try: a new one, or that of a run which was left."""
    left = [run.number for run in known if run.left and run.basis == basis]
    return left[0] if left else 1 + max((run.number for run in known), default=0)


def series(runs: Sequence[Past], basis: str) -> list[Past]:
    """The tries that count, the newest first: since other content, and since the last run that a person launched."""
    first_other = next((i for i, run in enumerate(runs) if run.basis != basis), len(runs))
    return list(runs[:first_other])


def _again(tries: Sequence[Past], now: datetime) -> datetime:
    """When the pause after the last try is over.

    A run of another machine, whose clock is ahead, may end later than now. One that is ahead by more than the longest
    pause would be waited for without end: it is not waited for.
    """
    ended = tries[0].ended
    assert ended is not None
    rest = min(FIRST_PAUSE * 2 ** (len(tries) - 1), LONGEST_PAUSE)
    return now if ended > now + LONGEST_PAUSE else ended + rest


def partition_runs(
    instance: DagsterInstance,
    job: str,
    sensor: str,
    partitions: Collection[str],
    makes: Collection[dg.AssetKey],
) -> list[Past]:
    """The runs of these partitions, the newest first: those of the job, and unfinished ones of any job that make the same."""
    ours = RunsFilter(job_name=job, tags={PARTITION_TAG: sorted(partitions)})
    records = [*instance.get_run_records(ours), *unfinished(instance, job, makes)]
    return [
        Past.of(record, sensor, partition)
        for record in _newest_first(records)
        for partition in partitions
        if _is_of(record.dagster_run, partition)
    ]


def training_runs(
    instance: DagsterInstance, job: str, sensor: str, partition: str, makes: Collection[dg.AssetKey]
) -> list[Past]:
    """The runs that trained at the end of a partition, the newest first; an unfinished training of any partition counts too."""
    ours = [RunsFilter(job_name=job, tags={tag: partition}) for tag in (FOR_TAG, FOR_TAG_BEFORE)]
    records = [record for each in ours for record in instance.get_run_records(each)]
    records += unfinished(instance, job, makes)
    return [Past.of(record, sensor, partition) for record in _newest_first(records)]


def unfinished(instance: DagsterInstance, job: str, makes: Collection[dg.AssetKey]) -> list[RunRecord]:
    """Runs in progress or in the queue, of the job or of others that make one of the same assets."""
    records = instance.get_run_records(RunsFilter(statuses=UNFINISHED))
    return [one for one in records if _makes(one.dagster_run, job, makes)]


def _makes(run: DagsterRun, job: str, makes: Collection[dg.AssetKey]) -> bool:
    return run.job_name == job or any(key in makes for key in run.asset_selection or ())


def _is_of(run: DagsterRun, partition: str) -> bool:
    first = run.tags.get(FIRST_TAG, run.tags.get(PARTITION_TAG, ""))
    return bool(first) and first <= partition <= run.tags.get(LAST_TAG, first)


def _newest_first(records: Sequence[RunRecord]) -> list[RunRecord]:
    once = {record.storage_id: record for record in records}
    return [once[number] for number in sorted(once, reverse=True)]


def _ended(record: RunRecord) -> datetime:
    if record.end_time is not None:
        return datetime.fromtimestamp(record.end_time, UTC)
    changed = record.update_timestamp
    return changed if changed.tzinfo else changed.replace(tzinfo=UTC)
