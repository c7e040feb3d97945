"""History replayed as it would have happened: a clock that ingests a partition and lets the sensors do the rest.

The replay holds no rule of its own. After each partition it evaluates the project's sensors, as the daemon does, until
they ask for nothing more. All progress lies in the lake, the registry and the Dagster instance, so a replay that is
killed goes on where it stopped and ends with the same bytes.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import dagster as dg
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from mlops_assets.kit.run_tags import (
    FIRST_TAG,
    LAST_TAG,
    PARTITION_TAG,
    REPLAY_TAG,
    RUN_KEY_TAG,
    SENSOR_TAG,
    UNFINISHED,
)
from mlops_assets.spec.names import ingest_job_name, progress_name
from mlops_assets.stages.drift_page import NONE, PAGES_TAG, WHERE_IT_DRIFTS
from resources.lake.lake import Lake
from resources.records.documents import load_record, save_record
from resources.records.progress import ReplayProgress

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
FEW_PAGES, NO_PAGES = {PAGES_TAG: WHERE_IT_DRIFTS}, {PAGES_TAG: NONE}
"""Tags of the runs of all partitions of a replay but its last, and of those that share runs: Evidently's page costs more than
their numbers do."""

MOST_TICKS_A_PARTITION = 50


class ReplayError(Exception):
    """A run that the replay needs failed."""


@dataclass
class Progress:
    """Where the time goes, told as it goes."""

    partitions: int
    started: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    done: int = 0
    skipped: int = 0

    def stage(self, partition: str, what: str, left: float | None = None) -> None:
        """Say what is being done, for how long it has gone on and when it should end: in `left` seconds, if that is known."""
        elapsed = time.monotonic() - self.started
        waiting = self.partitions - self.skipped - self.done
        if left is None and self.done and waiting:
            left = elapsed / self.done * waiting
        expected = f", about {clock(left)} to go" if left is not None else ""
        print(f"  [{clock(elapsed)}] {partition} {what}{expected}", flush=True)


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))[2:]


class Shared(Protocol):
    """How partitions of a replay share runs."""

    def count(self, waiting: Sequence[str]) -> int:
        """How many of the partitions that wait are ingested together: up to the first at whose end something may be decided."""
        ...

    def resting(self, partition: str) -> Collection[str]:
        """The models of which nothing can be decided at the end of a partition."""
        ...

    def due(self, resting: Collection[str] = ()) -> Iterator[tuple[str, Sequence[str]]]:
        """Jobs of all models but some that score what was ingested, each with partitions that follow each other."""
        ...


def sensors_of(model: str, rolls_out: bool = True) -> list[str]:
    """Names of a model's sensors: one scores, one moves its roll-out on where it plans any, one retrains."""
    return [
        f"score_{model}_when_features_arrive",
        *([f"advance_{model}_rollout"] if rolls_out else []),
        f"retrain_{model}_on_evidence",
    ]


def said(partitions: Sequence[str]) -> str:
    """The partition, or the first and the last."""
    return partitions[0] if len(partitions) == 1 else f"{partitions[0]} to {partitions[-1]}"


class Clock:
    """Drives one Dagster instance through partitions, in this process."""

    def __init__(self, defs: dg.Definitions, instance: DagsterInstance, lake: Lake, sensors: Sequence[str]):
        self.defs, self.instance, self.lake, self.sensors = defs, instance, lake, list(sensors)
        self.repository = defs.get_repository_def()

    def replay(
        self,
        use_case: str,
        partitions: Sequence[str],
        progress: Progress,
        at_the_end: Collection[str] = (),
        shared: "Shared | None" = None,
    ) -> None:
        """Ingest every partition that was not replayed yet and let the sensors act after each, some of them after the last alone.

        With `shared`, partitions between which nothing can be decided are one step.
        """
        self.finish_interrupted(progress)
        before = load_record(self.lake, ReplayProgress, progress_name(use_case))
        passed = before.through if before else ""
        waiting = [partition for partition in partitions if partition > passed]
        progress.skipped = len(partitions) - len(waiting)
        if progress.skipped:
            print(f"  {progress.skipped} partitions are done, up to {passed}; going on", flush=True)
        while waiting:
            count = shared.count(waiting) if shared else 1
            step, waiting = waiting[:count], waiting[count:]
            progress.stage(said(step), "ingest, features, online store")
            self.execute_all(ingest_job_name(use_case), progress, step)
            resting = shared.resting(step[-1]) if shared and waiting else ()
            if shared:
                self._score(shared, resting, step[-1], progress, last=not waiting)
            if waiting:
                quiet = {name for model in resting for name in sensors_of(model)}
                self.settle(step[-1], progress, NO_PAGES if shared else FEW_PAGES, {*at_the_end, *quiet})
            else:
                self.settle(step[-1], progress)
            save_record(self.lake, progress_name(use_case), ReplayProgress(through=step[-1]))
            progress.done += len(step)

    def _score(
        self, shared: Shared, resting: Collection[str], newest: str, progress: Progress, last: bool
    ) -> None:
        """Score and report on what is due, all but some models; the page of the newest partition is drawn where it is the last."""
        for job, names in shared.due(resting):
            progress.stage(said(names), job)
            drawn = names[-1:] if last and names[-1] == newest else []
            if few := names[: len(names) - len(drawn)]:
                self.execute_all(job, progress, few, NO_PAGES)
            if drawn:
                self.execute_all(job, progress, drawn)

    def settle(
        self,
        partition: str,
        progress: Progress,
        tags: Mapping[str, str] | None = None,
        without: Collection[str] = (),
    ) -> None:
        """Evaluate the sensors, but some, until none of them asks for a run that was not made yet; the runs carry these tags too."""
        sensors = [name for name in self.sensors if name not in without]
        for _ in range(MOST_TICKS_A_PARTITION):
            if not sum(self._tick(name, partition, progress, tags or {}) for name in sensors):
                return
        raise ReplayError(f"{partition}: the sensors still ask for runs after {MOST_TICKS_A_PARTITION} ticks")

    def _tick(self, name: str, partition: str, progress: Progress, more: Mapping[str, str]) -> int:
        sensor = self.repository.get_sensor_def(name)
        resources = {key: (self.defs.resources or {})[key] for key in sensor.required_resource_keys}
        with dg.build_sensor_context(
            instance=self.instance, repository_def=self.repository, sensor_name=name, resources=resources
        ) as context:
            tick = sensor.evaluate_tick(context)
        count = 0
        for request in tick.run_requests or []:
            if self._made_before(name, request.run_key):
                continue
            reason = request.tags.get("mlops/reason")
            progress.stage(partition, f"{sensor.job_name}{': ' + reason.rstrip('.') if reason else ''}")
            tags = {**request.tags, **more, SENSOR_TAG: name, RUN_KEY_TAG: str(request.run_key)}
            self.execute(str(sensor.job_name), progress, partition=request.partition_key, tags=tags)
            count += 1
        return count

    def _made_before(self, sensor: str, run_key: str | None) -> bool:
        tags = {RUN_KEY_TAG: str(run_key), SENSOR_TAG: sensor}
        runs = RunsFilter(statuses=[DagsterRunStatus.SUCCESS], tags=tags)
        return bool(self.instance.get_runs(runs, limit=1))

    def execute_all(
        self,
        job_name: str,
        progress: Progress,
        partitions: Sequence[str],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Run a job for partitions that follow each other, in one run."""
        if len(partitions) == 1:
            self.execute(job_name, progress, partitions[0], tags)
        else:
            span = {FIRST_TAG: partitions[0], LAST_TAG: partitions[-1]}
            self.execute(job_name, progress, tags={**(tags or {}), **span})

    def execute(
        self,
        job_name: str,
        progress: Progress,
        partition: str | None = None,
        tags: Mapping[str, str] | None = None,
        assets: Sequence[Sequence[str]] | None = None,
    ) -> None:
        """Run a job in this process; a run that fails ends the replay."""
        job = self.repository.get_job(job_name)
        result = job.execute_in_process(
            instance=self.instance,
            partition_key=partition,
            tags={**(tags or {}), REPLAY_TAG: "true"},
            asset_selection=[dg.AssetKey(list(path)) for path in assets] if assets else None,
            run_config=QUIET,
            raise_on_error=False,
        )
        for event in result.all_events:
            if event.event_type_value == "STEP_SUCCESS" and event.step_key:
                progress.seconds[event.step_key] += event.step_success_data.duration_ms / 1000
        if not result.success:
            raise ReplayError(
                f"run {result.run_id} of {job_name} {partition or ''} failed: {first_error(result.all_events)}"
            )

    def finish_interrupted(self, progress: Progress) -> None:
        """Make again what a sensor had asked for in runs that a killed replay left behind; then mark those as cancelled.

        Marked last, so that a replay that is killed while it recovers finds them again.
        """
        left = self.instance.get_runs(RunsFilter(statuses=UNFINISHED, tags={REPLAY_TAG: "true"}))[::-1]
        requests = {
            (run.tags[SENSOR_TAG], run.tags[RUN_KEY_TAG]): run for run in left if SENSOR_TAG in run.tags
        }
        for (sensor, run_key), run in requests.items():
            if not self._made_before(sensor, run_key):
                self._again(run, progress)
        for run in left:
            self.instance.report_run_canceled(
                run, message="the replay was interrupted; the run is made again"
            )

    def _again(self, run: DagsterRun, progress: Progress) -> None:
        progress.stage(run.tags.get(PARTITION_TAG, "now"), f"{run.job_name}, interrupted last time")
        tags = {k: v for k, v in run.tags.items() if k.startswith("mlops/") or k in (SENSOR_TAG, RUN_KEY_TAG)}
        self.execute(run.job_name, progress, partition=run.tags.get(PARTITION_TAG), tags=tags)


def first_error(events: Sequence[Any]) -> str:
    """Step and message of the first failure."""
    for event in events:
        if event.event_type_value == "STEP_FAILURE":
            error = event.event_specific_data.error
            cause = error.cause or error
            return f"{event.step_key}: {cause.message.strip()}"
    return "no step failed; see the run's log"
