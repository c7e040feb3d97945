"""One prediction over HTTP: the endpoint, FastAPI, MLflow and BentoML around the bare booster, and the endpoint of before, turn by turn.

The model is of the flights' shape, with features from SQLite and the serving log on. `mlflow` serves the model as the platform
logs it and is asked as a model with a signature is: with the columns by their names, of different flights, features and codes
made already. The others are bare boosters that are asked with constant rows (`mlflow_bare`: the same server and booster without
a signature). None of them knows features or a log. CPU is that of the serving processes with all their children; connections
are kept alive.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks import serving_rollout
from benchmarks.report import save
from benchmarks.serving_client import memory, turn
from benchmarks.serving_servers import Server, free_port, running, servers, wait_for
from benchmarks.serving_setup import prepare
from resources.settings import PROJECT_ROOT

BEFORE = "f9eee9f"
"""The last revision whose endpoint answered by frames, on Ray Serve, over the state that this one has too."""
TURNS = 5
LOADS = ((1, 1), (1, 64), (100, 1))
"""Rows of a request, and connections."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn of each server")
    parser.add_argument("--turns", type=int, default=TURNS, help="of each server; figures are their medians")
    parser.add_argument("--before", default=BEFORE, help="revision of the endpoint as it was before")
    parser.add_argument("--before-python", default=sys.executable, help="interpreter that revision runs with")
    parser.add_argument("--without-before", action="store_true", help="leave that endpoint out")
    parser.add_argument(
        "--bentoml-python",
        help="interpreter that has bentoml and xgboost-cpu; without it BentoML is left out",
    )
    parser.add_argument(
        "--rollout", action="store_true", help="the endpoint alone, while a version is rolled out"
    )
    options = parser.parse_args()
    if options.rollout:
        return serving_rollout.main(options)
    with tempfile.TemporaryDirectory(prefix="serving-bench-") as folder, ExitStack() as stack:
        prepare(Path(folder))
        alone = in_process(Path(folder))
        found = {**measured(Path(folder), options, stack), "in_process_cpu_ms": alone}
    print(table_of(found))
    print(save("serving", {"before": options.before, **found}, ratios_of(found)))
    return None


def in_process(folder: Path) -> dict[str, float]:
    """CPU milliseconds of a request from bytes to bytes, by its rows."""
    environment = {**os.environ, "MLOPS_HOME": str(folder / "state")}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.serving_in_process"]
    return json.loads(
        subprocess.run(command, cwd=PROJECT_ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout
    )


def measured(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """Start every server, ask each in turn, and say what it took."""
    wanted = servers(folder, options, stack)
    started: dict[str, dict[str, float]] = {}
    up = {name: _started(server, folder, name, started, stack) for name, server in wanted.items()}
    found: dict[str, Any] = {"start": started}
    for rows, connections in LOADS:
        each: dict[str, list[dict[str, float]]] = {name: [] for name in wanted}
        for _ in range(options.turns):
            for name, server in wanted.items():
                each[name].append(_turn(server, up[name], rows, connections, options.seconds))
        found[f"{rows} rows, {connections} connections"] = {
            name: {key: median(one[key] for one in some) for key in some[0]} for name, some in each.items()
        }
    return found


Up = list[tuple[int, psutil.Process]]


def _started(
    server: Server, folder: Path, name: str, started: dict[str, dict[str, float]], stack: ExitStack
) -> Up:
    """Every process of a server, each on its port, once it has answered."""
    up, began = [], time.perf_counter()
    for _ in range(server.processes):
        port = free_port()
        process = stack.enter_context(running(server, port, folder))
        wait_for(server, process, port, name)
        up.append((port, process))
    took = time.perf_counter() - began
    started[name] = {"first_answer_s": took, "memory_mb": sum(memory(process) for _, process in up)}
    return up


def _turn(server: Server, up: Up, rows: int, connections: int, seconds: float) -> dict[str, float]:
    ports, processes = [port for port, _ in up], [process for _, process in up]
    return turn(ports, processes, server.path, server.bodies(rows), connections, seconds)


def ratios_of(found: dict[str, Any]) -> dict[str, float]:
    """Requests a second of ours over those of the others, by the others' names and the connections."""
    ratios = {}
    for connections in (1, 64):
        rates = {
            name: one["requests_a_second"]
            for name, one in found[f"1 rows, {connections} connections"].items()
        }
        for name in rates.keys() & {"fastapi", "mlflow", "mlflow_bare", "bentoml", "before"}:
            ratios[f"vs_{name}_{connections}"] = round(rates["ours"] / rates[name], 2)
    return dict(sorted(ratios.items()))


def table_of(found: dict[str, Any]) -> str:
    """What the screen shows of the figures."""
    lines = [f"{'':48}{'requests/s':>12}{'CPU ms':>10}{'p50 ms':>10}{'p99 ms':>10}"]
    for title, some in found.items():
        for name, one in some.items() if "connections" in title else ():
            columns = (one["requests_a_second"], one["cpu_ms"], one["p50_ms"], one["p99_ms"])
            lines.append(
                f"{name + ', ' + title:48}"
                + "".join(f"{n:{w}.2f}" for n, w in zip(columns, (12, 10, 10, 10), strict=True))
            )
    for name, one in found["start"].items():
        lines.append(f"{name}: first answer after {one['first_answer_s']:.1f} s, {one['memory_mb']:.0f} MB")
    for rows, took in found["in_process_cpu_ms"].items():
        lines.append(f"in process, {rows} rows: {took:.2f} ms CPU a request")
    return "\n".join(lines)


CALLED = {
    "ours": "the endpoint",
    "ours, two processes": "the endpoint, two processes",
    "fastapi": "FastAPI and uvicorn",
    "mlflow": "mlflow models serve, by name",
    "mlflow_bare": "mlflow models serve, bare",
    "bentoml": "BentoML",
    "before": "the endpoint before",
}


def page_table(found: dict[str, Any]) -> str:
    """What a page shows of them: requests of one row, over one connection and over 64."""
    titles = ("answers/s", "p50 ms", "CPU ms", "answers/s", "p99 ms", "CPU ms")
    lines = [f"{'':30}{'one connection':>30}{'64 connections':>30}", f"{'':30}" + _cells(titles)]
    one, many = (found[f"1 rows, {connections} connections"] for connections in (1, 64))
    for name, called in CALLED.items():
        if name in one:
            numbers = [f"{one[name]['requests_a_second']:,.0f}", f"{one[name]['p50_ms']:.2f}"]
            numbers += [f"{one[name]['cpu_ms']:.2f}", f"{many[name]['requests_a_second']:,.0f}"]
            numbers += [f"{many[name]['p99_ms']:.0f}", f"{many[name]['cpu_ms']:.2f}"]
            lines.append(f"{called:30}" + _cells(numbers))
    if alone := found.get("in_process_cpu_ms"):
        told = f"in process, from bytes to bytes: {alone['1']:.2f} ms CPU for one row, {alone['100']:.2f} for 100"
        lines += ["", told]
    return "\n".join(lines)


def _cells(texts: Sequence[str]) -> str:
    return "".join(f"{text:>10}" for text in texts)


if __name__ == "__main__":
    main()
