"""One prediction over HTTP: FastAPI around the bare booster, the endpoint as it was before, and the endpoint, turn by turn.

The model is of the flights' shape, with features from SQLite and the serving log on. The bare booster is asked with a constant
row and knows neither features nor log. CPU is that of the serving processes with all their children; connections are kept alive.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from benchmarks.report import save
from benchmarks.serving_setup import NAME, bodies, prepare
from resources.settings import PROJECT_ROOT

HOST = "127.0.0.1"
BEFORE = "f9eee9f"
"""The last revision whose endpoint answered by frames, on Ray Serve, over the state that this one has too."""
TURNS = 5
WAIT_S = 180
Figures = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn of each server")
    parser.add_argument("--before", default=BEFORE, help="revision of the endpoint as it was before")
    parser.add_argument("--before-python", default=sys.executable, help="interpreter that revision runs with")
    parser.add_argument("--without-before", action="store_true", help="leave that endpoint out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="serving-bench-") as folder, ExitStack() as stack:
        prepare(Path(folder))
        found = measured(Path(folder), options, stack)
    ratios = ratios_of(found)
    print(table_of(found))
    print(save("serving", {"before": options.before, **found}, ratios))


def measured(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """Start every server, ask each in turn, and say what it took."""
    started: Figures = {}
    servers: dict[str, tuple[int, psutil.Process]] = {}
    for name, (command, root, extra) in commands(folder, options, stack).items():
        began, port = time.perf_counter(), free_port()
        process = stack.enter_context(running(command, root, port, folder, extra))
        wait_for(process, port, name)
        servers[name] = port, process
        started[name] = {"first_answer_s": time.perf_counter() - began, "memory_mb": memory(process)}
    found: dict[str, Any] = {"start": started}
    for rows in (1, 100):
        for connections in (1, 64) if rows == 1 else (1,):
            each = {name: [] for name in servers}
            for _ in range(TURNS):
                for name, (port, process) in servers.items():
                    each[name].append(turn(name, port, process, rows, connections, options.seconds))
            found[f"{rows} rows, {connections} connections"] = {
                name: {key: median(one[key] for one in some) for key in some[0]}
                for name, some in each.items()
            }
    return found


def commands(
    folder: Path, options: argparse.Namespace, stack: ExitStack
) -> dict[str, tuple[list[str], Path, dict[str, str]]]:
    """The servers by name: command, working directory, and what its environment has more."""
    bare = [sys.executable, "-m", "benchmarks.serving_bare", str(folder)]
    endpoint = ["-W", "ignore", "-m", "resources.serving"]
    wanted: dict[str, tuple[list[str], Path, dict[str, str]]] = {
        "fastapi": (bare, PROJECT_ROOT, {}),
        "ours": ([sys.executable, *endpoint], PROJECT_ROOT, {}),
    }
    if not options.without_before:
        root = stack.enter_context(worktree(options.before, folder))
        wanted["before"] = ([options.before_python, *endpoint], root, {"PYTHONPATH": str(root)})
    return wanted


@contextmanager
def worktree(revision: str, folder: Path) -> Iterator[Path]:
    """The files of a revision."""
    path, git = folder / "before", ["git", "-C", str(PROJECT_ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(path), revision], check=True)
    try:
        yield path
    finally:
        subprocess.run([*git, "remove", "--force", str(path)], check=True)


@contextmanager
def running(
    command: Sequence[str], root: Path, port: int, folder: Path, extra: dict[str, str]
) -> Iterator[psutil.Process]:
    """A server of its own process group, ended with all that it started."""
    names = {"MLOPS_HOME": str(folder / "state"), "MLOPS_SERVE_PORT": str(port)}
    log = (folder / f"server-{port}.log").open("wb")
    environment = {**os.environ, **names, **extra}
    with subprocess.Popen(
        command, cwd=root, env=environment, start_new_session=True, stdout=log, stderr=log
    ) as server:
        try:
            yield psutil.Process(server.pid)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
            log.close()


def wait_for(process: psutil.Process, port: int, name: str) -> None:
    """Until the server has answered a prediction."""
    import httpx

    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and process.is_running():
        try:
            url = f"http://{HOST}:{port}/predict/{NAME}"
            if httpx.post(url, json=bodies(1)[0], timeout=30).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"the server {name!r} gave no answer in {WAIT_S} s")


def turn(
    name: str, port: int, process: psutil.Process, rows: int, connections: int, seconds: float
) -> dict[str, float]:
    """Ask one server for some seconds."""
    began = spent(process)
    walls, wall = asyncio.run(_asked(port, rows, connections, seconds))
    return {
        "requests_a_second": len(walls) / wall,
        "cpu_ms": (spent(process) - began) / len(walls) * 1e3,
        "p50_ms": float(np.percentile(walls, 50)) * 1e3,
        "p99_ms": float(np.percentile(walls, 99)) * 1e3,
    }


async def _asked(port: int, rows: int, connections: int, seconds: float) -> tuple[list[float], float]:
    walls: list[float] = []
    started = time.perf_counter()
    until = started + seconds
    some = [json.dumps(body).encode() for body in bodies(rows)]
    head = f"POST /predict/{NAME} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in some]
    await asyncio.gather(
        *[_connection(port, requests[n:] + requests[:n], until, walls) for n in range(connections)]
    )
    return walls, time.perf_counter() - started


async def _connection(port: int, requests: list[bytes], until: float, walls: list[float]) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    place = 0
    while (began := time.perf_counter()) < until:
        writer.write(requests[place % len(requests)])
        place += 1
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{head!r}")
        await reader.readexactly(_length(head))
        walls.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()


def _length(head: bytes) -> int:
    return int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    import socket

    with socket.socket() as one:
        one.bind((HOST, 0))
        return one.getsockname()[1]


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def spent(process: psutil.Process) -> float:
    """CPU-seconds of a server and all that it started."""
    times = [one.cpu_times() for one in family(process)]
    return sum(one.user + one.system for one in times)


def memory(process: psutil.Process) -> float:
    """Megabytes that are its own, shared pages by share."""
    return sum(one.memory_full_info().pss for one in family(process)) / 1e6


def ratios_of(found: dict[str, Any]) -> dict[str, float]:
    """Requests a second of ours over those of the others."""
    one, many = found["1 rows, 1 connections"], found["1 rows, 64 connections"]
    rate = "requests_a_second"
    ratios = {
        "vs_fastapi_1": one["ours"][rate] / one["fastapi"][rate],
        "vs_fastapi_64": many["ours"][rate] / many["fastapi"][rate],
    }
    if "before" in one:
        ratios["vs_before_1"] = one["ours"][rate] / one["before"][rate]
        ratios["vs_before_64"] = many["ours"][rate] / many["before"][rate]
    return {name: round(value, 2) for name, value in ratios.items()}


def table_of(found: dict[str, Any]) -> str:
    """What the screen shows of the figures."""
    lines = [f"{'':38}{'requests/s':>12}{'CPU ms':>10}{'p50 ms':>10}{'p99 ms':>10}"]
    for title, servers in found.items():
        for name, one in servers.items() if title != "start" else ():
            columns = (one["requests_a_second"], one["cpu_ms"], one["p50_ms"], one["p99_ms"])
            lines.append(
                f"{name + ', ' + title:38}"
                + "".join(f"{n:{w}.2f}" for n, w in zip(columns, (12, 10, 10, 10), strict=True))
            )
    for name, one in found["start"].items():
        lines.append(f"{name}: first answer after {one['first_answer_s']:.1f} s, {one['memory_mb']:.0f} MB")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
