"""The parts of a cluster as processes of this machine, behind `mlops cluster`: started, watched and ended as one."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
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
from mlops_assets.local.running import DevError, Stop, keep_up, stop_all, wait_until_up
from mlops_assets.local.servers import check_ports, prepare_dagster_home, report_load_errors
from resources import at_work
from resources.settings import Settings, settings
from resources.storage.s3_server import client
from resources.with_secrets import write_key

START_S = 60.0
ENVIRONMENT = "environment.json"
"""What a command beside the cluster is started with; only its owner may read it, though no secret is in it."""


def main(where: Settings) -> int:
    """Run the cluster until SIGINT or SIGTERM; 0 if it was stopped so, 1 if a part could not start or died."""
    state, stopping, supervisor = folder(where), Stop(), Supervisor()
    state.mkdir(parents=True, exist_ok=True)
    try:
        with stopping.listening(), at_work.serving(where.home):
            check_ports(where)
            parts = Parts(state, where, Ports.of(where), Passwords.of(state / "passwords.json"))
            _run(parts, supervisor, stopping)
    except (DevError, at_work.AtWorkError) as error:
        if stopping.asked:
            return 0
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def folder(where: Settings) -> Path:
    """Where everything of the cluster lies."""
    return where.home / "cluster"


def _run(parts: Parts, supervisor: Supervisor, stopping: Stop) -> None:
    try:
        make_database(parts)
        _up(parts.stores(), supervisor, stopping)
        make_databases(parts)
        make_bucket_and_secret(parts)
        _up([parts.mlflow()], supervisor, stopping)
        make_homes(parts)
        code, *others = parts.platform()
        _up(
            [code], supervisor, stopping
        )  # whoever asks for the code before it is loaded shows an error first
        _up(others, supervisor, stopping)
        keep_up(supervisor, stopping, lambda: _tell(parts, others))
    finally:
        (parts.state / ENVIRONMENT).unlink(missing_ok=True)
        stop_all(supervisor)


def _tell(parts: Parts, others: Sequence[Server]) -> None:
    print(table(parts, others), flush=True)
    report_load_errors(next(one for one in others if one.name == "Dagster"))


def _up(servers: Sequence[Server], supervisor: Supervisor, stopping: Stop) -> None:
    """Start some servers and wait for all of them."""
    for server in servers:
        if not stopping.asked:
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
    file = folder(where) / ENVIRONMENT
    if not file.exists():
        raise DevError(f"no cluster is up on {folder(where)}: start it with `mlops cluster up`")
    given = {**os.environ, **json.loads(file.read_text())}
    started = [sys.executable, "-m", "resources.with_secrets", *command]
    return subprocess.run(started, env=given, check=False).returncode


def table(parts: Parts, own: Sequence[Server]) -> str:
    """The addresses, what to do at each, and where state and logs lie."""
    told = [*(server for server in own if server.hint), parts.mlflow()]
    width = max(len(server.name) for server in told)
    lines = [f"  {server.name:<{width}}  {server.address:<22}  {server.hint}" for server in told]
    beside = [
        f"  PostgreSQL {parts.ports.postgres}, Redis {parts.ports.redis}, S3 {parts.ports.s3}, code {parts.ports.code}, "
        "all on 127.0.0.1",
        f"  state {parts.state}, logs {parts.state / 'logs'}; Ctrl-C stops all.",
        "  `mlops cluster run mlops history MODEL` runs a command beside it.",
    ]
    return "\n".join(["", *lines, "", *beside, ""])
