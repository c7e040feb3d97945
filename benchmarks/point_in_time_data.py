"""Tables for the benchmark of the point-in-time join: three views of ten features, and the rows that are asked."""

import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

VIEWS = {"one": timedelta(days=7), "two": timedelta(days=14), "three": timedelta(days=30)}
"""Views by name with their time to live: two, four and eight of the steps of 24 timestamps in 90 days."""
FEATURES = 10
DAYS = 90
LATE = 0.02
"""Share of rows that are there twice: with the same event timestamp, created later, with other values."""
START = 1_700_000_000
KEY = "driver_id"
TIME = "event_timestamp"
CREATED = "created"
ROW = "row"


def columns(view: str) -> list[str]:
    """Names of a view's features; the first one holds the number of its row."""
    return [f"{view}_{n}" for n in range(FEATURES)]


def write(folder: Path, rows: int, times: int) -> None:
    """Write each view's table sorted (parquet and Arrow IPC) and shuffled (parquet), and the entity rows.

    A view has as many rows as are asked, of `rows / times` entities; moments are whole seconds within 90 days.
    """
    folder.mkdir(parents=True)
    entities = max(rows // times, 1)
    for number, view in enumerate(VIEWS):
        dice = np.random.default_rng(number)
        table = _source(view, entities, times, dice)
        table.write_ipc(folder / f"{view}.arrow", record_batch_size=table.height)
        table.write_parquet(folder / f"{view}-sorted.parquet", compression="snappy")
        shuffled = table[dice.permutation(table.height)]
        shuffled.write_parquet(folder / f"{view}-unsorted.parquet", compression="snappy")
    dice = np.random.default_rng(99)
    asked = pl.DataFrame(
        {
            ROW: np.arange(rows),
            KEY: dice.integers(0, entities, rows),
            TIME: _moments(dice.integers(0, DAYS * 86400, rows)),
        }
    )
    asked.write_parquet(folder / "entities.parquet")


def write_flights(lake: Path) -> None:
    """Ingest the year's flights and write every feature table, as the assets do."""
    from mlops_assets.stages.tables import build_partition
    from mlops_assets.use_cases.flights.tables import WEEKS, all_tables
    from resources.lake.lake import Lake

    for week in WEEKS.names():
        for table in all_tables():
            build_partition(Lake(root=str(lake)), table, week)


def _source(view: str, entities: int, times: int, dice: np.random.Generator) -> pl.DataFrame:
    count = entities * times
    seconds = dice.integers(0, DAYS * 86400, count)
    twice = dice.choice(count, int(count * LATE), replace=False)
    keys = np.repeat(np.arange(entities), times)
    lag = dice.integers(0, 3600, count)
    table = pl.DataFrame(
        {
            KEY: np.concatenate([keys, keys[twice]]),
            TIME: _moments(np.concatenate([seconds, seconds[twice]])),
            CREATED: _moments(np.concatenate([seconds + lag, seconds[twice] + lag[twice] + 86400])),
        }
    ).sort(KEY, TIME, CREATED)
    values = {name: dice.normal(size=table.height) for name in columns(view)[1:]}
    return table.with_columns(pl.Series(columns(view)[0], np.arange(table.height, dtype=float)), **values)


def _moments(seconds: np.ndarray) -> pl.Series:
    return pl.Series((seconds + START) * 1_000_000).cast(pl.Datetime("us", "UTC"))


if __name__ == "__main__":
    if sys.argv[1] == "--flights":
        write_flights(Path(sys.argv[2]))
    else:
        write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
