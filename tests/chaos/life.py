"""A business of loans on a cluster whose parts can be made to fail: weeks arrive one by one, sensors do everything else."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import polars as pl
import psutil

from mlops_assets.kit.run_tags import PARTITION_TAG, RUN_KEY_TAG, SENSOR_TAG
from mlops_assets.local.launcher import SERVER
from mlops_assets.verify.snapshot import read_snapshot
from resources.settings import PROJECT_ROOT
from resources.storage.s3_server import client
from tests.acceptance.dagster_server import Dagster, wait
from tests.chaos.checker import UNFINISHED, Model, Run, Seen
from tests.chaos.failing_cluster import DOOR
from tests.loans.data import FOLDER, START, loans, zipcodes
from tests.small_year import environment

MODEL = Model("loan_default", "loans/applications", "loan_id", "applied_at", "ingest_loans")
SENSORS = (
    "ingest_loans_when_a_partition_is_over",
    "score_loan_default_when_features_arrive",
    "retrain_loan_default_on_evidence",
)
LOOKED_AT = "keep_registry_and_endpoint_as_recorded"
LOAN = {"zipcode": 10_001, "amount": 9_000.0, "term": 36, "grade": "A"}
MOST_WEEKS = 60
SETTLED_S = 900
COMMANDS = {
    "daemon": "dagster._daemon",
    "webserver": "dagster_webserver",
    "code": "dagster api grpc",
    "endpoint": "resources.serving",
    "mlflow": "mlflow server",
    "redis": "redis-server",
    "postgres": "/postgres ",
    "s3": "resources.storage.s3_server",
    "ray head": "ray.scripts.scripts start --block --disable-usage-stats --node-ip-address=127.0.0.1 --object-store-memory=268435456 --head",
    "ray worker": "tests.chaos.ray_worker",
}
"""What tells the leader of each part by its command line."""


def weekly_loans(folder: Path) -> Path:
    """The loans of the tests, by the week, with a label that is known after two days."""
    folder.mkdir(parents=True)
    said = (FOLDER / "use_case.yaml").read_text().replace("cadence: daily", "cadence: weekly")
    (folder / "use_case.yaml").write_text(said)
    (folder / "defs.yaml").write_text((FOLDER / "defs.yaml").read_text().replace("delay: 30d", "delay: 2d"))
    return folder


@dataclass
class Life:
    """A cluster that is up, and the weeks that have arrived."""

    folder: Path
    ports: dict[str, int]
    given: dict[str, str]
    weeks: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start the cluster, with a door in front of its object store."""
        with (self.folder / "up.log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.failing_cluster"],
                env=self.given,
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        """Until all parts answer."""
        log = self.folder / "up.log"
        wait(lambda: "Ctrl-C stops all" in log.read_text(), f"it is up: {log}", 300, self.ended)

    def stop(self) -> None:
        """Let the cluster end; what does not is killed by its id, and told."""
        if self.ended():
            return
        self.door("open")
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=180)
        left = [one for one in children if one.is_running()]
        for one in left:
            os.kill(one.pid, signal.SIGKILL)
        assert left == [], f"left behind: {left}"

    @property
    def state(self) -> Path:
        return self.folder / "home" / "cluster"

    @property
    def passwords(self) -> dict[str, str]:
        return json.loads((self.state / "passwords.json").read_text())

    @property
    def redis_port(self) -> int:
        _, address, *_ = " ".join(
            self.part("redis").cmdline()
        ).split()  # it names itself anew, in one word or in more
        return int(address.rpartition(":")[2])

    @property
    def postgres_port(self) -> int:
        words = self.part("postgres").cmdline()
        return int(words[words.index("-p") + 1])

    @property
    def dagster(self) -> Dagster:
        return Dagster(f"http://127.0.0.1:{self.ports['DAGSTER']}")

    def arrive(self) -> str:
        """The rows of the next week, whose name is returned."""
        number = len(self.weeks)
        name = (START + timedelta(days=7 * number)).date().isoformat()
        rows = _all_loans().filter(
            pl.col("applied_at").is_between(
                START + timedelta(days=7 * number), START + timedelta(days=7 * number + 7), closed="left"
            )
        )
        data = self.folder / "data"
        rows.write_parquet(data / ".new")
        (data / ".new").replace(data / f"loans_{name}.parquet")
        self.weeks.append(name)
        return name

    def names(self, prefix: str) -> list[str]:
        """Names in the object store."""
        given = json.loads((self.state / "environment.json").read_text())
        s3 = client(int(given["AWS_ENDPOINT_URL"].rpartition(":")[2]), "s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="mlops", Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def runs(self) -> list[Run]:
        """Every run of Dagster's log."""
        return [
            Run(
                one["runId"],
                one["jobName"],
                one["status"],
                one["tags"].get(PARTITION_TAG),
                one["tags"].get(SENSOR_TAG),
                one["tags"].get(RUN_KEY_TAG),
            )
            for one in self.dagster.runs()
        ]

    def newest_tick(self) -> float:
        """When the daemon says that it looked at the sensor that it looks at most often."""
        return max((one["timestamp"] for one in self.dagster.ticks(LOOKED_AT)), default=0.0)

    def worker(self) -> psutil.Process | None:
        """The process that a run is worked on in: the child of a warm server."""
        for server in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if SERVER in server.cmdline() and (runs := server.children()):
                    return runs[0]
        return None

    def part(self, name: str) -> psutil.Process:
        """The leader of a part."""
        for one in psutil.Process(self.process.pid).children():
            line = " ".join(one.cmdline()) + " "
            if COMMANDS[name] in line:
                return one
        raise ProcessLookupError(f"no part {name!r} is up")

    def door(self, said: str) -> None:
        """How the door in front of the object store stands from now on."""
        (self.state / DOOR).write_text(said)

    def beside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command as one more process of the cluster."""
        started = [sys.executable, "-m", "mlops_assets.cli", "cluster", "run", "--", *command]
        return subprocess.run(
            started, env=self.given, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
        )

    def answers(self) -> int | None:
        """The version that the endpoint answers with; None where it does not."""
        address = f"http://127.0.0.1:{self.ports['SERVE']}/v1/models/loan_default/predict"
        try:
            reply = httpx.post(address, json=LOAN, timeout=30)
        except httpx.HTTPError:
            return None
        return int(reply.json()["version"]) if reply.status_code == 200 else None

    def handled(self, week: str) -> bool:
        """Whether a week is ingested, scored or before the first model, and decided on, and nothing is at work."""
        try:
            there = set(self.names("lake/"))
            runs = self.runs()
        except Exception as error:  # noqa: BLE001 - whatever is away now is asked again
            self.last_error = error
            return False
        decided = self.weeks.index(week) < 2 or f"lake/loan_default/attempts/{week}.json" in there
        scored = self.weeks.index(week) < 2 or f"lake/loan_default/predictions/{week}.parquet" in there
        ingested = any(r.job == MODEL.ingests and r.partition == week and r.status == "SUCCESS" for r in runs)
        return ingested and decided and scored and not any(run.status in UNFINISHED for run in runs)

    def settle(self, seconds: float = SETTLED_S) -> float:
        """Wait until the newest week is handled and the endpoint answers; the seconds that it took."""
        began = time.monotonic()
        week = self.weeks[-1]
        wait(lambda: self.handled(week), f"{week} is handled; {self.told()}", seconds, self.ended)
        if len(self.weeks) > 2:
            wait(lambda: self.agreed() is not None, "the endpoint answers with the champion", 120, self.ended)
        return time.monotonic() - began

    def agreed(self) -> int | None:
        """The version with which the endpoint answers, if it is that of the record."""
        version = self.answers()
        there = [n for n in self.names("shared/serving/versions/loan_default/") if n.endswith(".json")]
        newest = max((int(Path(name).stem) for name in there), default=None)
        return version if version == newest else None

    def ended(self) -> bool:
        return self.process.poll() is not None

    def told(self) -> str:
        return f"logs {self.state / 'logs'}, {self.folder / 'up.log'}"

    def seen(self) -> Seen:
        """Logs and tables as they are now."""
        folder = self.folder / "snapshots" / f"{time.time_ns()}"
        snapshot = [sys.executable, "-W", "ignore", "-m", "mlops_assets.verify.snapshot"]
        done = self.beside(*snapshot, "loans", str(folder))
        assert done.returncode == 0, done.stdout + done.stderr
        return Seen(MODEL, read_snapshot(folder), self.runs(), list(self.weeks), self.answers())


def _all_loans() -> pl.DataFrame:
    return loans(7 * MOST_WEEKS, 30, zipcodes())


@contextmanager
def lived(
    folder: Path,
    free_port: Callable[[], int],
    weeks: int = 3,
    change: Callable[[Path], object] = lambda defs: None,
    **more: str,
) -> Iterator[Life]:
    """The cluster after its first weeks, of which the last has a model trained and promoted; nothing of it is left afterwards.

    `change` may declare the loans otherwise, in their YAML, before anything begins.
    """
    ports = {name: free_port() for name in ("DAGSTER", "MLFLOW", "SERVE")}
    (folder / "data").mkdir(parents=True)
    zipcodes().write_csv(folder / "data" / "zipcodes.csv")
    loans_in = weekly_loans(folder / "loans")
    change(loans_in / "defs.yaml")
    given = environment(
        folder / "home",
        MLOPS_USE_CASES=str(loans_in),
        LOANS_DATA=str(folder / "data"),
        **{f"MLOPS_{name}_PORT": str(port) for name, port in ports.items()},
        **more,
    )
    life = Life(folder, ports, given)
    life.start()
    try:
        life.wait_until_up()
        for sensor in SENSORS:
            life.dagster.start_sensor(sensor)
        for _ in range(weeks):
            life.arrive()
        if weeks:
            life.settle()
        yield life
    finally:
        life.stop()
