"""The point-in-time join of this project's offline store beside Feast's own stores and a bare polars join.

Every contender is a process of its own that joins the same tables, after a first join of ten rows; all but the bare
one through `FeatureStore.get_historical_features(...).to_arrow()` with a pandas frame of entities. What is compared
is CPU time, user and system, of all threads; rounds are interleaved and the median counts. Peak memory is the
process's own, imports included. A sample of every answer is compared with brute force.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import save
from resources.settings import PROJECT_ROOT, settings, silence_usage_reports

OURS = "this store"
DUCKDB = "Feast duckdb"
DEFAULT = "Feast default"
ASOF = "polars join_asof"
PEERS = {"vs_polars_join_asof": ASOF, "vs_feast_duckdb": DUCKDB, "vs_feast_default": DEFAULT}
FLIGHTS = "flights"
ORDER = ("sorted", "unsorted", "t365", "5x", FLIGHTS)
LARGEST = ("peak_gb", "wrong_cells", "rows_lost")


@dataclass(frozen=True)
class Case:
    """Entity rows, timestamps an entity, the sources' layout, who takes part, and in how many rounds."""

    rows: int
    times: int
    layout: str
    contenders: tuple[str, ...]
    rounds: int


def cases(rows: int, quick: bool, with_default: bool, rounds: int = 5) -> dict[str, Case]:
    """The cases of a run by the ending of their ratios; Feast's default store takes part once, in one of them."""
    rounds = 1 if quick else rounds
    peers, few = (OURS, ASOF, DUCKDB), min(rounds, 3)
    default = (DEFAULT,) if with_default else ()
    found = {
        "": Case(rows, 24, "sorted", peers, rounds),
        "_unsorted": Case(rows, 24, "unsorted", (*peers, *default), rounds),
        "_t365": Case(rows, 365, "sorted", peers, few),
        "_5x": Case(5 * rows, 24, "sorted", (OURS, ASOF), few),
    }
    return {name: case for name, case in found.items() if not (quick and name == "_5x")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="entity rows")
    parser.add_argument("--rounds", type=int, default=5, help="at most so many times each; the largest three")
    parser.add_argument("--quick", action="store_true", help="one round, without the largest case")
    parser.add_argument(
        "--with-feast-default", action="store_true", help="Feast's default store too, once: it takes 15 GB"
    )
    parser.add_argument("--without-flights", action="store_true", help="leave out the flights' training set")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(child(json.loads(options.task))))
        return
    folder = Path(tempfile.mkdtemp(prefix="point-in-time-"))
    try:
        todo = cases(options.rows, options.quick, options.with_feast_default, options.rounds)
        # First, because it can fail: a state folder may be of another version.
        alone = {} if options.without_flights else {FLIGHTS: {OURS: flights(folder)}}
        figures = {name or "_sorted": measured(case, folder) for name, case in todo.items()} | alone
    finally:
        shutil.rmtree(folder)
    figures = {name.removeprefix("_"): figure for name, figure in figures.items()}
    print(table(figures))
    print(save("point_in_time", {"rows": options.rows, **figures}, ratios(figures)))


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """Figures by contender: medians of CPU and wall seconds, the largest memory, and what was wrong in the sample."""
    data = folder / f"{case.rows}-{case.times}"
    if not data.exists():
        run("benchmarks.point_in_time_data", str(data), str(case.rows), str(case.times))
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in case.contenders}
    for number in range(case.rounds):
        for name in case.contenders:
            if name != DEFAULT or number == 0:
                runs[name].append(one({"contender": name, "data": str(data), "layout": case.layout}))
    return {name: middle(several) for name, several in runs.items()}


def middle(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The medians of several runs, and the largest of what is a limit."""
    found = {
        key: max(r[key] for r in runs) if key in LARGEST else statistics.median(r[key] for r in runs)
        for key in runs[0]
    }
    return {key: round(value, 3) for key, value in found.items()} | {"rounds": len(runs)}


def one(task: dict[str, str]) -> dict[str, float]:
    """One contender in a process of its own."""
    figures = json.loads(run("benchmarks.point_in_time", "--task", json.dumps(task)).splitlines()[-1])
    print(f"{task.get('contender', FLIGHTS):<18}{task.get('layout', ''):<10}{figures}", flush=True)
    return figures


def run(module: str, *arguments: str) -> str:
    """A module of this package in a process of its own: its output, or an error with the end of what it said."""
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def child(task: dict[str, str]) -> Mapping[str, float]:
    """What such a process does."""
    silence_usage_reports()
    from benchmarks import point_in_time_contenders

    if FLIGHTS in task:
        return point_in_time_contenders.flights(Path(task[FLIGHTS]), Path(task["home"]))
    return point_in_time_contenders.timed(task["contender"], Path(task["data"]), task["layout"])


def flights(folder: Path) -> dict[str, float]:
    """The year's flights joined with every view at once, from the lake of the state folder or one made for this."""
    lake = Path(settings().lake)
    if len(list((lake / "flights" / "raw").glob("*.parquet"))) < 53:
        lake = folder / "lake"
        run("benchmarks.point_in_time_data", "--flights", str(lake))
    return middle([one({FLIGHTS: str(lake), "home": str(folder / f"home-{n}")}) for n in range(3)])


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """How many times this store's CPU each peer takes; names without an ending are those of the sorted layout.

    Feast's default store, which sorts for itself, is measured on the unsorted files and counts for both layouts.
    """
    found = {}
    default = figures.get("unsorted", {}).get(DEFAULT)
    for case, contenders in figures.items():
        ending = "" if case == "sorted" else f"_{case}"
        others = {DEFAULT: default, **contenders} if case == "sorted" else contenders
        for name, peer in PEERS.items():
            if others.get(peer):
                ours = contenders[OURS]["cpu_seconds"]
                found[name + ending] = round(others[peer]["cpu_seconds"] / ours, 2)
    return found


def table(figures: dict[str, Any]) -> str:
    """The figures as lines of text: CPU seconds, wall seconds and peak memory by case and contender."""
    lines = [f"{'case':<10}{'join':<18}{'rows':>9}{'CPU s':>9}{'wall s':>9}{'peak GB':>9}{'times':>8}"]
    for case in [case for case in ORDER if case in figures]:
        contenders = figures[case]
        ours = contenders[OURS]["cpu_seconds"]
        for name in [name for name in (OURS, *PEERS.values()) if name in contenders]:
            lines.append(f"{case:<10}{name:<18}{_line(contenders[name], ours)}".rstrip())
    return "\n".join(lines)


def _line(found: dict[str, float], ours: float) -> str:
    numbers = f"{found['cpu_seconds']:>9.2f}{found['wall_seconds']:>9.2f}{found['peak_gb']:>9.2f}"
    times = f"{found['cpu_seconds'] / ours:>8.1f}"
    wrong = [f"{found['rows_lost']:.0f} rows lost"] if found["rows_lost"] else []
    wrong += [f"{found['wrong_cells']:.0f} cells of the sample wrong"] if found["wrong_cells"] else []
    return f"{found['rows']:>9.0f}{numbers}{times}  {', '.join(wrong)}"


if __name__ == "__main__":
    main()
