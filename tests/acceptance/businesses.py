"""A small use case of days in a folder, its sensor evaluated tick by tick as the daemon does, by a clock that a test sets."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
from dagster._daemon.sensor import fetch_existing_runs

from mlops_assets.automation.ingesting import ingest_jobs, ingest_sensor, ingest_sensor_name
from mlops_assets.components.use_case import load_use_case
from mlops_assets.kit.run_tags import PARTITION_TAG, RUN_KEY_TAG, SENSOR_TAG
from mlops_assets.kit.systems import injected
from mlops_assets.replay.clock import first_error
from mlops_assets.stages.online import online_content
from resources.clock import Clock
from resources.lake.lake import Lake
from resources.local import local_resources
from resources.settings import settings
from resources.use_case_folders import UseCaseFolder
from tests.declared import a_loan, write_loans

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
USE_CASE = """
owner: team:loans
calendar: {cadence: daily, start: 2024-01-01}
clock: wall
"""
TABLE = """
type: mlops_assets.components.table.TableComponent
attributes:
  name: applications
  source: {kind: csv, path: "../data/loans_*.csv"}
  columns: {loan_id: int, amount: float, zipcode: str | null, applied_at: datetime, told_at: datetime}
  key: [loan_id]
  time: applied_at
  known_at: told_at
  lateness: 6h
  alarm_after: 24h
  features: {key: [zipcode], ttl: 30d}
"""
HEADER = "loan_id,amount,zipcode,applied_at,told_at"


class NoClock(Clock):
    """A clock that stands where it is put."""

    at: datetime

    def now(self) -> datetime:
        return self.at


@dataclass
class Business:
    """The use case `loans`: its data, its lake and instance, and the time."""

    root: Path
    instance: dg.DagsterInstance
    now: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    ahead: timedelta = timedelta()
    alarms: list[dg.AssetCheckEvaluation] = field(default_factory=list)

    def write(self, use_case: str = USE_CASE, tables: str = TABLE) -> "Business":
        """Its folder, loaded."""
        folder = UseCaseFolder(self.root / "loans", "loans")
        folder.path.mkdir(exist_ok=True)
        folder.file.write_text(use_case)
        (folder.path / "defs.yaml").write_text(tables)
        (self.root / "data").mkdir(exist_ok=True)
        self.found = load_use_case(folder)
        resources = injected(local_resources(settings()))
        self.repository = dg.Definitions.merge(
            self.found.defs, dg.Definitions(resources=resources)
        ).get_repository_def()
        self.lake: Lake = local_resources(settings())["lake"]
        return self

    def day(
        self, day: int, amount: float = 1.5, after: timedelta = timedelta(hours=1), rows: int = 1
    ) -> None:
        """A file with the loans of a day of January, told so long after they were asked for at noon."""
        at = datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=day - 1)
        told = f"{at + after:%Y-%m-%dT%H:%M:%SZ}"
        lines = [f"{a_loan(100 * day + i, f'{at:%Y-%m-%dT%H:%M:%SZ}', amount)},{told}" for i in range(rows)]
        write_loans(self.root / "data" / f"loans_{day:03}.csv", *lines, header=HEADER)

    def at(self, day: int, hour: float = 6) -> "Business":
        """The clock stands at an hour of a day of January."""
        self.now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day - 1, hours=hour)
        return self

    def later(self, **time: float) -> "Business":
        """The machine's time, by which pauses pass, goes on."""
        self.ahead += timedelta(**time)
        return self

    def asked(self) -> list[dg.RunRequest] | str:
        """What a tick asks for, or why for nothing; a run key that was used is an error."""
        tables = self.found.tables
        jobs = ingest_jobs(self.found.use_case, tables)
        sensor = ingest_sensor(self.found.use_case, tables, jobs, now=lambda: datetime.now(UTC) + self.ahead)
        resources = {"lake": self.lake, "clock": NoClock(at=self.now)}
        with dg.build_sensor_context(self.instance, sensor_name=sensor.name, resources=resources) as context:
            said: Any = sensor(context)
        if isinstance(said, dg.SkipReason):
            return str(said.skip_message)
        self.events = said.asset_events
        if not said.run_requests:
            return str(said.skip_reason.skip_message)
        used = fetch_existing_runs(self.instance, SimpleNamespace(name=sensor.name), said.run_requests)  # type: ignore[arg-type]
        assert not used, f"Dagster would drop {sorted(used)}"
        return said.run_requests

    def tick(self) -> list[str] | str:
        """A tick whose events are recorded and whose runs are made; the partitions of the runs, or why there are none."""
        asked = self.asked()
        for event in self.events:
            self.instance.report_runless_asset_event(event)
            self.alarms.append(event)
        return asked if isinstance(asked, str) else [self.run(one) for one in asked]

    def run(self, request: dg.RunRequest) -> str:
        """Make a run, which may fail; the partitions it is for."""
        by = {SENSOR_TAG: ingest_sensor_name("loans"), RUN_KEY_TAG: str(request.run_key)}
        done = self.repository.get_job(str(request.job_name)).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            tags={**request.tags, **by},
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
            run_config=QUIET,
            raise_on_error=False,
        )
        self.failed = "" if done.success else first_error(done.all_events)
        return request.partition_key or f"behind {request.tags['mlops/partition']}"

    def until_quiet(self, most: int = 30) -> list[str]:
        """Ticks until one asks for nothing; the partitions in order."""
        made: list[str] = []
        for _ in range(most):
            if isinstance(found := self.tick(), str):
                self.said = found
                return made
            made += found
        raise AssertionError(f"it asks for runs without an end: {made}")

    def runs(self) -> list[str]:
        """The partitions of all runs, the oldest run first."""
        return [run.tags.get(PARTITION_TAG, "behind") for run in self.instance.get_runs()[::-1]]

    def online(self) -> list[str]:
        return sorted(online_content(self.lake, "loans"))


def days(first: int, last: int) -> list[str]:
    """Names of days of January."""
    return [f"2024-01-{day:02}" for day in range(first, last + 1)]
