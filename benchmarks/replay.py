"""The replay through Dagster beside a plain script that calls the same functions on the same data.

Both sides run as processes of their own, one after the other, from an empty state; what is compared is their CPU
time, user and system, children included. The script has no runs, no events, no asset checks in a database and no
sensors: it asks the same questions (which weeks to score, whether to retrain) of the same functions in a loop.
With `--against` the whole of `mlops run`, the comparison of policies included, is measured beside that of an earlier revision.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.replay_against import against, table_of
from benchmarks.report import save
from resources.settings import PROJECT_ROOT, settings, silence_usage_reports
from resources.systems import Systems

MODEL = "flight_delay"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--through", default="2013-12-30", metavar="WEEK", help="last week of the replay")
    parser.add_argument("--weeks", type=int, metavar="N", help="only the first N weeks, instead of --through")
    parser.add_argument(
        "--against", metavar="REVISION", help="the whole of `mlops run` beside that of a git revision instead"
    )
    parser.add_argument("--rounds", type=int, default=1, help="runs of each side, in turns, with --against")
    parser.add_argument("--script", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.weeks:
        options.through = last_of(options.weeks)
    if options.script:
        script(options.through)
    elif options.against:
        beside(options.against, options.through, options.rounds)
    else:
        beside_script(options.through)


def last_of(weeks: int) -> str:
    """The name of the last of the first so many weeks."""
    from mlops_assets.use_cases.flights.tables import WEEKS

    return WEEKS.names()[weeks - 1]


def beside(revision: str, through: str, rounds: int) -> None:
    """The whole of `mlops run` beside that of a revision."""
    figures, ratios = against(revision, through, rounds)
    print(table_of(figures, ratios["cpu_of_before"]))
    print(save("replay_against", figures, ratios))


def beside_script(through: str) -> None:
    """The replay of one model beside the plain script."""
    sides = {
        "dagster": ["-m", "mlops_assets.cli", "run", "--no-compare", "--no-second-model"],
        "script": ["-m", "benchmarks.replay", "--script"],
    }
    figures = {name: measured([*command, "--through", through]) for name, command in sides.items()}
    ratio = figures["dagster"]["cpu_seconds"] / figures["script"]["cpu_seconds"]
    print(f"\n{'stage':<28}{'CPU s, script':>14}")
    for stage, spent in sorted(figures["script"]["stages"].items(), key=lambda pair: -pair[1]):
        print(f"{stage:<28}{spent:>14.1f}")
    for name, figure in figures.items():
        print(f"{name:<10} {figure['cpu_seconds']:.1f} CPU-s, {figure['wall_seconds']:.1f} s wall")
    print(f"through Dagster against the script: {ratio:.2f}")
    print(save("replay", {**figures, "through": through}, {"vs_script": round(ratio, 3)}))


def measured(command: list[str]) -> dict[str, Any]:
    """CPU and wall seconds of one side from an empty state, and the stages it reports."""
    home = Path(tempfile.mkdtemp(prefix="replay-bench-"))
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *command], check=True, cwd=PROJECT_ROOT, env={**os.environ, "MLOPS_HOME": str(home)}
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    stages = home / "stages.json"
    found = {
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "wall_seconds": round(wall, 1),
        "stages": json.loads(stages.read_text()) if stages.exists() else {},
    }
    shutil.rmtree(home)
    return found


class Stages(defaultdict[str, float]):
    """CPU seconds by stage."""

    def __init__(self) -> None:
        super().__init__(float)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self[name] += time.process_time() - started


def script(through: str) -> None:
    """The year as somebody would write it without Dagster."""
    silence_usage_reports()
    stages = Stages()
    with stages.of("imports"):
        from mlops_assets.definitions import specs
        from mlops_assets.stages.online import bring_online
        from mlops_assets.use_cases.flights.schema import FEATURES
        from mlops_assets.use_cases.flights.tables import USE_CASE, WEEKS
        from resources.local import local_resources

    spec, parts = specs()[MODEL], local_resources(settings())
    lake, store = parts["lake"], parts["feature_store"].of("flights")
    for week in [name for name in WEEKS.names() if name <= through]:
        with stages.of("ingest and feature tables"):
            tables(lake, week)
        with stages.of("registry and online store"):
            store.apply()
            bring_online(USE_CASE, WEEKS, list(FEATURES), lake, store, [week])
        report(spec, parts, week, stages)
        retrain(spec, parts, stages)
    (settings().home / "stages.json").write_text(json.dumps(stages))


def tables(lake: Any, week: str) -> None:
    """Raw tables and feature tables of one week, examined and written."""
    from mlops_assets.stages.tables import build_partition
    from mlops_assets.use_cases.flights.tables import all_tables

    for table in all_tables():
        build_partition(lake, table, week)


def report(spec: Any, parts: dict[str, Any], week: str, stages: Stages) -> None:
    """Join, score and report on one week."""
    from mlops_assets.stages.reporting import write_drift, write_performance
    from mlops_assets.stages.scoring import score_partition
    from mlops_assets.stages.training_set import join_partition

    lake = parts["lake"]
    steps: dict[str, Callable[[], Any]] = {
        "join": lambda: join_partition(spec, lake, parts["feature_store"].of("flights"), week),
        "score": lambda: score_partition(spec, lake, parts["tracking"], week),
        "performance": lambda: write_performance(spec, lake, week),
        "drift": lambda: write_drift(spec, lake, week),
    }
    for name, step in steps.items():
        with stages.of(name):
            step()


def retrain(spec: Any, parts: dict[str, Any], stages: Stages) -> None:
    """Ask the policy; train, judge and deploy where it says so."""
    from mlops_assets.automation.sensors import decision_now
    from mlops_assets.promotion.records import record_evaluated, record_trained
    from mlops_assets.stages.deploying import deploy
    from mlops_assets.stages.judging import judge_challenger
    from mlops_assets.stages.training import train_challenger

    systems, audit = Systems.of(parts), parts["audit"]
    _, decision = decision_now(spec, systems.lake)
    if not decision.retrain:
        return
    with stages.of("train"):
        version, _, data = train_challenger(spec, systems, {})
        record_trained(audit, spec, version, data.hashes, data.now)
    with stages.of("judge"):
        judged = judge_challenger(spec, systems, {"reason": decision.reason, "trigger": decision.trigger})
        record_evaluated(audit, spec, judged.attempt, {})
    if judged.verdict.promote:
        with stages.of("refit and deploy"):
            deploy(spec, systems, {})


if __name__ == "__main__":
    main()
