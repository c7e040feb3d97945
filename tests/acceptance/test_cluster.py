"""Weeks of a business on the parts of production: no two processes of the platform share a folder, and nothing of it is missed."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from resources.settings import PROJECT_ROOT
from resources.storage.s3_server import client
from tests.acceptance.dagster_server import Dagster, wait
from tests.chaos.life import weekly_loans
from tests.conftest import needed_program
from tests.loans.data import write_loans
from tests.postgres import needed_postgres
from tests.small_year import environment

pytestmark = pytest.mark.nightly
"""The parts by themselves are in `tests/test_cluster_parts.py` and `tests/resources/storage/test_mirror.py`."""

WEEKS = ("2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22")
LOAN = {"zipcode": 10_001, "amount": 9_000.0, "term": 36, "grade": "A"}
PRIVATE = ("code", "daemon", "dagster", "endpoint", "runs")


@dataclass
class Cluster:
    """One that is up, and what was seen of it."""

    folder: Path
    ports: dict[str, int]
    process: subprocess.Popen[str]

    @property
    def state(self) -> Path:
        return self.folder / "home" / "cluster"

    @property
    def passwords(self) -> dict[str, str]:
        return json.loads((self.state / "passwords.json").read_text())

    def at(self, name: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def objects(self, prefix: str) -> list[str]:
        port = int(
            json.loads((self.state / "environment.json").read_text())["AWS_ENDPOINT_URL"].rpartition(":")[2]
        )
        pages = client(port, "s3").get_paginator("list_objects_v2").paginate(Bucket="mlops", Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, free_port) -> Iterator[Cluster]:
    """`mlops cluster up` over four weeks of loans, each ingested by a run of its own; sensors do the rest."""
    needed_program("redis-server", "apt-get install redis-server")
    needed_postgres("initdb")
    folder = tmp_path_factory.mktemp("cluster")
    ports = {name: free_port() for name in ("DAGSTER", "MLFLOW", "SERVE")}
    given = environment(
        folder / "home",
        MLOPS_USE_CASES=str(weekly_loans(folder / "loans")),
        LOANS_DATA=str(write_loans(folder / "data", 28)),
        **{f"MLOPS_{name}_PORT": str(port) for name, port in ports.items()},
    )
    command = [sys.executable, "-m", "mlops_assets.cli", "cluster", "up"]
    with (folder / "up.log").open("w") as log:
        process = subprocess.Popen(
            command, env=given, cwd=PROJECT_ROOT, stdout=log, stderr=log, text=True, start_new_session=True
        )
    up = Cluster(folder, ports, process)
    try:
        wait(
            lambda: "Ctrl-C stops all" in (folder / "up.log").read_text(),
            "it is up",
            300,
            lambda: process.poll() is not None,
        )
        yield up
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0, (folder / "up.log").read_text()[-3000:]
        assert [one for one in children if one.is_running()] == []


@pytest.fixture(scope="module")
def lived(cluster: Cluster) -> Cluster:
    """The same after the weeks: a model is trained, promoted and deployed, and the last week is scored."""
    dagster = Dagster(cluster.at("DAGSTER"))
    for sensor in ("score_loan_default_when_features_arrive", "retrain_loan_default_on_evidence"):
        dagster.start_sensor(sensor)
    for week in WEEKS:
        run = dagster.launch("ingest_loans", week)
        assert dagster.ended(run, 900) == "SUCCESS", dagster.logs(run)[-20:]
    wait(lambda: answered(cluster).status_code == 200, "the endpoint answers", 900)
    assert {run["status"] for run in dagster.runs()} <= {"SUCCESS", "STARTED", "QUEUED", "STARTING"}
    return cluster


def answered(cluster: Cluster) -> httpx.Response:
    return httpx.post(cluster.at("SERVE", "/v1/models/loan_default/predict"), json=LOAN, timeout=30)


def test_a_model_that_a_run_trained_answers_at_the_endpoint(lived: Cluster):
    answer = answered(lived).json()
    assert 0 < answer["probability"] < 1
    assert answer["as_of"] == "2024-01-29T00:00:00+00:00"


def test_every_process_has_a_folder_to_itself_and_the_model_reached_the_endpoint_by_the_store(lived: Cluster):
    homes = {name: lived.state / "private" / name for name in PRIVATE}
    version = answered(lived).json()["version"]
    model = f"serving/models/loan_default-{version}.model"
    trained, served = homes["runs"] / model, homes["endpoint"] / model
    assert trained.read_bytes() == served.read_bytes() and not trained.samefile(served)
    assert f"shared/{model}" in lived.objects("shared/serving/models/")
    assert json.loads((homes["endpoint"] / "serving" / "loan_default.json").read_text())["version"] == version
    running = {home_of(child) for child in psutil.Process(lived.process.pid).children(recursive=True)}
    assert running >= {str(home) for home in homes.values()}


def home_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("MLOPS_HOME")
    except psutil.Error:
        return None


def test_what_was_served_and_what_steps_printed_lies_where_every_machine_finds_it(lived: Cluster):
    answered(lived)
    wait(
        lambda: [n for n in lived.objects("shared/serving_log/loan_default/") if n.endswith(".parquet")],
        "served",
        60,
    )
    assert lived.objects("shared/dagster/output/")
    assert (
        lived.objects("lake/loan_default/training_set/")
        and lived.objects("audit/")
        and lived.objects("mlflow/")
    )
    left = [path.name for home in (lived.state / "private").iterdir() for path in home.iterdir()]
    assert {*left} <= {
        "dagster",
        "feast",
        "keys",
        "logs",
        "mlflow",
        "serving",
        "serving_log",
        "runs.lock",
    }
    assert not list((lived.state / "private").rglob("registry.db")) + list(
        (lived.state / "private").rglob("mlflow.db")
    )


def test_mlflow_asks_who_it_is(lived: Cluster):
    versions = lived.at("MLFLOW", "/api/2.0/mlflow/registered-models/get?name=loan_default")
    assert httpx.get(versions).status_code == 401
    known = httpx.get(versions, auth=("mlops", lived.passwords["mlflow"]))
    assert known.status_code == 200 and "champion" in known.text


def test_a_command_beside_it_sees_the_same_audit_log(lived: Cluster):
    told = beside(lived, sys.executable, "-m", "mlops_assets.cli", "history", "loan_default")
    assert told.returncode == 0 and "promoted" in told.stdout, told.stdout + told.stderr


CLIENT = """
import json, sys
from mlops_assets.client import open_project
loans, request = open_project(use_case="loans"), json.loads(sys.argv[1])
nobody = open_project(use_case="loans", endpoint="http://127.0.0.1:9")
rows = loans.systems.lake.read("loans/applications", [sys.argv[2]]).select("loan_id", "zipcode", "applied_at")
joined = loans.training_set(rows, ["zipcodes"], time="applied_at")
variant = loans.compare("loan_default", trainer={"max_depth": 1}, features=loans.store.feature_columns("loan_default"))
print(json.dumps({
    "rows": [rows.height, joined.height, joined.width > rows.width],
    "asked": [loans.predictor.serves("loan_default"), nobody.predictor.serves("loan_default")],
    "answers": [one.predict("loan_default", request)["probability"] for one in (loans, nobody)],
    "held_out": variant.rows.height, "said": variant.reason,
    "evidence": str(loans.evidence("loan_default", 1)),
}))
"""


def test_the_client_beside_it_works_as_on_a_laptop(lived: Cluster):
    told = beside(lived, sys.executable, "-c", CLIENT, json.dumps(LOAN), WEEKS[0])
    assert told.returncode == 0, told.stdout + told.stderr
    found = json.loads(told.stdout.splitlines()[-1])
    assert found["rows"][0] == found["rows"][1] > 100 and found["rows"][2]
    assert found["asked"] == [True, False] and found["answers"][0] == found["answers"][1]
    assert found["held_out"] > 100 and found["said"].startswith(("Promoted", "Rejected"))
    assert found["evidence"].startswith("version 1 of loan_default: promoted as version 2")


def beside(cluster: Cluster, *command: str) -> subprocess.CompletedProcess[str]:
    started = [sys.executable, "-m", "mlops_assets.cli", "cluster", "run", "--", *command]
    given = environment(cluster.folder / "home", MLOPS_USE_CASES=str(cluster.folder / "loans"))
    return subprocess.run(started, env=given, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)


def test_no_secret_is_in_a_log_a_private_folder_or_a_command_line(lived: Cluster):
    secrets = lived.passwords
    files = [p for part in ("logs", "private") for p in (lived.state / part).rglob("*") if p.is_file()]
    files = [path for path in files if path.parent.name != "keys"] + [lived.folder / "up.log"]
    assert len(files) > 20
    found = [
        (name, str(p)) for p in files for name, value in secrets.items() if value.encode() in p.read_bytes()
    ]
    assert found == []
    words = [" ".join(one.cmdline()) for one in psutil.Process(lived.process.pid).children(recursive=True)]
    assert [line for line in words for value in secrets.values() if value in line] == []
    private = [lived.state / name for name in ("passwords.json", "environment.json")]
    assert [path.name for path in private if path.stat().st_mode & 0o077] == []
