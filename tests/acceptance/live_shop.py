"""A shop that lives by the wall clock: its folder of YAML, and raw files that appear day by day as its clock goes."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from resources.clock import CLOCK_FILE, Simulation, wall

FIRST = date(2024, 1, 1)
A_DAY = 40
AT_ONCE = 4
RATE = 2880.0
"""A day in half a minute: two ticks of a sensor."""

NEARLY_STANDS = RATE / 100
STILL_S = 900.0
DAY = timedelta(days=1)

USE_CASE = f"""\
description: Parcels of some shops. Which are sent back within three days?
owner: team:parcels
calendar: {{cadence: daily, start: {FIRST}}}
clock: wall
ingest: {{at_once: {AT_ONCE}}}
"""
DEFS = """\
type: mlops_assets.components.table.TableComponent
attributes:
  name: orders
  source: {kind: parquet, path: "${SHOP_DATA}/orders_*.parquet"}
  columns: {order_id: int, shop: str, ordered_at: datetime, amount: "float | null", grade: "str | null", sent_back: "bool | null"}
  key: [order_id]
  time: ordered_at
  lateness: 1h
  alarm_after: 365d
---
type: mlops_assets.components.table.TableComponent
attributes:
  name: shops
  source: {kind: csv, path: "${SHOP_DATA}/shops.csv"}
  columns: {shop: str, size: float, age: float}
  key: [shop]
  features: {key: [shop]}
---
type: mlops_assets.components.model.ModelComponent
attributes:
  name: parcel_back
  owner: team:parcels
  task: classification
  features: {exclude: ["shops:age"]}
  prediction: {table: orders, key: [order_id], time: ordered_at, request: {amount: "float | null", grade: "str | null"}}
  label: {column: sent_back, delay: 3d}
  trainer: {kind: xgboost, rounds: 10, early_stopping_rounds: 5, parameters: {max_depth: 3}}
  window: {hold_out_days: 4, minimum_days: 12}
  gate: {metric: log_loss, floors: {auc: 0.5}}
  retrain: {cool_down_days: 7, max_age_days: 7}
"""


def write_use_case(folder: Path) -> Path:
    """The folder of the use case, which is returned; there is no Python in it."""
    folder.mkdir(parents=True)
    (folder / "use_case.yaml").write_text(USE_CASE)
    (folder / "defs.yaml").write_text(DEFS)
    return folder


def names(first: int, count: int) -> list[str]:
    """Names of `count` days from the `first` one on, which is counted from 0."""
    return [str(FIRST + (first + n) * DAY) for n in range(count)]


class Pace:
    """The shop's clock: a day takes half a minute, and many while a day that is over waits longer than it would on a fast machine.

    So what the test sees does not depend on how busy the machine is.
    """

    def __init__(self, state: Path, start: datetime) -> None:
        self.file, self.runs = state / CLOCK_FILE, Simulation(start=start, rate=RATE, anchor=wall())
        state.mkdir(parents=True, exist_ok=True)
        self._write()

    def follow(self, oldest: int | None) -> None:
        """Run fast, or nearly stand where the `oldest` day that is not reported on has been over for more than a day."""
        at = wall()
        now = self.runs.at(at)
        late = oldest is not None and now > _begin(oldest + 2) + timedelta(hours=6)
        rate = NEARLY_STANDS if late else RATE
        if rate != self.runs.rate:
            self.runs = Simulation(start=now, rate=rate, anchor=at)
            self._write()

    def _write(self) -> None:
        temporary = self.file.with_suffix(".new")
        temporary.write_bytes(self.runs.text())
        temporary.replace(self.file)


def wait_while_it_moves(until: Callable[[], bool], moved: Callable[[], object], what: str) -> None:
    """Wait for as long as something moves, however slowly; fails where nothing has for a quarter of an hour."""
    last, since = moved(), time.monotonic()
    while not until():
        if (now := moved()) != last:
            last, since = now, time.monotonic()
        assert time.monotonic() - since < STILL_S, f"nothing moves at {last}, and still not: {what}"
        time.sleep(1)


class Files:
    """The folder of raw files; a day's file comes a few minutes after the day has ended."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.written = folder, 0
        rng = np.random.default_rng(0)
        size, age = rng.uniform(1, 9, 12).round(2), rng.uniform(0, 30, 12).round(1)
        self.shops = pl.DataFrame({"shop": [f"shop {n}" for n in range(12)], "size": size, "age": age})
        self.shops.write_csv(folder / "shops.csv")

    def follow(self, now: datetime, last: int) -> None:
        """Write the files of all days that are over, of which day number `last` is the last one that ever comes."""
        while self.written <= last and _begin(self.written + 1) <= now:
            self._write(self.written)
            self.written += 1

    def _write(self, number: int) -> None:
        orders(number, self.shops).write_parquet(self.folder / ".orders.tmp")
        (self.folder / ".orders.tmp").replace(self.folder / f"orders_{FIRST + number * DAY}.parquet")


def orders(number: int, shops: pl.DataFrame) -> pl.DataFrame:
    """The orders of a day; from the 22nd day on there is a grade that no model saw before."""
    rng = np.random.default_rng(100 + number)
    place = rng.integers(0, shops.height, A_DAY)
    amount = rng.lognormal(4, 0.7, A_DAY).round(2)
    grades = ["A", "B", "C"] + ["new"] * (number > 20)
    grade = [None if rng.random() < 0.1 else str(rng.choice(grades)) for _ in range(A_DAY)]
    risk = -1.5 + 0.3 * (shops["size"].to_numpy()[place] - 5) + 0.9 * np.log(amount / 55)
    seconds = np.sort(rng.integers(0, 86_400, A_DAY))
    return pl.DataFrame(
        {
            "order_id": np.arange(A_DAY) + number * A_DAY,
            "shop": shops["shop"].to_numpy()[place],
            "ordered_at": [_begin(number) + timedelta(seconds=int(s)) for s in seconds],
            "amount": [None if rng.random() < 0.05 else value for value in amount.tolist()],
            "grade": grade,
            "sent_back": rng.random(A_DAY) < 1 / (1 + np.exp(-risk)),
        }
    )


def _begin(number: int) -> datetime:
    return datetime.combine(FIRST + number * DAY, datetime.min.time(), UTC)
