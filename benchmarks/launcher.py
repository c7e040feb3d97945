"""A job of three steps beside the project's own definitions: Dagster's launcher against the warm one.

The steps do nothing (`light`), or import what a step of the project that trains imports (`usual`).

Each launcher gets a `dagster dev` of its own and the same runs, one after the other, launched through GraphQL as the
page does. CPU-seconds are those of every process of that `dagster dev`, ended ones included, less what it uses when
nothing runs; wall-seconds are from the request to the end of the run. The first run, in which the warm server loads
the code, is counted apart.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.online_setup import free_port
from benchmarks.report import save
from mlops_assets.local.processes import Server, Supervisor
from mlops_assets.local.servers import DAGSTER_YAML
from resources.settings import PROJECT_ROOT

RUNS, IDLE_S = 5, 20
DEFAULT, WARM = "default", "warm"
LIGHT = """
import dagster as dg
import mlops_assets.definitions as project

@dg.op
def first() -> int:
    return 1

@dg.op
def second(one: int) -> int:
    return one

@dg.op
def third(one: int) -> None:
    return None

@dg.op
def imports() -> int:
    import evidently.presets, feast.on_demand_feature_view, mlflow.xgboost
    return 1

@dg.job(executor_def=dg.in_process_executor)
def light():
    third(second(first()))

@dg.job(executor_def=dg.in_process_executor)
def usual():
    third(second(imports()))

defs = dg.Definitions.merge(project.defs, dg.Definitions(jobs=[light, usual]))
"""
JOBS = ("light", "usual")

SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": "light"}
LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs that are counted, a launcher")
    options = parser.parse_args()
    figures = {name: measured(name, options.runs) for name in (DEFAULT, WARM)}
    print(table(figures))
    print(save("launcher", figures, ratios(figures)))


def measured(launcher: str, runs: int) -> dict[str, float]:
    """Of one launcher: idle CPU a second, the first run, and the median of those after it."""
    with dagster(launcher) as (address, process):
        idle = idle_cpu(process)
        first = one_run(address, process, idle, "light")
        later = {job: [one_run(address, process, idle, job) for _ in range(runs)] for job in JOBS}
    figures = {"first_cpu_s": round(first[0], 2), "first_wall_s": round(first[1], 2)}
    for job, found in later.items():
        figures[f"{job}_cpu_s"] = round(statistics.median(cpu for cpu, _ in found), 2)
        figures[f"{job}_wall_s"] = round(statistics.median(wall for _, wall in found), 2)
    return {**figures, "idle_cpu_a_second": round(idle, 3)}


@contextmanager
def dagster(launcher: str) -> Iterator[tuple[str, psutil.Process]]:
    """A `dagster dev` on an empty state, and its process."""
    with tempfile.TemporaryDirectory(prefix="launcher-") as folder:
        at, port = Path(folder), free_port()
        (at / "dagster").mkdir()
        instance = yaml.safe_load(DAGSTER_YAML.read_text())
        if launcher == DEFAULT:
            del instance["run_launcher"]
        (at / "dagster" / "dagster.yaml").write_text(json.dumps(instance))
        (at / "light.py").write_text(LIGHT)
        where = {"module_name": "light", "working_directory": folder, "location_name": "light"}
        (at / "workspace.yaml").write_text(json.dumps({"load_from": [{"python_module": where}]}))
        supervisor = Supervisor()
        supervisor.start(_server(at, port))
        address = f"http://127.0.0.1:{port}"
        try:
            _until(lambda: _answers(address), 300)
            yield address, psutil.Process(supervisor.servers["Dagster"][1].pid)
        finally:
            supervisor.stop()


def _server(at: Path, port: int) -> Server:
    address = f"http://127.0.0.1:{port}"
    command = ["-m", "dagster", "dev", "-w", str(at / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)]
    own = {
        "DAGSTER_HOME": str(at / "dagster"),
        "MLOPS_HOME": str(at),
        "PYTHONPATH": str(PROJECT_ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    kept = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | own
    return Server(
        *("Dagster", [sys.executable, *command], address, f"{address}/server_info", "", at / "dagster.log"),
        environment=kept,
        folder=PROJECT_ROOT,
        ends_on=signal.SIGINT,
    )


def idle_cpu(process: psutil.Process) -> float:
    """CPU-seconds a second of the whole family once it has settled."""
    time.sleep(IDLE_S)
    before, begun = cpu(process), time.monotonic()
    time.sleep(IDLE_S)
    return (cpu(process) - before) / (time.monotonic() - begun)


def one_run(address: str, process: psutil.Process, idle: float, job: str) -> tuple[float, float]:
    """CPU-seconds and wall-seconds of one run; the processes are given a moment to be collected."""
    before, begun = cpu(process), time.monotonic()
    told = asked(address, LAUNCH, p={"selector": SELECTOR | {"jobName": job}, "runConfigData": {}})
    if "run" not in told["launchRun"]:
        raise SystemExit(f"nothing was launched: {told}")
    run = told["launchRun"]["run"]["runId"]
    status = _until(lambda: _ended(address, run), 600)
    wall = time.monotonic() - begun
    if status != "SUCCESS":
        raise SystemExit(f"run {run} ended with {status}")
    time.sleep(3)
    return cpu(process) - before - idle * (time.monotonic() - begun), wall


def cpu(process: psutil.Process) -> float:
    """CPU-seconds of a process and its descendants: of those that ended, what their parents collected."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            total += sum(one.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def asked(address: str, query: str, **variables: Any) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as reply:
        return json.load(reply)["data"]


def _ended(address: str, run: str) -> str | None:
    status = asked(address, STATUS, run=run)["runOrError"]["status"]
    return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def _until(found: Any, seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > end:
            raise SystemExit(f"nothing came within {seconds} s")
        time.sleep(0.5)
    return value


def table(figures: dict[str, dict[str, float]]) -> str:
    """One line a figure, one column a launcher."""
    names = list(figures[WARM])
    head = f"{'':<20}" + "".join(f"{name:>10}" for name in figures)
    return "\n".join([head, *(f"{n:<20}" + "".join(f"{f[n]:>10}" for f in figures.values()) for n in names)])


def ratios(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """The warm launcher's to Dagster's own."""
    names = ("first_cpu_s", *(f"{job}_{what}" for job in JOBS for what in ("cpu_s", "wall_s")))
    return {name: round(figures[WARM][name] / figures[DEFAULT][name], 3) for name in names}


if __name__ == "__main__":
    main()
