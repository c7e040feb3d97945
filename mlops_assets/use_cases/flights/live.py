"""The files of the flights held back for `mlops live`: those of a week come once it is over, and tell of nothing later.

What is planned for the day after a week is known by its end, and comes as a file of its own without an outcome.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from mlops_assets.use_cases.flights import ingest
from mlops_assets.use_cases.flights.files import FILE, ROW, locate, read_table
from mlops_assets.use_cases.flights.schema import SCHEDULE_LEAD
from mlops_assets.use_cases.flights.tables import LATENESS, WEEKS
from resources.lake.lake import parquet
from resources.settings import Settings
from resources.storage.durable import write_bytes

PLANNED = "flights-planned"
OUTCOMES = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
LATE, IN_TIME = 40.0, 0.0
"""What the delay of a flight is said to be whose outcome is turned round, in minutes."""


class Files:
    """Raw files in a folder of their own, which grows by a week at a time; `where` says where the whole lies."""

    lateness = LATENESS

    def __init__(self, where: Settings, folder: Path) -> None:
        self._origin, self._folder = where.data, folder

    @property
    def variables(self) -> Mapping[str, str]:
        """What the platform's processes are told, so that they read these files."""
        return {"MLOPS_DATA": str(self._folder)}

    def open(self) -> None:
        """Put in what is known all along: aircraft and airports."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in ("planes", "airports"):
            for path in locate(name, self._origin):
                shutil.copy(path, self._folder / path.name)
        whole = read_table("flights", self._origin).drop(FILE, ROW)
        self._flights = whole.with_columns(at=pl.col("time_hour") + pl.duration(minutes="minute"))
        self._weather = read_table("weather", self._origin).drop(FILE, ROW)

    def names(self) -> list[str]:
        """The weeks of which there are flights."""
        starts = self._flights["at"].unique()
        return [name for name in WEEKS.names() if (starts >= WEEKS.partition(name).start).any()]

    def rows(self, name: str) -> pl.DataFrame:
        """The week's flights, with the columns of `flights/raw`."""
        span = WEEKS.partition(name)
        return ingest.in_week(
            ingest.tables(self._origin).flights, "scheduled_departure", span.start, span.end
        )

    def bring(self, name: str, change: str = "") -> int:
        """Put in a week's files, `drift` or `bad-labels` done to them; how many flights they have."""
        span = WEEKS.partition(name)
        flights = _between(self._flights, "at", span.start, span.end)
        weather = _between(self._weather, "time_hour", span.start, span.end)
        changed = CHANGES.get(change, lambda flights, weather: (flights, weather))(flights, weather)
        planned = _between(self._flights, "at", span.end, span.end + SCHEDULE_LEAD)
        self._write(PLANNED, planned.with_columns(pl.lit(None).alias(each) for each in OUTCOMES))
        self._write(f"weather-{name}", changed[1])
        self._write(f"flights-{name}", changed[0])
        return flights.height

    def spoil(self, name: str) -> str:
        """Put in a week's files, that of the flights without its second half; which one that is."""
        self.bring(name)
        path = self._folder / f"flights-{name}.parquet"
        write_bytes(path, path.read_bytes()[: path.stat().st_size // 2])
        return path.name

    def _write(self, stem: str, rows: pl.DataFrame) -> None:
        write_bytes(self._folder / f"{stem}.parquet", parquet(rows.drop("at", strict=False)))


def _between(rows: pl.DataFrame, column: str, start: object, end: object) -> pl.DataFrame:
    return rows.filter(pl.col(column).is_between(pl.lit(start), pl.lit(end), closed="left"))


def drifted(flights: pl.DataFrame, weather: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Weather stations that were set to other units: degrees Celsius, metres a second, kilometres."""
    celsius = [(pl.col(name) - 32) / 1.8 for name in ("temp", "dewp")]
    speeds = [pl.col(name) * 0.447 for name in ("wind_speed", "wind_gust")]
    return flights, weather.with_columns(*celsius, *speeds, pl.col("visib") * 1.609, pl.col("precip") * 25.4)


def turned_round(flights: pl.DataFrame, weather: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Arrivals by a clock that is wrong: who was late is said to have been in time, and the other way round."""
    late = pl.col("arr_delay") > 15
    turned = pl.when(late).then(IN_TIME).when(late.is_not_null()).then(LATE)
    return flights.with_columns(arr_delay=turned), weather


CHANGES: Mapping[str, Callable[[pl.DataFrame, pl.DataFrame], tuple[pl.DataFrame, pl.DataFrame]]] = {
    "drift": drifted,
    "bad-labels": turned_round,
}
