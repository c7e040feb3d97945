"""False alarms and delays of the drift alarm on the flights' own days, beside what others' defaults say of the very same partitions.

Stationary weeks are made of the own days of the first twelve weeks, drawn in blocks of two weeks, with a noise that remembers
the day before (AR(1)) added to every reading of the chart: nothing changes but what varies from day to day. The same with
days of half a year, where winter and summer follow each other every fortnight, is told apart: more than a history of twelve weeks can know. For each
history a threshold is calibrated, and the weeks after it are watched; of all weeks the alarms are counted. The 95% bound
is over histories, of which each has alarms of its own luck. Then a shift is planted, and the weeks until it is found are counted.

Beside it: Evidently's default (a data set has drifted where half of the columns have; `benchmarks.drift` shows that our
distances are its own), a single column by the same limits, and the method of alibi-detect's TabularDrift (tests by column,
Kolmogorov-Smirnov and chi-square, at 0.05 by Bonferroni; its package asks for NumPy below 2). NannyML is run where an interpreter that
has it is named (`--nannyml`). These look at one week at a time, so a false alarm of theirs is a week that they call drifted.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.report import save
from mlops_assets.ml.monitoring.alarms import watched
from mlops_assets.ml.monitoring.comparison import compare
from mlops_assets.ml.monitoring.drift import reference_profile
from mlops_assets.ml.monitoring.readings import Readings, ratio, readings
from mlops_assets.ml.monitoring.reference_summary import Summary, summarize
from mlops_assets.ml.monitoring.run_length import Calibration, calibrated

NUMBERS = (
    "hour",
    "distance",
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
    "dep_delay",
)
NAMED = ("carrier", "origin")
EVERY, EFFECT, HISTORY, BLOCK, DAYS = 52, 0.05, 12, 14, 84
REMEMBERS, NOISE = 0.7, 0.01
"""The noise's share of the day before, and its standard deviation, on the readings' scale."""
LIMIT, SHARE = 0.1, 0.5
"""Evidently's: a column has drifted at this distance, a data set where this share of its columns has."""
NANNYML = """
import sys, nannyml, polars
reference, *weeks = (polars.read_parquet(path).to_pandas() for path in sys.argv[1:])
for week in weeks:
    drift = nannyml.UnivariateDriftCalculator(column_names=list(reference), chunk_size=len(week)).fit(reference)
    told = drift.calculate(week).filter(period="analysis").to_df()
    print("told", int(any(told[name].iloc[-1] for name in told.columns if name[-1] == "alert")))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer histories, under a minute")
    parser.add_argument("--nannyml", help="an interpreter of an environment of its own that has nannyml")
    options = parser.parse_args()
    histories, weeks, rows_of = (16, 104, 2) if options.quick else (60, 208, 10)
    half_a_year = flights(182)
    days = half_a_year[:DAYS]
    figures: dict[str, Any] = {
        "stationary": stationary(days, histories, weeks),
        "stationary, half a year": stationary(half_a_year, histories, weeks),
    }
    figures["stationary, others"] = others(days, rows_of, 12, None, options.nannyml)
    for name, plant in PLANTS.items():
        figures[name] = {
            "ours": delays(days, plant, histories // 4),
            **others(days, rows_of, 8, plant, options.nannyml),
        }
    for name, figure in figures.items():
        print(f"{name:<24} {figure}")
    rates = figures["stationary"]
    ratios = {
        "stated_vs_measured_rate": round(rates["stated"] / max(rates["false alarms a week"], 1e-9), 2),
        "evidently_vs_our_false_alarms": _times(
            figures["stationary, others"]["evidently, any column"], rates
        ),
        "alibi_vs_our_false_alarms": _times(figures["stationary, others"]["alibi-detect's method"], rates),
    }
    print(save("alarms", figures, ratios))


def _times(share: float, rates: dict[str, float]) -> float:
    return round(share / max(rates["false alarms a week"], 1e-9), 1)


def flights(count: int = DAYS) -> list[pl.DataFrame]:
    """The flights of each of the first days with the weather of their hour."""
    from mlops_assets.use_cases.flights.ingest import tables

    known = tables()
    local = pl.col("scheduled_departure").dt.convert_time_zone("America/New_York")
    weather = known.weather.drop("known_at")
    timed = known.flights.with_columns(
        time_hour=pl.col("scheduled_departure").dt.truncate("1h"),
        day=local.dt.date(),
        hour=local.dt.hour().cast(pl.Float64),
        distance=pl.col("distance").cast(pl.Float64),
        dep_delay=pl.col("dep_delay").cast(pl.Float64),
    )
    rows = timed.join(weather, on=["origin", "time_hour"], how="left").select("day", *NUMBERS, *NAMED)
    first = date(2013, 1, 1)
    return [rows.filter(pl.col("day") == first + timedelta(days=day)) for day in range(count)]


def drawn(days: Sequence[pl.DataFrame], count: int, random: np.random.Generator) -> list[int]:
    """`count` days in blocks of BLOCK, each beginning anywhere."""
    starts = random.integers(0, len(days) - BLOCK + 1, -(-count // BLOCK))
    return [int(start) + step for start in starts for step in range(BLOCK)][:count]


def weekly(pool: Readings, days: Sequence[int], random: np.random.Generator) -> Iterator[Readings]:
    """The readings of drawn days by week, with noise that remembers the day before."""
    noise = np.zeros(len(pool.names))
    scale = NOISE * np.sqrt(1 - REMEMBERS**2)
    for start in range(0, len(days) - 6, 7):
        some = list(days[start : start + 7])
        added = []
        for _ in some:
            noise = REMEMBERS * noise + scale * random.normal(size=len(noise))
            added.append(noise)
        yield Readings(pool.names, pool.sums[some] + np.array(added) * pool.counts[some], pool.counts[some])


def pooled(days: Sequence[pl.DataFrame]) -> Readings:
    """The readings of all days, by a profile of all of them."""
    whole = pl.concat(days)
    profile = reference_profile(whole, [*NUMBERS, *NAMED], NAMED)
    return readings(profile, whole, whole["day"])


def stationary(days: Sequence[pl.DataFrame], histories: int, weeks: int) -> dict[str, float]:
    """Alarms a week where nothing changes, by history, with the 95% bound of their mean."""
    pool, shares = pooled(days), []
    for seed in range(histories):
        random = np.random.default_rng(seed)
        before = list(weekly(pool, drawn(days, 7 * HISTORY, random), random))
        known = calibrated(Readings.joined(before), len(before), 7.0, EVERY, EFFECT, seed)
        after = weekly(pool, drawn(days, 7 * weeks, random), random)
        shares.append(np.mean([one.alarm for one in outcomes(known, after)]))
    error = float(np.std(shares, ddof=1) / np.sqrt(histories))
    mean = float(np.mean(shares))
    return {
        "weeks": float(histories * weeks),
        "stated": 1 / EVERY,
        "false alarms a week": mean,
        "at most, 95%": mean + 1.645 * error,
        "at least, 95%": max(0.0, mean - 1.645 * error),
    }


def outcomes(known: Calibration, weeks: Iterator[Readings]) -> list[Any]:
    """What the chart says of each week."""
    values = np.array([ratio(week.sums.sum(axis=0), week.counts.sum(axis=0)) for week in weeks])
    return watched(values, known.means, known.deviations, EFFECT, known.threshold)


def later(rows: pl.DataFrame) -> pl.DataFrame:
    """Departures are a third of a deviation later."""
    return rows.with_columns(pl.col("dep_delay") + 13.0)


def other_carriers(rows: pl.DataFrame) -> pl.DataFrame:
    """Of the flights of one carrier two thirds are another's."""
    moved = (pl.col("carrier") == "UA") & (pl.int_range(pl.len()) % 3 > 0)
    return rows.with_columns(pl.when(moved).then(pl.lit("DL")).otherwise("carrier").alias("carrier"))


def gone(rows: pl.DataFrame) -> pl.DataFrame:
    """Every eighth value of the wind is missing."""
    return rows.with_columns(pl.when(pl.int_range(pl.len()) % 8 > 0).then("wind_speed"))


def one_slice(rows: pl.DataFrame) -> pl.DataFrame:
    """At one of three airports departures are a deviation later."""
    return rows.with_columns(pl.col("dep_delay") + 40.0 * (pl.col("origin") == "LGA"))


PLANTS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "a mean moves": later,
    "a category's share moves": other_carriers,
    "values go missing": gone,
    "one slice moves": one_slice,
}


def delays(
    days: Sequence[pl.DataFrame], plant: Callable[[pl.DataFrame], pl.DataFrame], times: int
) -> dict[str, float]:
    """Weeks until a planted shift is found: the mean, the longest, and the share found within a year; of those not found, 52."""
    whole = pl.concat(days)
    profile = reference_profile(whole, [*NUMBERS, *NAMED], NAMED)
    pool, moved = (readings(profile, rows, rows["day"]) for rows in (whole, pl.concat(map(plant, days))))
    found = []
    for seed in range(times):
        random = np.random.default_rng(1000 + seed)
        before = list(weekly(pool, drawn(days, 7 * HISTORY, random), random))
        known = calibrated(Readings.joined(before), len(before), 7.0, EVERY, EFFECT, seed)
        said = outcomes(known, weekly(moved, drawn(days, 7 * 52, random), random))
        found.append(next((week for week, one in enumerate(said, 1) if one.alarm), 53))
    return {
        "weeks to alarm": float(np.mean(np.minimum(found, 52))),
        "longest": float(max(found)),
        "found": float(np.mean(np.array(found) < 53)),
    }


def others(
    days: Sequence[pl.DataFrame], histories: int, weeks: int, plant: Any, nannyml: str | None
) -> dict[str, Any]:
    """Share of the weeks that other tools' defaults call drifted, each week by itself."""
    told: dict[str, list[bool]] = {
        "evidently, data set": [],
        "evidently, any column": [],
        "alibi-detect's method": [],
    }
    theirs: list[bool] = []
    for seed in range(histories):
        random = np.random.default_rng(2000 + seed)
        before = pl.concat([days[day] for day in drawn(days, 7 * HISTORY, random)]).drop("day")
        summary, seen = summarize(before, [*NUMBERS, *NAMED], NAMED), list[pl.DataFrame]()
        for _ in range(weeks):
            rows = pl.concat([days[day] for day in drawn(days, 7, random)]).drop("day")
            rows = plant(rows) if plant else rows
            moved = evidently_columns(summary, rows)
            told["evidently, data set"].append(bool(np.mean(moved) >= SHARE))
            told["evidently, any column"].append(any(moved))
            told["alibi-detect's method"].append(by_tests(before, rows))
            seen.append(rows)
        if nannyml and not theirs:
            theirs = by_nannyml(nannyml, before, seen)
    shares: dict[str, Any] = {name: float(np.mean(each)) for name, each in told.items()}
    why = "skipped: no interpreter with nannyml was named (pip install nannyml into an environment of its own; it asks for lightgbm<4.6)"
    return {**shares, "nannyml, any column": float(np.mean(theirs)) if theirs else why}


def evidently_columns(summary: Summary, rows: pl.DataFrame) -> list[bool]:
    """Which columns have drifted by Evidently's defaults for over 1,000 rows."""
    compared = compare(summary, rows)
    distances = zip(compared["column"], compared["wasserstein"], compared["jensen_shannon"], strict=True)
    return [(shannon if name in NAMED else moved) >= LIMIT for name, moved, shannon in distances]


def by_tests(before: pl.DataFrame, rows: pl.DataFrame) -> bool:
    """Whether any column's test is significant at 0.05 divided by their number."""
    from scipy import stats

    p: list[Any] = []
    for name in NUMBERS:
        first, second = (side[name].drop_nulls().to_numpy() for side in (before, rows))
        p.append(tuple(stats.ks_2samp(first, second))[1])
    for name in NAMED:
        values = before[name].unique().sort()
        table = np.array([[int((side[name] == value).sum()) for value in values] for side in (before, rows)])
        p.append(stats.chi2_contingency(table[:, table.sum(axis=0) > 0], correction=False)[1])
    return min(p) < 0.05 / len(p)


def by_nannyml(interpreter: str, before: pl.DataFrame, weeks: Sequence[pl.DataFrame]) -> list[bool]:
    """Of each week whether NannyML's default alerts for any column, asked of its own interpreter."""
    with tempfile.TemporaryDirectory(prefix="alarms-bench-") as folder:
        paths = [Path(folder, f"{number}.parquet") for number in range(len(weeks) + 1)]
        for path, side in zip(paths, (before, *weeks), strict=True):
            side.write_parquet(path)
        command = [interpreter, "-c", NANNYML, *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.endswith("1") for line in done.stdout.splitlines() if line.startswith("told ")]


if __name__ == "__main__":
    from benchmarks import alarms

    alarms.main()
