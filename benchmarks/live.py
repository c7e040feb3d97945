"""How long it takes from a partition's landing until the champion that was trained on it answers, by stage, sensor intervals included.

`mlops live` on the worked example, with its full data, from a partition at whose end a model is trained: each life is a
state of its own with the servers of `mlops dev`. Times are those of Dagster's runs, of the audit log, and of what the
endpoint says once a second. A partition that brings no promotion is reported on and counts up to there.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.online_setup import free_port
from benchmarks.report import save
from mlops_assets.live.journal import read_events
from resources.settings import PROJECT_ROOT

FIRST, PARTITIONS, GOAL_S = "2013-04-08", 6, 60.0
"""Of these six the second and the last bring a new champion. The first is not counted: with it the servers load their code."""

JOBS = {
    "ingest": "ingest_flights",
    "score and report": "flight_delay_partition",
    "train and judge": "flight_delay_retrain",
}
PORTS = ("MLOPS_DAGSTER_PORT", "MLOPS_MLFLOW_PORT", "MLOPS_SERVE_PORT")
Stages = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="first", default=FIRST, help="the first partition that is lived")
    parser.add_argument("--partitions", type=int, default=PARTITIONS, help="how many are lived")
    parser.add_argument(
        "--events", type=Path, help="the state of a life that was lived, instead of another one"
    )
    options = parser.parse_args()
    if options.events:
        events = read_events(options.events)
    else:
        with tempfile.TemporaryDirectory(prefix="live-") as folder:
            events = lived(Path(folder), options.first, options.partitions)
    figures = figures_of(events)
    print(table(figures))
    print(save("live", figures, ratios(figures)))


def lived(home: Path, first: str, partitions: int) -> list[dict[str, Any]]:
    """The events of a life on an empty state."""
    ports = {name: str(free_port()) for name in PORTS}
    kept = {
        k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI", "MLOPS_DATA")
    }
    command = [
        "-m",
        "mlops_assets.cli",
        "live",
        "--from",
        first,
        "--partitions",
        str(partitions),
        "--every",
        "5",
    ]
    environment = {**kept, **ports, "MLOPS_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run([sys.executable, "-W", "ignore", *command], env=environment, cwd=PROJECT_ROOT)
    if done.returncode:
        raise SystemExit(f"the life ended with {done.returncode}")
    return read_events(home / "live")


def figures_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """By partition the seconds of each stage, and over all of them the median and the longest to a new champion and to a report."""
    _, *partitions = [one["partition"] for one in events if one["kind"] == "landed"]
    stages = {name: stages_of(events, name) for name in partitions}
    promoted = [sum(one.values()) for one in stages.values() if "endpoint takes it up" in one]
    reported = [sum(v for k, v in one.items() if k in REPORTED) for one in stages.values()]
    speeds = [one["speed"] for one in events if one["kind"] == "speed"]
    return {
        "by_partition": {
            name: {stage: round(s, 2) for stage, s in one.items()} for name, one in stages.items()
        },
        "to_a_new_champion_s": {"each": [round(s, 1) for s in promoted], **_summary(promoted)},
        "to_a_report_s": _summary(reported),
        "times_as_fast_as_a_clock": round(speeds[-1]) if speeds else None,
        "goal_s": GOAL_S,
    }


STAGES = [*(f"{what}{job}" for job in JOBS for what in ("wait for ", "start ", "")), "endpoint takes it up"]
"""In the order in which a partition goes through them."""

REPORTED = STAGES[: STAGES.index("score and report") + 1]


def stages_of(events: list[dict[str, Any]], name: str) -> Stages:
    """The stages that a partition went through, in order: for each run until it was asked for, until it began, and its own time."""
    began = at = landed = next(
        _moment(one) for one in events if one["kind"] == "landed" and one["partition"] == name
    )
    stages: Stages = {}
    for stage, job in JOBS.items():
        run = next(
            (
                one
                for one in events
                if one["kind"] == "run"
                and one["partition"] == name
                and one["job"] == job
                and one["created"] >= landed
            ),
            None,
        )
        if run is None:
            return stages
        stages |= {
            f"wait for {stage}": run["created"] - at,
            f"start {stage}": run["started"] - run["created"],
            stage: run["finished"] - run["started"],
        }
        at, began = run["finished"], run["started"]
    champion = next(
        (one for one in events if one["kind"] == "promoted" and began <= one["recorded"] <= at), None
    )
    if champion is None:
        return stages
    version = str(champion["version"])
    answer = next(one for one in events if one["kind"] == "answers" and one["version"] == version)
    stages["train and judge"] = champion["recorded"] - began
    stages["endpoint takes it up"] = _moment(answer) - champion["recorded"]
    return stages


def _moment(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


def _summary(seconds: list[float]) -> dict[str, float | None]:
    if not seconds:
        return {"median": None, "longest": None}
    return {"median": round(statistics.median(seconds), 1), "longest": round(max(seconds), 1)}


def table(figures: dict[str, Any]) -> str:
    """A line for each stage, a column for each partition that was lived."""
    partitions = figures["by_partition"]
    stages = [stage for stage in STAGES if any(stage in one for one in partitions.values())]
    lines = [
        f"{stage:<28}" + "".join(_cell(one.get(stage)) for one in partitions.values()) for stage in stages
    ]
    return "\n".join(
        [
            f"{'seconds':<28}" + "".join(f"{name:>12}" for name in partitions),
            *lines,
            f"{'all':<28}" + "".join(_cell(sum(one.values())) for one in partitions.values()),
            "",
            f"to a new champion that answers: {_seconds(figures['to_a_new_champion_s'])}, goal under {GOAL_S:.0f} s",
            f"to a report: {_seconds(figures['to_a_report_s'])}",
        ]
    )


def _cell(seconds: float | None) -> str:
    return f"{'-' if seconds is None else f'{seconds:.1f}':>12}"


def _seconds(summary: dict[str, Any]) -> str:
    if summary["median"] is None:
        return "none"
    return f"{summary['median']:.1f} s in the middle, {summary['longest']:.1f} s at the longest"


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """The longest time to a new champion, to the goal."""
    longest = figures["to_a_new_champion_s"]["longest"]
    return {"longest_to_goal": round(longest / GOAL_S, 3)} if longest else {}


if __name__ == "__main__":
    main()
