"""A business of 38 lines of YAML and no Python: replayed by the real command beside the flights, and served over HTTP."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient

from resources.settings import PROJECT_ROOT, settings
from tests.acceptance.commands import environment
from tests.acceptance.state import lake_of
from tests.loans.data import FOLDER, write_loans

DAYS, LAST = 77, "2024-03-17"
LABELLED = "2024-02-16"
"""The last day whose labels are known by then."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLOPS_HOME after `mlops run loans` over eleven weeks of days."""
    folder = tmp_path_factory.mktemp("loans")
    home, data = folder / "home", write_loans(folder / "data", DAYS)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "mlops_assets.cli", "run", "loans", "--through", LAST],
        env=environment(home, data) | {"MLOPS_USE_CASES": str(FOLDER), "LOANS_DATA": str(data)},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return home


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


def test_it_is_served_with_missing_values_and_with_categories_that_no_training_row_had(
    lived: Path, monkeypatch: pytest.MonkeyPatch
):
    from resources.serving.ray_serve import http_application

    monkeypatch.setitem(os.environ, "MLOPS_USE_CASES", str(FOLDER))
    monkeypatch.setitem(os.environ, "LOANS_DATA", str(lived.parent / "data"))
    monkeypatch.setitem(os.environ, "MLOPS_HOME", str(lived))
    with TestClient(http_application(settings()), base_url="http://127.0.0.1:8000") as client:

        def asked(**body: Any) -> Any:
            return client.post("/predict/loan_default?features=true", json=body)

        whole = {"zipcode": 10_001, "amount": 9_000.0, "term": 36, "grade": "A"}
        good, bad = asked(**whole).json(), asked(**whole | {"grade": "D"}).json()
        assert 0 < good["probability"] < bad["probability"] < 1
        assert good["as_of"] == "2024-03-18T00:00:00+00:00"
        assert good["features"].keys() == {"population", "unemployment", "amount", "term", "grade"}

        empty, left_out = asked(**whole | dict.fromkeys(["amount", "term", "grade"])), asked(zipcode=10_001)
        assert empty.json()["probability"] == left_out.json()["probability"]
        assert "warnings" not in empty.json()

        unseen = asked(**whole | {"zipcode": 1, "grade": "Z"}).json()
        assert unseen["warnings"] == ["grade 'Z' was not in the training rows"]
        assert unseen["features"]["population"] is None

        wrong = asked(**whole | {"amount": "much"})
        assert wrong.status_code == 422 and wrong.json()["detail"][0]["loc"] == ["body", "amount"]
        assert asked(**whole | {"colour": 1}).json()["detail"][0]["loc"] == ["body", "colour"]
        assert asked(**whole | {"zipcode": None}).json()["detail"][0]["loc"] == ["body", "zipcode"]
