"""A model that is given nothing but what its request brings, without one feature view: trained, deployed and served."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient

from resources.settings import PROJECT_ROOT, settings
from tests import forked
from tests.acceptance.state import lake_of, tracking_of
from tests.loans.data import write_loans
from tests.small_year import environment

FOLDER = PROJECT_ROOT / "tests" / "quotes"
QUOTE = {"amount": 9_000.0, "term": 36, "grade": "A"}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLOPS_HOME after `mlops run quotes` over eight weeks."""
    folder = tmp_path_factory.mktemp("quotes")
    more = {"MLOPS_USE_CASES": str(FOLDER), "LOANS_DATA": str(write_loans(folder / "data", 56))}
    command = ["-m", "mlops_assets.cli", "run", "quotes"]
    done = forked.run(command, environment(folder / "home", **more), PROJECT_ROOT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "home"


@pytest.fixture
def client(lived: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    from resources.serving.hosting import http_application

    more = {"MLOPS_USE_CASES": str(FOLDER), "LOANS_DATA": str(lived.parent / "data")}
    for name, value in (more | {"MLOPS_HOME": str(lived)}).items():
        monkeypatch.setenv(name, value)
    with TestClient(http_application(settings()), base_url="http://127.0.0.1:8000") as client:
        yield client


def test_it_is_trained_on_its_columns_and_judged_with_real_metrics(lived: Path):
    assert tracking_of(lived).champion("quote_default") is not None
    lake = lake_of(lived)
    rows = lake.read("quote_default/training_set")
    assert rows.columns == ["loan_id", "applied_at", "defaulted", "grade", "amount", "term"]
    assert rows.height == 56 * 60
    weeks = lake.read("quote_default/performance")
    scored = weeks.filter(pl.col("model_version").is_not_null() & (pl.col("labelled") > 0))
    assert scored.height >= 2 and scored["auc"].is_between(0.6, 1).all()


def test_it_answers_from_the_request_alone(client: TestClient):
    def asked(**body: object) -> dict:
        reply = client.post("/predict/quote_default?features=true", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    good, bad = asked(**QUOTE), asked(**QUOTE | {"grade": "D"})
    assert 0 < good["probability"] < bad["probability"] < 1
    assert good["features"] == QUOTE and good["as_of"] == "2024-02-26T00:00:00+00:00"
    assert 0 < asked()["probability"] < 1
    several = client.post("/predict/quote_default", json=[QUOTE, QUOTE | {"grade": "D"}])
    wrong = client.post("/predict/quote_default", json={"zipcode": 10_001})
    assert wrong.status_code == 422 and wrong.json()["detail"][0]["loc"] == ["body", "zipcode"]
    assert [one["probability"] for one in several.json()] == [good["probability"], bad["probability"]]
