"""Trailing aggregates of one more day among a year of orders: what a feature table costs a day, beside SQL that is asked for it.

Rows lie in the lake a day a file. Ours makes the newest day's partition of the feature table as its asset does: it reads, examines,
writes and flushes it, with a row for each order and for each order that leaves a window, and goes on from what the day before
kept, which it brings forward and writes too, as every day does. The definition is loaded before, as a code location does.

The others are asked for less: the values at that day's orders alone, and they write nothing. DuckDB answers by window SQL over
the 31 days that hold every row that may count (`vs_duckdb`); over these days of the customers of the day alone, which
is right for this question and not for the rows of those whose orders leave a window; and over the whole year. polars
answers by its rolling groups over the year. Each runs in a process of its own, and its values are compared with ours.

Beside it stand ours with nothing kept, ours after two months instead of a year, which shows what history costs, and more days in a row,
which shows that memory stays what it is.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.report import save
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.declared_aggregates import aggregate_table
from mlops_assets.stages.tables import Table, build_partition
from resources.lake.lake import Lake

YEAR = Calendar(cadence="daily", start=date(2024, 1, 1), end=date(2025, 1, 1))
ORDERS_A_CUSTOMER = 50
MORE_DAYS = 10
RAW, VIEW = "shop/orders", "shop/features/customer"
FEATURES: dict[str, dict[str, str]] = {
    "bought_1d": {"count": "rows", "over": "1d"},
    "bought_7d": {"count": "rows", "over": "7d"},
    "bought_30d": {"count": "rows", "over": "30d"},
    "spent_7d": {"sum": "amount", "over": "7d"},
    "spent_30d": {"sum": "amount", "over": "30d"},
    "mean_30d": {"mean": "amount", "over": "30d"},
    "least_7d": {"min": "amount", "over": "7d"},
    "most_30d": {"max": "amount", "over": "30d"},
    "large_30d": {"count": "rows", "over": "30d", "where": "amount > 100"},
}
SPEC = TableSpec.model_validate(
    {
        "name": "orders",
        "source": {"kind": "parquet", "path": "orders.parquet"},
        "columns": {
            "order_id": "int",
            "customer": "int",
            "bought_at": "datetime",
            "amount": "float",
            "shop": "str",
        },
        "key": ["order_id"],
        "time": "bought_at",
        "aggregates": {"customer": {"key": ["customer"], "features": FEATURES}},
    }
)
LAST = YEAR.names()[-1]
RUNNING = f"{VIEW}/running"
SINCE = f"bought_at >= TIMESTAMPTZ '{YEAR.partition(LAST).start - timedelta(days=30)}'"
EARLY = "2024-03-02"
OURS, SOON, ANEW = (
    "ours, a day after a year",
    "ours, a day after two months",
    "ours, a day with nothing kept",
)
DAYS = f"ours, {MORE_DAYS} more days"
DUCKDB_CUT, DUCKDB_OWN, DUCKDB, POLARS = (
    "DuckDB, 31 days",
    "DuckDB, 31 days of the day's customers",
    "DuckDB, the year",
    "polars, the year",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="orders of the year")
    parser.add_argument(
        "--repeats", type=int, default=3, help="times that each is done, of which the least counts"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aggregates-bench-") as folder:
        figures = measure(Path(folder), options.rows, options.repeats)
    print(f"{'':<40}{'CPU s':>9}{'seconds':>9}{'peak MiB':>10}")
    for name, one in figures.items():
        print(f"{name:<40}{one['cpu seconds']:>9.2f}{one['seconds']:>9.2f}{one['peak MiB']:>10.0f}")
    ours = figures[OURS]["cpu seconds"]
    ratios = {
        "vs_duckdb": figures[DUCKDB_CUT]["cpu seconds"] / ours,
        "vs_duckdb_of_the_days_customers": figures[DUCKDB_OWN]["cpu seconds"] / ours,
        "vs_duckdb_year": figures[DUCKDB]["cpu seconds"] / ours,
        "vs_polars_year": figures[POLARS]["cpu seconds"] / ours,
        "after_two_months_vs_a_year": figures[SOON]["cpu seconds"] / ours,
    }
    print(
        save(
            "aggregates",
            figures | {"rows": options.rows},
            {name: round(one, 2) for name, one in ratios.items()},
        )
    )


def measure(folder: Path, rows: int, repeats: int) -> dict[str, dict[str, float]]:
    """CPU seconds, seconds and peak memory of each, after its values were compared with ours."""
    _apart(write_year, folder, rows)
    _apart(early_before, folder, rows)
    _apart(day_before, folder, rows)
    figures: dict[str, dict[str, float]] = {}
    for name, work in CONTENDERS.items():
        found = []
        for _ in range(1 if name in (POLARS, DAYS, ANEW) else repeats):
            forget(folder, "" if name in (ANEW, DAYS) else f"{EARLY if name == SOON else LAST}.")
            found.append(_apart(work, folder, rows))
        if name in (ANEW, DAYS):
            _apart(day_before, folder, rows)
        figures[name] = {key: min(one[key] for one in found) for key in found[0]}
        print(f"{name}: {figures[name]}", flush=True)
    return figures


def write_year(folder: Path, rows: int) -> None:
    """The orders, a day a partition."""
    rng, lake = np.random.default_rng(0), Lake(root=str(folder))
    names = YEAR.names()
    for number, name in enumerate(names):
        many = rows * (number + 1) // len(names) - rows * number // len(names)
        start, first = YEAR.partition(name).start, rows * number // len(names)
        micros = np.sort(rng.integers(0, 86_400_000_000, many)) + int(start.timestamp()) * 1_000_000
        frame = pl.DataFrame(
            {
                "order_id": np.arange(first, first + many),
                "customer": rng.integers(0, max(rows // ORDERS_A_CUSTOMER, 1), many),
                "bought_at": pl.Series(micros).cast(pl.Datetime("us", "UTC")),
                "amount": rng.lognormal(4, 1, many).round(2),
                "shop": pl.Series(rng.integers(0, 40, many)).cast(pl.String),
            }
        )
        lake.write(RAW, frame, name)


def day_before(folder: Path, rows: int) -> None:
    """The day before the newest, which keeps what the newest goes on from."""
    _build(folder, YEAR.back(LAST, 1)[0])


def early_before(folder: Path, rows: int) -> None:
    """The same before the day after two months."""
    _build(folder, YEAR.back(EARLY, 1)[0])


def forget(folder: Path, which: str) -> None:
    """Remove what is kept of the newest day, or of all, so that it is made in the time that is taken."""
    storage = Lake(root=str(folder)).storage
    for name in storage.below(RUNNING).names():
        if which in name:
            storage.delete(f"{RUNNING}/{name}")


def a_day(folder: Path, rows: int) -> None:
    """The newest day's partition of the feature table, as its asset makes it."""
    _build(folder, LAST)


def an_early_day(folder: Path, rows: int) -> None:
    """The same day's work where there are two months of history."""
    _build(folder, EARLY)


def more_days(folder: Path, rows: int) -> None:
    """So many days before the newest, one after the other: memory stays what it is for one."""
    for name in YEAR.back(LAST, MORE_DAYS)[:-1]:
        _build(folder, name)


def _build(folder: Path, name: str) -> None:
    found, written = build_partition(Lake(root=str(folder)), defined(), name)
    assert written, found


@cache
def defined() -> Table:
    """The feature table, its code looked at, as when a code location loads."""
    table = aggregate_table(SPEC, "customer", "shop", YEAR)
    assert table.code_version
    return table


def duckdb_year(folder: Path, rows: int) -> None:
    """Window SQL over the history."""
    _duckdb(folder, "true")


def duckdb_month(folder: Path, rows: int) -> None:
    """Window SQL over the days that the longest window needs."""
    _duckdb(folder, SINCE)


def duckdb_own(folder: Path, rows: int) -> None:
    """The same over the rows of those customers alone who ordered on the day."""
    today = f"SELECT customer FROM '{folder / RAW}/{LAST}.parquet'"
    _duckdb(folder, f"{SINCE} AND customer IN ({today})")


def _duckdb(folder: Path, rows: str) -> None:
    import duckdb

    said = {
        "count": "count(*)",
        "sum": "sum(amount)",
        "mean": "avg(amount)",
        "min": "min(amount)",
        "max": "max(amount)",
    }
    columns = []
    for name, one in FEATURES.items():
        word = next(word for word in said if word in one)
        kept = f" FILTER (WHERE {one['where']})" if "where" in one else ""
        columns.append(f"{said[word]}{kept} OVER w{one['over']} AS {name}")
    windows = ", ".join(
        f"w{days}d AS (PARTITION BY customer ORDER BY bought_at RANGE BETWEEN INTERVAL {days} DAY - INTERVAL 1 MICROSECOND "
        "PRECEDING AND CURRENT ROW)"
        for days in (1, 7, 30)
    )
    with duckdb.connect(config={"temp_directory": str(folder / "spill")}) as connection:
        connection.sql("SET TimeZone='UTC'")
        found = connection.sql(
            f"SELECT * FROM (SELECT customer, bought_at, {', '.join(columns)} FROM '{folder / RAW}/*.parquet' WHERE {rows} "
            f"WINDOW {windows}) WHERE bought_at >= TIMESTAMPTZ '{YEAR.partition(LAST).start}'"
        ).pl()
    _compare(folder, found)


def polars_year(folder: Path, rows: int) -> None:
    """A rolling group for each window over the history: `rolling` is `group_by_dynamic` with a window at every row."""
    made = {
        "count": lambda kept: kept.len(),
        "sum": lambda kept: kept.sum(),
        "mean": lambda kept: kept.mean(),
        "min": lambda kept: kept.min(),
        "max": lambda kept: kept.max(),
    }
    orders = pl.scan_parquet(f"{folder / RAW}/*.parquet").select("customer", "bought_at", "amount")
    found = None
    for over in ("1d", "7d", "30d"):
        wanted = [
            made[word](
                pl.col("amount").filter(pl.col("amount") > 100) if "where" in one else pl.col("amount")
            ).alias(name)
            for name, one in FEATURES.items()
            for word in made
            if word in one and one["over"] == over
        ]
        sorted_ = (
            orders.sort("customer", "bought_at")
            .rolling("bought_at", period=over, group_by="customer")
            .agg(wanted)
        )
        part = sorted_.filter(pl.col("bought_at") >= YEAR.partition(LAST).start).collect()
        found = part if found is None else found.hstack(part.select(pl.exclude("customer", "bought_at")))
    assert found is not None
    _compare(folder, found)


def _compare(folder: Path, found: pl.DataFrame) -> None:
    """Raise where a value is not ours at the same moment."""
    moments = found.select("customer", pl.col("bought_at").cast(pl.Datetime("us", "UTC")), *FEATURES)
    ours = Lake(root=str(folder)).read(VIEW, [LAST])
    both = moments.join(
        ours, left_on=["customer", "bought_at"], right_on=["customer", "event_timestamp"], suffix="_ours"
    )
    assert both.height == moments.height > 0, (both.height, moments.height)
    for name in FEATURES:
        apart = (both[name].cast(pl.Float64) - both[f"{name}_ours"].cast(pl.Float64)).abs()
        assert (apart <= both[name].cast(pl.Float64).abs() * 1e-6).all(), name


CONTENDERS: dict[str, Callable[[Path, int], None]] = {
    OURS: a_day,
    SOON: an_early_day,
    ANEW: a_day,
    DAYS: more_days,
    DUCKDB_CUT: duckdb_month,
    DUCKDB_OWN: duckdb_own,
    DUCKDB: duckdb_year,
    POLARS: polars_year,
}


def _apart(work: Callable[[Path, int], None], folder: Path, rows: int) -> dict[str, float]:
    """What some work costs in a process of its own, its imports not counted."""
    context = multiprocessing.get_context("spawn")
    ends: Any = context.Queue()
    process = context.Process(target=_timed, args=(work, folder, rows, ends))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{work.__name__} ended with {process.exitcode}")
    return ends.get()


def _timed(work: Callable[[Path, int], None], folder: Path, rows: int, ends: Any) -> None:
    import duckdb  # noqa: F401

    defined()
    wall, cpu = time.perf_counter(), time.process_time()
    work(folder, rows)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    ends.put(
        {
            "seconds": time.perf_counter() - wall,
            "cpu seconds": time.process_time() - cpu,
            "peak MiB": usage.ru_maxrss / 1024,
        }
    )


if __name__ == "__main__":
    main()
