"""The servers of the serving benchmark: how each is started, and what it is asked."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serving_setup import MLFLOW_BARE, MLFLOW_MODEL, NAME, bodies, encoded_rows, named_bodies
from benchmarks.wire import HOST
from resources.settings import PROJECT_ROOT

WAIT_S = 180


@dataclass(frozen=True)
class Server:
    """A server that listens on MLOPS_SERVE_PORT, or on the port that stands as `{port}` in its command."""

    command: Sequence[str]
    path: str = f"/predict/{NAME}"
    bodies: Callable[[int], Sequence[Any]] = bodies
    root: Path = PROJECT_ROOT
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1
    """So many are started side by side, each on a port of its own."""


def endpoint(processes: int = 1) -> Server:
    """The endpoint, over the state in the folder."""
    return Server([sys.executable, "-W", "ignore", "-m", "resources.serving"], processes=processes)


def servers(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Server]:
    """The servers by name; those of before and BentoML where they are asked for."""
    wanted = {
        "fastapi": Server([sys.executable, "-m", "benchmarks.serving_bare", str(folder)]),
        "ours": endpoint(),
        "ours, two processes": endpoint(processes=2),
        "mlflow": _mlflow(folder, MLFLOW_MODEL, lambda rows: named_bodies(folder, rows)),
        "mlflow_bare": _mlflow(folder, MLFLOW_BARE, lambda rows: [{"inputs": encoded_rows(folder, rows)}]),
    }
    if not options.without_before:
        root = stack.enter_context(worktree(options.before, folder))
        before = [options.before_python, *endpoint().command[1:]]
        wanted["before"] = Server(before, root=root, environment={"PYTHONPATH": str(root)})
    if options.bentoml_python:
        wanted["bentoml"] = _bentoml(folder, options.bentoml_python)
    return wanted


def _mlflow(folder: Path, model: str, bodies: Callable[[int], Sequence[Any]]) -> Server:
    """`mlflow models serve` around one of the folders of the model."""
    place = ["-m", str(folder / model), "-h", HOST, "-p", "{port}"]
    return Server(
        [str(Path(sys.executable).with_name("mlflow")), "models", "serve", *place, "--env-manager", "local"],
        path="/invocations",
        bodies=bodies,
        environment={
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), os.environ["PATH"]]
            ),  # it calls uvicorn
        },
    )


def _bentoml(folder: Path, python: str) -> Server:
    """BentoML around the bare booster, in an environment of its own that has bentoml and xgboost-cpu."""
    place = ["--host", HOST, "--port", "{port}", "--working-dir", str(PROJECT_ROOT / "benchmarks")]
    return Server(
        [python, "-m", "bentoml", "serve", "serving_bento:Bare", *place],
        path="/predict",
        bodies=lambda rows: [{"rows": encoded_rows(folder, rows)}],
        environment={
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": str(folder / "bentoml"),
            "BARE_MODEL": str(folder),
        },
    )


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
def running(server: Server, port: int, folder: Path) -> Iterator[psutil.Process]:
    """A server of its own process group, ended with all that it started."""
    command = [part.format(port=port) if part == "{port}" else part for part in server.command]
    names = {"MLOPS_HOME": str(folder / "state"), "MLOPS_SERVE_PORT": str(port)}
    environment = {**os.environ, **names, **server.environment}
    with (
        (folder / f"server-{port}.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=server.root, env=environment, start_new_session=True, stdout=log, stderr=log
        ) as process,
    ):
        try:
            yield psutil.Process(process.pid)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(server: Server, process: psutil.Process, port: int, name: str) -> None:
    """Until the server has answered a prediction."""
    import httpx

    until, url = time.monotonic() + WAIT_S, f"http://{HOST}:{port}{server.path}"
    while time.monotonic() < until and process.is_running():
        try:
            if httpx.post(url, json=server.bodies(1)[0], timeout=30).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"the server {name!r} gave no answer in {WAIT_S} s")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    import socket

    with socket.socket() as one:
        one.bind((HOST, 0))
        return one.getsockname()[1]
