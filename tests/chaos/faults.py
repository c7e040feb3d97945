"""The faults of production, each in the middle of a week's work, on the parts of a cluster.

A fault is done to a `Life` while a run of its newest week is being worked on, and undoes itself where production would: a host
comes back, a disk is cleaned. What died is started again by `mlops cluster up --restart`, as Kubernetes would.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from resources.settings import PROJECT_ROOT
from tests.acceptance.dagster_server import wait
from tests.chaos.failing_cluster import jump
from tests.chaos.life import Life

FROZEN_S, AWAY_S, SLOW_S, AHEAD_S = 60.0, 60.0, 60.0, 300.0
NO_BYTES = 0
HELD = "held"
"""Where a fit on Ray says that it stands, and is told to go on."""


@dataclass(frozen=True)
class Fault:
    """What is done, and the hands that are needed after it; none where the lifecycle goes on by itself."""

    name: str
    do: Callable[[Life], None]
    hands: str = ""


def in_the_middle(life: Life) -> psutil.Process:
    """The process of a run, as soon as there is one."""
    until = time.monotonic() + 600
    while (run := life.worker()) is None:
        assert time.monotonic() < until and not life.ended(), "no run is being worked on"
        time.sleep(0.05)
    time.sleep(2)
    return run


def kill(name: str) -> Callable[[Life], None]:
    """SIGKILL of a part while a run is at work."""

    def do(life: Life) -> None:
        in_the_middle(life)
        life.part(name).kill()

    return do


def kill_run(life: Life) -> None:
    """SIGKILL of the process that works on a run."""
    in_the_middle(life).kill()


def freeze(name: str, seconds: float = FROZEN_S) -> Callable[[Life], None]:
    """SIGSTOP of a part, or of the run's process, for a while."""

    def do(life: Life) -> None:
        run = in_the_middle(life)
        leader = run if name == "run" else life.part(name)
        family = [leader] if name == "run" else [leader, *leader.children(recursive=True)]
        with _stopped(family):
            time.sleep(seconds)

    return do


@contextmanager
def _stopped(family: list[psutil.Process]) -> Iterator[None]:
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.suspend()
    try:
        yield
    finally:
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.resume()


def fill_disk(name: str) -> Callable[[Life], None]:
    """No byte more into any file, for a part or the run's process, until the disk is cleaned: RLIMIT_FSIZE set from outside."""

    def do(life: Life) -> None:
        run = in_the_middle(life)
        leader = run if name == "run" else life.part(name)
        family = [leader] if name == "run" else [leader, *leader.children(recursive=True)]
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            _limit(family, NO_BYTES, hard)
            time.sleep(10)
        finally:
            _limit([leader, *_children(leader), *family], hard, hard)

    return do


def _limit(family: list[psutil.Process], soft: int, hard: int) -> None:
    for one in family:
        with suppress(ProcessLookupError):
            resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (soft, hard))


def _children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def door(said: str, seconds: float) -> Callable[[Life], None]:
    """The object store away, or slow, for a while."""

    def do(life: Life) -> None:
        in_the_middle(life)
        life.door(said)
        try:
            time.sleep(seconds)
        finally:
            life.door("open")

    return do


def second_daemon(life: Life) -> None:
    """Two daemons at once, for a minute, by mistake."""
    in_the_middle(life)
    command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(life.state / "workspace.yaml")]
    with _beside(life, command):
        time.sleep(FROZEN_S)


def same_tick_twice(life: Life) -> None:
    """Every sensor looked at by two more processes at the same moment."""
    in_the_middle(life)
    command = [sys.executable, "-m", "tests.chaos.tick", str(life.state / "workspace.yaml")]
    with _beside(life, command) as one, _beside(life, command) as other:
        assert (one.wait(), other.wait()) == (0, 0)


@contextmanager
def _beside(life: Life, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    started = [sys.executable, "-m", "mlops_assets.cli", "cluster", "run", "--", *command]
    with (life.folder / "beside.log").open("ab") as log:
        process = subprocess.Popen(
            started, env=life.given, cwd=PROJECT_ROOT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def clock_jumps(life: Life) -> None:
    """The clock of the daemon's machine and its runs five minutes ahead for half a minute, and then back; needs gcc."""
    in_the_middle(life)
    jump(life.state, AHEAD_S)
    try:
        wait(lambda: life.newest_tick() > time.time() + AHEAD_S / 2, "the daemon is ahead", 120, life.ended)
        time.sleep(AHEAD_S / 10)
    finally:
        jump(life.state, 0)


def kill_in_fit(name: str) -> Callable[[Life], None]:
    """SIGKILL of a node of Ray, with all that runs on it, while a fit stands in its first checkpoint."""

    def do(life: Life) -> None:
        held, go = life.folder / HELD / "held", life.folder / HELD / "go"
        held.unlink(missing_ok=True)
        go.unlink(missing_ok=True)
        try:
            wait(held.exists, "a fit stands in its first checkpoint", 600, life.ended)
            leader = life.part(name)
            for one in (leader, *leader.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        finally:
            go.touch()

    return do


def cut_connections(life: Life) -> None:
    """Every connection of the platform to PostgreSQL ended, in the middle of whatever it did, for some seconds."""
    import psycopg2

    in_the_middle(life)
    opened = psycopg2.connect(
        host="127.0.0.1",
        port=life.postgres_port,
        user="mlops",
        password=life.passwords["postgres"],
        dbname="postgres",
    )
    opened.autocommit = True
    with opened.cursor() as cursor:
        for _ in range(10):
            cursor.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'mlops' and pid <> pg_backend_pid()"
            )
            time.sleep(0.5)
    opened.close()


def empty_redis(life: Life) -> None:
    """Every key of Redis gone."""
    import redis

    in_the_middle(life)
    with redis.Redis(port=life.redis_port, password=life.passwords["redis"]) as client:
        client.flushall()


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("run killed", kill_run),
        Fault("daemon killed", kill("daemon")),
        Fault("webserver killed", kill("webserver")),
        Fault("code server killed", kill("code")),
        Fault("endpoint killed", kill("endpoint")),
        Fault("MLflow killed", kill("mlflow")),
        Fault("Redis killed", kill("redis")),
        Fault("PostgreSQL killed", kill("postgres")),
        Fault("run frozen", freeze("run")),
        Fault("daemon frozen", freeze("daemon")),
        Fault("MLflow frozen", freeze("mlflow")),
        Fault("disk full for a run", fill_disk("run")),
        Fault("disk full for the endpoint", fill_disk("endpoint")),
        Fault("store gone for a minute", door("closed", AWAY_S)),
        Fault("store slow for a minute", door("slow 0.2", SLOW_S)),
        Fault("two daemons", second_daemon),
        Fault("same tick twice", same_tick_twice),
        Fault("disk full for PostgreSQL", fill_disk("postgres")),
        Fault("clock jumps", clock_jumps),
        Fault("connections cut", cut_connections),
        Fault("Redis emptied", empty_redis),
    )
}

OF_RAY = {
    fault.name: fault
    for fault in (
        Fault("Ray worker killed", kill_in_fit("ray worker")),
        Fault("Ray head killed", kill_in_fit("ray head")),
    )
}
"""Those of a life whose fits run on a Ray among the parts, and wait where they are told to."""
