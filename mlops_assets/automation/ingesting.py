"""Ingestion by itself: the jobs that ingest partitions, and the sensor that asks for each once it is over.

What is asked for follows from the clock, the lake, the sources and the runs; `stages.ingestion` says in which order. A
partition whose source changed, or that came late, is read again or at last; what looks back on it is then made again
in a run of its own, without another look at any source.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.automation.jobs import ingest_job
from mlops_assets.automation.overdue import alarms
from mlops_assets.automation.sensors import MOST_RUNS_A_TICK, WAITS
from mlops_assets.automation.tries import (
    BASIS_TAG,
    FOR_TAG,
    TRY_TAG,
    Order,
    Past,
    Plan,
    partition_runs,
    plan,
    training_runs,
    unfinished,
)
from mlops_assets.kit.partitions import time_windows
from mlops_assets.kit.run_tags import FIRST_TAG, LAST_TAG
from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.names import feature_table, ingest_job_name, online_key
from mlops_assets.spec.use_case import UseCase
from mlops_assets.stages.arrivals import Looks
from mlops_assets.stages.ingestion import TRIES_ALONE, Awaited, Line, State, in_order, lines_of
from mlops_assets.stages.tables import Table
from resources.clock import Clock, wall
from resources.lake.lake import Lake
from resources.settings import settings
from resources.storage.files import listed_once

NEW = "new"


def ingest_jobs(use_case: UseCase, tables: Sequence[Table]) -> list[Any]:
    """`ingest_<use case>`, and `ingest_<use case>_<cadence>` for tables of longer partitions: a run has one kind of them."""
    *longer, _ = lines_of(use_case.calendar, tables)
    apart = [dg.AssetKey(table.key.split("/")) for line in longer for table in line.tables]
    return [ingest_job(use_case.name, apart), *(_longer_job(use_case.name, line) for line in longer)]


def _longer_job(use_case: str, line: Line) -> Any:
    return dg.define_asset_job(
        job_of(use_case, line),
        selection=dg.AssetSelection.assets(*_keys(line.tables)),
        executor_def=dg.in_process_executor,
        description=f"Ingest one partition of the tables with the cadence {line.calendar.cadence!r}.",
    )


def job_of(use_case: str, line: Line) -> str:
    """The job that ingests a line's partitions."""
    return f"{ingest_job_name(use_case)}_{line.cadence}" if line.cadence else ingest_job_name(use_case)


def ingest_sensor_name(use_case: str) -> str:
    """The sensor that asks for partitions of a use case."""
    return f"ingest_{use_case}_when_a_partition_is_over"


def ingest_sensor(
    use_case: UseCase, tables: Sequence[Table], jobs: Sequence[Any], now: Callable[[], datetime] = wall
) -> dg.SensorDefinition:
    """`ingest_<use case>_when_a_partition_is_over`: a run for each partition, in order, and for what changed since.

    It is off until somebody turns it on where the use case has `clock: data`: the replay is in charge of those. `now` is
    the machine's time, by which pauses between tries pass; all else goes by the clock.
    """
    by_wall = use_case.clock == "wall"

    @dg.sensor(
        name=ingest_sensor_name(use_case.name),
        jobs=jobs,
        minimum_interval_seconds=settings().look_every_s,
        default_status=dg.DefaultSensorStatus.RUNNING if by_wall else dg.DefaultSensorStatus.STOPPED,
        description="Ingest each partition once it is over, the oldest first; wait for what is late, read again what was "
        "corrected.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Lake], clock: dg.ResourceParam[Clock]
    ) -> Any:
        if who := lake.worked_on():
            return dg.SkipReason(WAITS.format(who))
        tick = Tick.of(use_case, tables, context.instance, lake, clock.now(), now())
        with listed_once():
            tick.look()
        if tick.requests and tick.reasons:
            context.log.info("; ".join(tick.reasons))
        return dg.SensorResult(
            run_requests=tick.requests,
            skip_reason=None if tick.requests else "; ".join(tick.reasons) or tick.up_to_date(),
            asset_events=alarms(context.instance, tick.looks, tick.waiting, tick.open),
        )

    return sensor


@dataclass
class Tick:
    """One look at all lines of a use case: what is asked for, what is waited for, and why."""

    use_case: UseCase
    lines: list[Line]
    instance: dg.DagsterInstance
    looks: Looks
    wall: datetime
    requests: list[dg.RunRequest] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    waiting: list[Awaited] = field(default_factory=list)
    held: list[datetime] = field(default_factory=list)
    open: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        use_case: UseCase,
        tables: Sequence[Table],
        instance: dg.DagsterInstance,
        lake: Lake,
        now: datetime,
        wall: datetime,
    ) -> "Tick":
        """For a moment `now` of the clock and `wall` of the machine."""
        ours = feature_table(use_case.name, "")
        views = [table.key.removeprefix(ours) for table in tables if table.key.startswith(ours)]
        looks = Looks.of(lake, use_case.name, views, use_case.corrections, now)
        return cls(use_case, lines_of(use_case.calendar, tables), instance, looks, wall)

    def look(self) -> None:
        """Decide about every line, those of longer partitions first, and write down what was found."""
        room = self.use_case.ingest.at_once - len(self._running())
        owed = self.looks.owed()
        left: dict[str, list[str]] = {}
        for line in self.lines:
            room, waits = self._ask(line, room)
            left[line.cadence] = [name for name in owed.get(line.cadence, []) if name in waits]
        for line in self.lines:
            for name in owed.get(line.cadence, []):
                if name not in left[line.cadence]:
                    room, done = self._bring_up(line, name, room)
                    left[line.cadence] += [] if done else [name]
        more = self.looks.owed()
        owing = {c: sorted({*names, *({*more.get(c, [])} - {*owed.get(c, [])})}) for c, names in left.items()}
        self.looks.settle({cadence: names for cadence, names in owing.items() if names})
        self.looks.save()

    def _running(self) -> set[str]:
        """Runs in progress or in the queue that ingest, whoever launched them."""
        sensor = ingest_sensor_name(self.use_case.name)
        return {
            record.dagster_run.run_id
            for line in self.lines
            for record in unfinished(self.instance, self._job(line), self._makes(line))
            if not Past.of(record, sensor, "").left
        }

    def _ask(self, line: Line, room: int) -> tuple[int, set[str]]:
        """Ask for a line's partitions whose turn it is; the room that is left, and all that are to be ingested."""
        frontier = self.looks.frontier(line)
        changed = self.looks.changed(line, frontier.newest)
        over = frontier.waiting(line, self.looks.now)
        names = sorted({*over, *changed})
        self.open |= {table.key: {*over} for table in line.awaited}
        if not names:
            return room, set()
        plans = self._plan(line, [Order(name, changed.get(name, NEW)) for name in names])
        numbers = {one.partition: (one, number) for one, number in plans.due}
        tried = {one.partition: one.count for one in plans.resting}
        running = {one.partition for one in plans.running}

        def state(name: str) -> State:
            if name in running:
                return State.RUNNING
            if name in tried:
                return State.HOLDS if tried[name] < TRIES_ALONE else State.PASSED
            if name not in numbers:
                return State.PASSED
            return State.DUE if name in changed else self._arrived(line, name)

        turn = in_order(names, min(room, MOST_RUNS_A_TICK), not line.reach, state)
        self.looks.owe(line, [n for n in turn.due if n in changed or n in frontier.gaps])
        self.looks.forget(line, {*over})
        for name in turn.due:
            self._request(line, *numbers[name])
        if reasons := plans.reasons(self._job(line)):
            self.reasons.append(reasons)
        if line.cadence and turn.held:
            self.held.append(line.calendar.partition(turn.held).end)
        return room - len(turn.due), {*names}

    def _arrived(self, line: Line, name: str) -> State:
        """Whether a partition's rows, and those of longer partitions that belong to it, are there."""
        if why := self._waits_for_longer(line, name):
            self.reasons.append(why)
            return State.HOLDS
        if not time_windows(line.calendar).has_partition_key(name):
            self.reasons.append(f"{name} is over, but not yet by this machine's clock, by which Dagster goes")
            return State.HOLDS
        waiting = self.looks.awaited(line, name)
        self.waiting += waiting
        self.reasons += map(str, waiting)
        if not waiting:
            return State.DUE
        return State.PASSED if all(one.overdue(self.looks.now) for one in waiting) else State.HOLDS

    def _waits_for_longer(self, line: Line, name: str) -> str | None:
        if line.cadence:
            return None
        start = line.calendar.partition(name).start
        if any(start >= end for end in self.held):
            return f"{name} waits for a longer partition that ended before it"
        for longer in self.lines[:-1]:
            if self.looks.frontier(longer).newest is None:
                return (
                    f"{name} waits for the first partition of {', '.join(table.key for table in longer.cut)}, over at "
                    f"{longer.over_at(longer.calendar.first.name):%Y-%m-%d %H:%M} UTC"
                )
        return None

    def _job(self, line: Line) -> str:
        return job_of(self.use_case.name, line)

    def _makes(self, line: Line) -> set[dg.AssetKey]:
        """What no two runs may make at once."""
        return {*_keys(line.tables), dg.AssetKey(online_key(self.use_case.name).split("/"))}

    def _plan(self, line: Line, waiting: Sequence[Order]) -> Plan:
        names = [one.partition for one in waiting]
        sensor = ingest_sensor_name(self.use_case.name)
        runs = partition_runs(self.instance, self._job(line), sensor, names, self._makes(line))
        return plan(waiting, runs, self.wall)

    def _request(self, line: Line, order: Order, number: int) -> None:
        self.requests.append(
            dg.RunRequest(
                run_key=self._run_key(line, order, number),
                job_name=self._job(line),
                partition_key=order.partition,
                tags={BASIS_TAG: order.basis, TRY_TAG: str(number)},
            )
        )

    def _run_key(self, line: Line, order: Order, number: int) -> str:
        return ":".join([self._job(line), order.partition, order.basis, str(number)])

    def _bring_up(self, owing: Line, name: str, room: int) -> tuple[int, bool]:
        """Ask for what looks back on a partition and is older than it; the room that is left, and whether nothing is."""
        span, done = owing.calendar.partition(name), True
        for line in self.lines:
            behind = self.looks.behind(line, span)
            if not behind:
                continue
            done = False
            first, last = _in_a_row(line, behind)
            order = Order(f"{first} to {last}", digest(["behind", name, self._read(line, first)]))
            sensor = ingest_sensor_name(self.use_case.name)
            runs = training_runs(self.instance, self._job(line), sensor, order.partition, self._makes(line))
            tries = plan([order], runs, self.wall)
            for one, number in tries.due[: max(room, 0)]:
                self._request_behind(line, one, number, first, last)
                room -= 1
            self._say(line, name, tries)
        return room, done

    def _say(self, line: Line, name: str, tries: Plan) -> None:
        reasons = tries.reasons(self._job(line)) or "it is made again"
        self.reasons.append(
            f"{name} was read again or came late, and what looks back on it is behind: {reasons}"
        )

    def _read(self, line: Line, name: str) -> list[Any]:
        lake = self.looks.lake
        return [table.fingerprint(lake, name if table.calendar else None) for table in line.derived]

    def _request_behind(self, line: Line, order: Order, number: int, first: str, last: str) -> None:
        derived = _keys(line.derived)
        online = [] if line.cadence else [dg.AssetKey(online_key(self.use_case.name).split("/"))]
        tags = {FIRST_TAG: first, LAST_TAG: last, FOR_TAG: order.partition}
        self.requests.append(
            dg.RunRequest(
                run_key=self._run_key(line, order, number),
                job_name=self._job(line),
                asset_selection=[*derived, *online],
                tags={**tags, BASIS_TAG: order.basis, TRY_TAG: str(number)},
            )
        )

    def up_to_date(self) -> str:
        """That nothing is to be asked for, and when the next partition will be."""
        *_, own = self.lines
        newest = self.looks.frontier(own).newest
        name = own.calendar.next(newest) if newest else own.calendar.first.name
        if name is None:
            return "every partition of the calendar is ingested"
        return f"every partition that is over is ingested; {name} is over at {own.over_at(name):%Y-%m-%d %H:%M} UTC"


def _keys(tables: Sequence[Table]) -> list[dg.AssetKey]:
    return [dg.AssetKey(table.key.split("/")) for table in tables]


def _in_a_row(line: Line, names: Sequence[str]) -> tuple[str, str]:
    """The first and the last of those that follow each other without a gap."""
    last = names[0]
    for name in names[1:]:
        if line.calendar.next(last) != name:
            break
        last = name
    return names[0], last
