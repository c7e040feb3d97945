"""A model's sensors over a real instance and lake, a frozen clock, and runs that end as the test says."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.test_utils import create_run_for_test, freeze_time
from dagster._daemon.sensor import fetch_existing_runs

from mlops_assets.automation.sensors import retrain_sensor, score_sensor
from mlops_assets.kit.run_tags import PARTITION_TAG, RUN_KEY_TAG, SENSOR_TAG, UNFINISHED
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import online_key
from mlops_assets.stages.online import BASIS, online_content
from resources.audit.log import Audit
from resources.clock import Clock
from resources.lake.lake import Lake
from resources.records.documents import save_record
from resources.records.progress import OnlineContent

REPORTS = ("performance", "drift")


@dataclass
class Days:
    """The weeks that were ingested, and the runs that were asked for; `made` counts them by week."""

    spec: ModelSpec
    lake: Lake
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)
    now: datetime = datetime(2026, 1, 5, tzinfo=UTC)

    @classmethod
    def of(cls, spec: ModelSpec, root: Path, weeks: int) -> "Days":
        """So many weeks ingested, none of them scored."""
        days = cls(spec, Lake(root=str(root)))
        for week in spec.calendar.names()[:weeks]:
            days.lake.write(spec.prediction.table, pl.DataFrame({"row": [1]}), week)
            days.ingest(week, "a" * 64)
        return days

    @property
    def audit(self) -> Audit:
        return Audit(folder=f"{self.lake.root}-audit")

    def ingest(self, week: str, content: str) -> None:
        partitions = online_content(self.lake, self.spec.use_case) | {week: content}
        save_record(self.lake, online_key(self.spec.use_case), OnlineContent(partitions=partitions))

    def tick(self, make: Any = score_sensor) -> Any:
        """Evaluate a sensor and launch what it asks for as Dagster's daemon does; a used run key is an error."""
        sensor = make(self.spec, now=lambda: self.now)
        with dg.build_sensor_context(
            self.instance,
            sensor_name=sensor.name,
            resources={"lake": self.lake, "audit": self.audit, "clock": Clock()},
        ) as context:
            said = sensor(context)
        if isinstance(said, dg.SkipReason):
            return said.skip_message
        requests = said if isinstance(said, list) else [said]
        used = fetch_existing_runs(self.instance, SimpleNamespace(name=sensor.name), requests)  # type: ignore[arg-type]
        assert not used, f"Dagster would drop {sorted(used)}"
        assert len({one.run_key for one in requests}) == len(requests)
        return [self.launch(sensor.job_name, one, sensor.name) for one in requests]

    def launch(self, job: str, request: dg.RunRequest, sensor: str | None = None) -> dg.DagsterRun:
        """A run in progress; by a person where no sensor is named."""
        by = {SENSOR_TAG: sensor, RUN_KEY_TAG: request.run_key} if sensor else {}
        partition = {PARTITION_TAG: request.partition_key} if request.partition_key else {}
        chosen = set(request.asset_selection or ()) or None
        with freeze_time(self.now):
            return create_run_for_test(
                self.instance,
                job,
                status=dg.DagsterRunStatus.STARTED,
                tags={**request.tags, **by, **partition},
                asset_selection=chosen,
            )

    def by_hand(self, week: str) -> dg.DagsterRun:
        return self.launch(f"{self.spec.name}_partition", dg.RunRequest(partition_key=week))

    def end(self, run: dg.DagsterRun, how: str = "failed") -> None:
        """The run ends now; one that succeeds writes the week's reports."""
        with freeze_time(self.now):
            if how == "failed":
                self.instance.report_run_failed(run)
            elif how == "canceled":
                self.instance.report_run_canceled(run)
            else:
                self.report(run.tags[PARTITION_TAG]) if PARTITION_TAG in run.tags else None
                done = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, run.job_name)
                self.instance.report_dagster_event(done, run.run_id)

    def report(self, week: str) -> None:
        content = online_content(self.lake, self.spec.use_case)[week]
        numbers = pl.DataFrame({"scored": [1], self.spec.gate.metric: [0.5], "model_version": [1]})
        for part in REPORTS:
            table = f"{self.spec.name}/{part}"
            self.lake.write(table, numbers, week, notes={BASIS: content})

    def unfinished(self) -> list[dg.DagsterRun]:
        return self.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))

    def later(self, **time: float) -> "Days":
        self.now += timedelta(**time)
        return self

    def retrain(self) -> Any:
        return self.tick(retrain_sensor)
