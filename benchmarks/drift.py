"""Every drift statistic of every column against Evidently's DataDriftPreset, in one run; with `--scan` over more rows than memory holds.

A million rows of 30 columns (numbers with ties, nulls and tails, a constant, flags, texts), of which some moved, against
as many of a reference. Evidently gets both sides as pandas frames that are ready; what is timed is its run, without a
page. Ours gets the reference's summary as it lies in a life, in bytes, and the current rows; making the summary is timed
apart. Both take turns, ours first and last. That both speak of the same thing is shown by the largest difference of what both report.
"""

import argparse
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.report import save
from mlops_assets.ml.monitoring.comparison import ROWS_AT_ONCE, compare, compare_scan
from mlops_assets.ml.monitoring.reference_summary import RANKS, Summary, summarize
from resources.settings import silence_usage_reports

ROWS, SCANNED = 1_000_000, 100_000_000
LIMIT_MIB = 2048
KINDS = {"normal": 6, "long": 4, "whole": 3, "few": 3, "gaps": 3, "flat": 1, "flag": 3, "text": 7}
TEXTS = (3, 5, 10, 30, 100, 300, 1000)
NAMES = [f"{kind}_{number}" for kind, count in KINDS.items() for number in range(count)]
NAMED = [name for name in NAMES if name.startswith(("flag", "text"))]
NUMBERS = [name for name in NAMES if name not in NAMED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of either side")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side")
    parser.add_argument("--scan", action="store_true", help="scan parquet files instead, without Evidently")
    parser.add_argument("--scanned", type=int, default=SCANNED, help="rows that --scan reads")
    options = parser.parse_args()
    silence_usage_reports()
    if options.scan:
        figures, ratios = scan(options.rows, options.scanned)
    else:
        figures, ratios = measure(options.rows, options.rounds)
    print(table(figures))
    print(save("drift_scan" if options.scan else "drift", figures, ratios))


def table(figures: dict[str, dict[str, float]]) -> str:
    """A line for each of what was measured."""
    return "\n".join(
        f"{name:<24} {', '.join(f'{key} {value:,.6g}' for key, value in figure.items())}"
        for name, figure in figures.items()
    )


def measure(rows: int, rounds: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Seconds of either side, how far what both report is apart, and how many times as long Evidently takes."""
    reference, current = (side(rows, seed, moved) for seed, moved in ((0, 0.0), (1, 0.3)))
    made: list[bytes] = []
    figures = {"our summary, once": timed(lambda: made.append(summarize(reference, NAMES, NAMED).to_bytes()))}
    figures["our summary, once"]["MiB"] = len(made[0]) / 2**20
    found: dict[str, Any] = {}
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in ("ours", "ours, in memory", "evidently")}
    theirs = evidently_run(reference, current)
    summary = Summary.from_bytes(made[0])
    works: dict[str, Callable[[], Any]] = {
        "ours": lambda: compare(Summary.from_bytes(made[0]), current),
        "ours, in memory": lambda: compare(summary, current),
        "evidently": theirs,
    }
    for name in [*(list(works) * rounds), "ours", "ours, in memory"]:
        turns[name].append(timed(lambda name=name: found.update({name: works[name]()})))
    figures |= {name: middle(each) for name, each in turns.items()}
    figures["largest difference"] = differences(found["ours"], found["evidently"])
    slow = figures["evidently"]["seconds"]
    ratios = {
        "vs_evidently": slow / figures["ours"]["seconds"],
        "vs_evidently_in_memory": slow / figures["ours, in memory"]["seconds"],
    }
    return figures, {name: round(ratio, 1) for name, ratio in ratios.items()}


def side(rows: int, seed: int, moved: float) -> pl.DataFrame:
    """Rows of either side; `moved` shifts every second column by so many deviations or shares."""
    draw = np.random.default_rng(seed)
    columns = {name: _column(draw, name, rows, moved * (place % 2)) for place, name in enumerate(NAMES)}
    return pl.DataFrame(columns)


def _column(draw: np.random.Generator, name: str, rows: int, moved: float) -> pl.Series:
    kind, number = name.split("_")
    if kind == "text":
        size = TEXTS[int(number)]
        places = np.minimum((draw.random(rows) ** (1 + moved) * size).astype(np.int64), size - 1)
        return pl.Series([f"value {place}" for place in range(size)]).gather(places)
    if kind == "flag":
        return pl.Series(draw.random(rows) < 0.3 + moved / 2)
    if kind == "flat":
        return pl.Series(np.ones(rows))
    values = draw.normal(moved, size=rows)
    if kind == "long":
        return pl.Series(np.exp(values))
    if kind in ("whole", "few"):
        return pl.Series(np.rint(values * (1000 if kind == "whole" else 3)).astype(np.int64))
    if kind == "gaps":
        return pl.Series(np.where(draw.random(rows) < 0.1, np.nan, values)).fill_nan(None)
    return pl.Series(values)


def evidently_run(reference: pl.DataFrame, current: pl.DataFrame) -> Callable[[], dict[str, float]]:
    """Evidently's preset over both sides: what runs it, and returns its score by column."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=NUMBERS, categorical_columns=NAMED)
    old, new = (_pandas(frame) for frame in (reference, current))

    def run() -> dict[str, float]:
        now, before = (Dataset.from_pandas(frame, definition) for frame in (new, old))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = Report([DataDriftPreset(columns=NAMES)]).run(now, before).dict()
        by_column = [one for one in told["metrics"] if "column" in one.get("config", {})]
        return {one["config"]["column"]: float(one["value"]) for one in by_column}

    return run


def _pandas(frame: pl.DataFrame) -> Any:
    return frame.with_columns(pl.col(c).cast(pl.String) for c in NAMED).to_pandas()


def differences(ours: pl.DataFrame, theirs: dict[str, float]) -> dict[str, float]:
    """The largest difference of the Wasserstein and of the Jensen-Shannon distances, and of how many columns."""
    mine = {row["column"]: row for row in ours.iter_rows(named=True)}
    apart = {
        "wasserstein": [abs(mine[c]["wasserstein"] - theirs[c]) for c in NUMBERS],
        "jensen_shannon": [abs(mine[c]["jensen_shannon"] - theirs[c]) for c in NAMED],
    }
    return {name: max(each) for name, each in apart.items()} | {"columns": float(len(theirs))}


def scan(rows: int, scanned: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Seconds and peak memory of a process that reads the rows from parquet, and the stated errors; ratios to the limit."""
    with tempfile.TemporaryDirectory(prefix="drift-bench-") as name:
        folder = Path(name)
        for start in range(0, scanned, ROWS_AT_ONCE):
            part = side(min(ROWS_AT_ONCE, scanned - start), 1 + start, 0.3)
            part.write_parquet(folder / f"{start:012d}.parquet", row_group_size=ROWS_AT_ONCE // 4)
        content = summarize(side(rows, 0, 0.0), NAMES, NAMED, exact_values=RANKS).to_bytes()
        stored = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
        with get_context("spawn").Pool(1) as alone:
            figure = alone.apply(scanned_by, (name, content))
    figures = {
        "scan": {"rows": float(scanned), "parquet MiB": stored, "summary MiB": len(content) / 2**20, **figure}
    }
    return figures, {"limit_vs_peak": round(LIMIT_MIB / figure["peak MiB"], 2)}


def scanned_by(folder: str, content: bytes) -> dict[str, float]:
    """What a process of its own needs for the scan, and the largest stated errors."""
    found: list[pl.DataFrame] = []
    rows = pl.scan_parquet(f"{folder}/*.parquet")
    figure = timed(lambda: found.append(compare_scan(Summary.from_bytes(content), rows)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    errors = {name: float(found[0][name].max()) for name in ("ks_error", "wasserstein_error")}  # type: ignore[arg-type]
    return {**figure, "peak MiB": peak, **errors}


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Wall and CPU seconds of some work."""
    started, before = time.perf_counter(), time.process_time()
    work()
    return {"seconds": time.perf_counter() - started, "cpu seconds": time.process_time() - before}


def middle(turns: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure over the turns."""
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}


if __name__ == "__main__":
    from benchmarks import drift

    drift.main()
