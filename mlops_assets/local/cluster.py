"""The parts of a cluster as processes of this machine, behind `mlops cluster`: started, watched and ended as one."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.local.cluster_parts import (
    BUCKET,
    DATABASES,
    HOST,
    POSTGRES_USER,
    SECRET,
    USER,
    Parts,
    Passwords,
    Ports,
    as_postgres,
    postgres_program,
    write_private,
)
from mlops_assets.local.processes import Server, Supervisor
from mlops_assets.local.running import (
    DevError,
    Stop,
    keep_up,
    raise_if_ended,
    stop_all,
    wait_until_up,
)
from mlops_assets.local.servers import check_ports, prepare_dagster_home, report_load_errors
from resources import at_work
from resources.settings import PROJECT_ROOT, Settings, settings
from resources.storage.s3_server import client
from resources.with_secrets import write_key

START_S = 60.0
ENVIRONMENT = "environment.json"
"""What a command beside the cluster is started with; only its owner may read it, though no secret is in it."""


def main(where: Settings, restart: bool = False, kind: type[Parts] = Parts) -> int:
    """Run the cluster until SIGINT or SIGTERM; 0 if it was stopped so, 1 if a part could not start or died.

    With `restart`, a part that dies is started again. `kind` exists for tests: parts that can be made to fail.
    """
    stopping = Stop()
    try:
        while_up(where, stopping, lambda up: keep_up_and_tell(up, restart), kind)
    except (DevError, at_work.AtWorkError) as error:
        if stopping.due:
            return 0
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True)
class Up:
    """A cluster that is up."""

    parts: Parts
    supervisor: Supervisor
    stopping: Stop
    own: Sequence[Server]
    """The platform's servers that people open."""

    def run(self, command: Sequence[str]) -> int:
        """Run a command as one more process of it, to its end; raises DevError where a part ends before it or a signal comes."""
        with subprocess.Popen(
            _with_secrets(command), env=_environment(self.parts.state), cwd=PROJECT_ROOT
        ) as process:
            try:
                while process.poll() is None:
                    raise_if_ended(self.supervisor)
                    if self.stopping.due:
                        raise DevError(f"stopped before {command[0]} had ended")
                    self.stopping.wait(0.5)
            finally:
                if process.poll() is None:
                    process.terminate()
        return process.returncode


def while_up(
    where: Settings,
    stopping: Stop,
    work: Callable[[Up], None],
    kind: type[Parts] = Parts,
    platform: bool = True,
) -> None:
    """Start the cluster, do some work and stop it. Raises DevError where a part could not start, and what the work raises.

    Without the `platform`, databases and stores alone are up: nothing is at work on them.
    """
    state, supervisor = folder(where), Supervisor()
    state.mkdir(parents=True, exist_ok=True)
    with stopping.listening(), at_work.serving(where.home):
        check_ports(where)
        parts = kind(state, where, Ports.of(where), Passwords.of(state / "passwords.json"))
        _run(parts, supervisor, stopping, work, platform)


def restore(where: Settings, words: Sequence[str]) -> int:
    """`mlops restore` with some words, while databases and stores alone are up; its exit status."""
    stopping, statuses = Stop(), list[int]()
    command = [sys.executable, "-m", "mlops_assets.cli", "restore", *words]
    while_up(where, stopping, lambda up: statuses.append(up.run(command)), platform=False)
    if not statuses:
        raise DevError("stopped before anything was brought back")
    return statuses[0]


def folder(where: Settings) -> Path:
    """Where everything of the cluster lies."""
    return where.home / "cluster"


def _run(
    parts: Parts, supervisor: Supervisor, stopping: Stop, work: Callable[[Up], None], platform: bool
) -> None:
    try:
        make_database(parts)
        _up(parts.stores(), supervisor, stopping)
        make_databases(parts)
        make_bucket_and_secret(parts)
        make_homes(parts)
        own = _platform_up(parts, supervisor, stopping) if platform else []
        if not stopping.due:
            work(Up(parts, supervisor, stopping, own))
    finally:
        (parts.state / ENVIRONMENT).unlink(missing_ok=True)
        stop_all(supervisor)


def _platform_up(parts: Parts, supervisor: Supervisor, stopping: Stop) -> Sequence[Server]:
    """MLflow, the code, and then the others, which are returned: who asks for the code before it is loaded shows an error first."""
    _up([parts.mlflow()], supervisor, stopping)
    code, *others = parts.platform()
    _up([code], supervisor, stopping)
    _up(others, supervisor, stopping)
    return others


def keep_up_and_tell(up: Up, restart: bool) -> None:
    """Print the addresses, and watch until a signal comes."""

    def tell() -> None:
        print(table(up.parts, up.own), flush=True)
        report_load_errors(next(one for one in up.own if one.name == "Dagster"))

    keep_up(up.supervisor, up.stopping, tell, restart)


def _up(servers: Sequence[Server], supervisor: Supervisor, stopping: Stop) -> None:
    """Start some servers and wait for all of them."""
    for server in servers:
        if not stopping.due:
            supervisor.start(server)
    for server in servers:
        if server.health:
            wait_until_up(server, supervisor, stopping)


def make_database(parts: Parts) -> None:
    """Make PostgreSQL's folder where there is none yet; it asks for a password on every connection."""
    data = parts.state / "postgres"
    if (data / "PG_VERSION").exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(data, POSTGRES_USER, POSTGRES_USER)
    with tempfile.TemporaryDirectory() as private:
        password = Path(private) / "password"
        write_private(password, parts.passwords.postgres)
        options = ["-U", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-instructions"]
        command = [postgres_program("initdb"), "-D", str(data), *options, f"--pwfile={password}"]
        done = subprocess.run(as_postgres(command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevError(f"PostgreSQL's folder {data} could not be made:\n{done.stderr[-2000:]}")


def make_databases(parts: Parts) -> None:
    """Make the databases that are not there yet, once PostgreSQL lets people in."""
    import psycopg2

    until = time.monotonic() + START_S
    while True:
        try:
            opened = psycopg2.connect(
                host=HOST,
                port=parts.ports.postgres,
                user=USER,
                password=parts.passwords.postgres,
                dbname="postgres",
            )
            break
        except psycopg2.OperationalError as error:
            if time.monotonic() > until:
                raise DevError(f"PostgreSQL lets nobody in for {START_S:.0f} s: {error}") from error
            time.sleep(0.2)
    opened.autocommit = True
    with opened.cursor() as cursor:
        cursor.execute("select datname from pg_database")
        there = {name for (name,) in cursor.fetchall()}
        for name in sorted({*DATABASES} - there):
            cursor.execute(f"create database {name}")
    opened.close()


def make_bucket_and_secret(parts: Parts) -> None:
    """Make the bucket, and put what the platform's processes may know into Secrets Manager."""
    s3 = client(parts.ports.s3, "s3")
    if BUCKET not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
    keeper = client(parts.ports.s3, "secretsmanager")
    keeper.create_secret(Name=SECRET, SecretString=json.dumps(parts.secret))


def make_homes(parts: Parts) -> None:
    """Make the state folders, and what a command beside the cluster is started with."""
    for name in ("code", "daemon", "dagster", "endpoint", "runs", "shell"):
        given = {**parts.environment(name), **parts.secret}
        prepare_dagster_home(settings(given))
    write_key(parts.private("runs") / "keys" / "audit.key", parts.passwords.audit_key)
    write_private(parts.state / ENVIRONMENT, json.dumps(parts.environment("shell")))


def run_beside(where: Settings, command: Sequence[str]) -> int:
    """Run a command as one more process of the cluster that is up, with a state folder of its own."""
    return subprocess.run(_with_secrets(command), env=_environment(folder(where)), check=False).returncode


def _environment(state: Path) -> dict[str, str]:
    file = state / ENVIRONMENT
    if not file.exists():
        raise DevError(f"no cluster is up on {state}: start it with `mlops cluster up`")
    return {**os.environ, **json.loads(file.read_text())}


def _with_secrets(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "resources.with_secrets", *command]


def table(parts: Parts, own: Sequence[Server]) -> str:
    """The addresses, what to do at each, and where state and logs lie."""
    servers = [*(server for server in own if server.hint), parts.mlflow()]
    width = max(len(server.name) for server in servers)
    lines = [f"  {server.name:<{width}}  {server.address:<22}  {server.hint}" for server in servers]
    beside = [
        f"  PostgreSQL {parts.ports.postgres}, Redis {parts.ports.redis}, S3 {parts.ports.s3}, code {parts.ports.code}, "
        "all on 127.0.0.1",
        f"  state {parts.state}, logs {parts.state / 'logs'}; Ctrl-C stops all.",
        "  `mlops cluster run mlops history MODEL` runs a command beside it.",
    ]
    return "\n".join(["", *lines, "", *beside, ""])
