"""A business of 38 lines of YAML and no Python: replayed by the real command beside the flights, and served with them."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from fastapi.testclient import TestClient

from mlops_assets.use_cases.flights.request import EXAMPLE
from resources.settings import PROJECT_ROOT, Settings, settings
from tests.acceptance.dagster_server import Dagster, wait
from tests.acceptance.state import lake_of
from tests.loans.state import DAYS, LABELLED, variables
from tests.small_year import environment

LOAN = {"zipcode": 10_001, "amount": 9_000.0, "term": 36, "grade": "A"}
FLIGHT = EXAMPLE | {
    "scheduled_departure": "2013-02-25T08:00:00-05:00",
    "scheduled_arrival": "2013-02-25T11:00:00-05:00",
}
"""One of the first morning after what the state holds of the flights."""


@pytest.fixture(scope="module")
def lived(loans_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLOPS_HOME, of the test's own, after `mlops run loans` over eleven weeks of days beside the flights."""
    folder = tmp_path_factory.mktemp("loans")
    shutil.copytree(loans_home.parent / "data", folder / "data")
    return shutil.copytree(loans_home, folder / "home")


@pytest.fixture
def client(lived: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The endpoint's application over that state, in this process."""
    from resources.serving.hosting import http_application

    for name, value in (variables(lived.parent) | {"MLOPS_HOME": str(lived)}).items():
        monkeypatch.setitem(os.environ, name, value)
    with TestClient(http_application(settings()), base_url="http://127.0.0.1:8000") as client:
        yield client


def test_each_day_is_reported_and_what_was_scored_before_its_label_came_has_real_metrics(lived: Path):
    lake = lake_of(lived)
    days = lake.read("loan_default/performance")
    assert len(lake.partitions("loan_default/performance")) == DAYS
    scored = days.filter(pl.col("model_version").is_not_null() & (pl.col("labelled") > 0))
    assert scored.height >= 2
    assert scored["auc"].is_not_null().all() and scored["log_loss"].is_between(0.1, 1.5).all()


def test_what_is_not_known_yet_is_no_label(lived: Path):
    lake = lake_of(lived)
    labelled = {
        name: lake.read("loan_default/performance", [name])["labelled"][0]
        for name in lake.partitions("loan_default/performance")
    }
    assert all(count == (60 if day <= LABELLED else 0) for day, count in labelled.items()), labelled


def test_it_is_served_with_missing_values_and_with_categories_that_no_training_row_had(client: TestClient):
    def asked(**body: Any) -> Any:
        return client.post("/predict/loan_default?features=true", json=body)

    good, bad = asked(**LOAN).json(), asked(**LOAN | {"grade": "D"}).json()
    assert 0 < good["probability"] < bad["probability"] < 1
    assert good["as_of"] == "2024-03-18T00:00:00+00:00"
    assert good["features"].keys() == {"population", "unemployment", "amount", "term", "grade"}

    empty, left_out = asked(**LOAN | dict.fromkeys(["amount", "term", "grade"])), asked(zipcode=10_001)
    assert empty.json()["probability"] == left_out.json()["probability"]
    assert "warnings" not in empty.json()

    unseen = asked(**LOAN | {"zipcode": 1, "grade": "Z"}).json()
    assert unseen["warnings"] == ["grade 'Z' was not in the training rows"]
    assert unseen["features"]["population"] is None

    wrong = asked(**LOAN | {"amount": "much"})
    assert wrong.status_code == 422 and wrong.json()["detail"][0]["loc"] == ["body", "amount"]
    assert asked(**LOAN | {"colour": 1}).json()["detail"][0]["loc"] == ["body", "colour"]
    assert asked(**LOAN | {"zipcode": None}).json()["detail"][0]["loc"] == ["body", "zipcode"]


def test_one_process_answers_for_both_businesses_each_as_of_its_own_now(client: TestClient):
    models = {one["name"]: one["problem"] for one in client.get("/models").json()}
    assert models == {"flight_delay": None, "loan_default": None}
    loan, flight = (
        client.post(f"/predict/{model}?features=true", json=body).json()
        for model, body in (("loan_default", LOAN), ("flight_delay", FLIGHT))
    )
    assert (loan["as_of"], flight["as_of"]) == ("2024-03-18T00:00:00+00:00", "2013-02-25T05:00:00+00:00")
    assert 0 < loan["probability"] < 1 and 0 < flight["probability"] < 1
    assert flight["features"]["schedule_departures"] > 0, "of a flight after now its schedule is known"
    assert not loan["features"].keys() & flight["features"].keys()


@pytest.fixture
def ports(lived: Path, free_port: Any) -> Settings:
    """The state's settings, with a free port for each server."""
    named = {f"MLOPS_{name}_PORT": str(free_port()) for name in ("DAGSTER", "MLFLOW", "SERVE")}
    return settings({"MLOPS_HOME": str(lived), **named})


def test_mlops_dev_shows_both_in_one_page_and_serves_both(lived: Path, ports: Settings):
    more = {
        "MLOPS_DAGSTER_PORT": str(ports.dagster_port),
        "MLOPS_MLFLOW_PORT": str(ports.mlflow_port),
        "MLOPS_SERVE_PORT": str(ports.serve_port),
    }
    running = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "mlops_assets.cli", "dev"],
        env=environment(lived, **variables(lived.parent), **more),
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    told = []
    try:
        assert running.stdout is not None
        for line in running.stdout:
            told.append(line)
            if "Ctrl-C stops all" in line:
                break
        assert running.poll() is None, "".join(told)
        endpoint = f"http://127.0.0.1:{ports.serve_port}"

        def answer(model: str, body: Any) -> Any:
            reply = httpx.post(f"{endpoint}/predict/{model}", json=body, timeout=60)
            return reply.json().get("probability") if reply.status_code == 200 else None

        for model, body in (("loan_default", LOAN), ("flight_delay", FLIGHT)):
            assert 0 < wait(lambda m=model, b=body: answer(m, b), f"{model} answers", 120) < 1
        dagster = Dagster(f"http://127.0.0.1:{ports.dagster_port}")
        assets = {"/".join(path) for path in wait(dagster.assets, "the assets are there", 120)}
        assert {
            "flights/raw",
            "flight_delay/deployment",
            "loans/applications",
            "loan_default/deployment",
        } <= assets
        assert not any(name.endswith("does_not_load") for name in assets)
    finally:
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=90)
    assert running.returncode == 0, "".join(told) + rest
