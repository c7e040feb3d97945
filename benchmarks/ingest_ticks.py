"""What a tick of the sensor that ingests costs, by how many partitions there are.

A use case of days whose tables have a file a day; all days lie in a real lake under real manifests (one of each kind is
written by the lake, the others are links to it) with a finished run each. `quiet`: all is ingested; `gap`: three days in
the middle are not, and are asked for; `awaited`: three days are over whose files are not there; `record lost`: the first
tick after what ticks noted was deleted.
"""

import os
import shutil
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl

from benchmarks.finished_runs import add_runs
from mlops_assets.automation.ingesting import ingest_jobs, ingest_sensor
from mlops_assets.components.use_case import load_use_case
from mlops_assets.spec.names import ingest_job_name, online_key
from mlops_assets.stages.tables import Table
from resources.clock import Clock
from resources.lake.lake import Lake
from resources.lake.names import file_name, manifest_name
from resources.storage.local import STEADY_S
from resources.use_case_folders import UseCaseFolder

TABLES, MISSING = 3, 3
TIMES = 7
END = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
USE_CASE = """
owner: team:shop
calendar: {{cadence: daily, start: {start:%Y-%m-%d}}}
clock: wall
corrections: 2
"""
TABLE = """
type: mlops_assets.components.table.TableComponent
attributes:
  name: t{number}
  source: {{kind: parquet, path: "{data}/t{number}_*.parquet"}}
  columns: {{id: int, at: datetime, amount: float}}
  key: [id]
  time: at
  lateness: 1h
  alarm_after: 10d
  features: {{key: [id]}}
"""


class StandingClock(Clock):
    """A clock that stands where it is put."""

    at: datetime

    def now(self) -> datetime:
        return self.at


class Shop:
    """The use case, its files and its lake, in which every day up to the end is ingested."""

    def __init__(self, home: Path, partitions: int) -> None:
        self.home, self.start = home, END - partitions * DAY
        self.lake = Lake(root=str(home / "lake"), state=str(home))
        (_made(home / "dagster") / "dagster.yaml").touch()
        self.instance = dg.DagsterInstance.local_temp(str(home / "dagster"))
        self.found = load_use_case(self._folder())
        self.names = self.found.use_case.calendar.names(END)
        self._write_files()
        self._fill()
        name = self.found.use_case.name
        add_runs(self.instance, ingest_job_name(name), f"ingest_{name}_when_a_partition_is_over", self.names)

    def _folder(self) -> UseCaseFolder:
        folder = UseCaseFolder(_made(self.home / "shop"), "shop")
        folder.file.write_text(USE_CASE.format(start=self.start))
        tables = [TABLE.format(number=number, data=self.home / "data") for number in range(TABLES)]
        (folder.path / "defs.yaml").write_text("---".join(tables))
        return folder

    def _write_files(self) -> None:
        _made(self.home / "data")
        for number, name in enumerate(self.names):
            at = self.start + number * DAY + timedelta(hours=12)
            frame = pl.DataFrame({"id": [number], "at": [at], "amount": [1.5]})
            for table in range(TABLES):
                frame.write_parquet(self.home / "data" / f"t{table}_{name}.parquet")

    def _fill(self) -> None:
        for table in self.found.tables:
            self._linked(table)
        for table in self.found.tables:
            for name in self.names[-self.found.use_case.corrections :] if table.arrival else ():
                made = {
                    "fingerprint": dict(table.fingerprint(self.lake, name) or {}),
                    "sha256": "",
                    "kept": {},
                }
                self.lake.remember(table.key, name, made)
        self.say_online(self.names)

    def _linked(self, table: Table) -> None:
        """A table of which the lake writes the first partition; the files of the others are links to that one's."""
        first = self.names[0]
        self.lake.write(table.key, pl.DataFrame({"id": [1]}), first)
        for named in (file_name, manifest_name):
            source = self.lake.storage.at(named(table.key, first))
            for name in self.names[1:]:
                os.link(source, self.lake.storage.at(named(table.key, name)))

    def say_online(self, names: list[str]) -> None:
        """These days are online."""
        self.lake.write_json(online_key("shop"), dict.fromkeys(names, "a" * 64))

    def read(self) -> None:
        """Read the newest day, as its run does, which notes of every file of which days it has rows."""
        for table in self.found.tables:
            if table.arrival:
                assert table.arrival.awaited(self.lake, table.span(self.names[-1])) is None

    def tick(self, now: datetime) -> float:
        """Seconds of one evaluation."""
        use_case, tables = self.found.use_case, self.found.tables
        sensor = ingest_sensor(use_case, tables, ingest_jobs(use_case, tables))
        given = {"lake": self.lake, "clock": StandingClock(at=now)}
        with dg.build_sensor_context(self.instance, sensor_name=sensor.name, resources=given) as context:
            begun = time.perf_counter()
            sensor(context)
            return time.perf_counter() - begun


def ingest_ticks(home: Path, partitions: int) -> dict[str, float]:
    """Seconds a tick by state."""
    shop = Shop(home, partitions)
    over = END + timedelta(hours=2)
    time.sleep(STEADY_S)
    shutil.rmtree(home / "lake" / "shop" / "ticks", ignore_errors=True)
    figures = {"record lost": shop.tick(over)}
    shop.read()
    figures["quiet"] = _median(shop, over)
    figures["awaited"] = _median(shop, over + MISSING * DAY)
    middle = len(shop.names) // 2
    shop.say_online([*shop.names[:middle], *shop.names[middle + MISSING :]])
    figures["gap"] = _median(shop, over)
    return {state: round(seconds, 4) for state, seconds in figures.items()}


def _median(shop: Shop, now: datetime) -> float:
    shop.tick(now)
    return statistics.median(shop.tick(now) for _ in range(TIMES))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    import sys
    import tempfile

    for count in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory(prefix="ticks-") as folder:
            print(count, ingest_ticks(Path(folder), count), flush=True)
