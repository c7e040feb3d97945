"""The loans' YAML, read beside the flights: what it becomes, and what is refused in it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets.components.use_case import UseCaseError, load_use_case
from mlops_assets.spec.decides import of_a_fit, of_a_stage
from mlops_assets.spec.files import declared_specs, read_specs
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.declared_features import described
from resources.features.inputs import service_inputs
from resources.features.repository import Repository
from resources.features.stores import repository_of
from resources.serving.http.bodies import RequestValidationError, validated
from resources.serving.http.forms import request_frame, request_model
from resources.serving.reached import reach, reached
from resources.storage.mirror import Mirror
from resources.use_case_folders import UseCaseFolder, use_case_folder
from tests.loans.data import FOLDER, START

MOST_LINES = 40
NO_REQUEST = {"table": "applications", "key": ["loan_id"], "time": "applied_at"}


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_USE_CASES", str(FOLDER))


def test_it_is_a_page_of_yaml_and_loads_beside_the_flights():
    lines = [line for file in FOLDER.glob("*.yaml") for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES
    specs = read_specs()
    assert {"flight_delay", "arrival_minutes", "loan_default"} <= specs.keys()
    loaded = load_use_case(use_case_folder("loans"))
    assert [table.key for table in loaded.tables] == [
        "loans/applications",
        "loans/zipcodes",
        "loans/features/zipcodes",
    ]
    assert specs["loan_default"].model_dump() == loaded.specs["loan_default"].model_dump()


def test_its_repository_is_made_of_its_yaml_and_the_flights_keep_theirs():
    inputs = service_inputs("loan_default", repository_of("loans"))
    assert inputs.features == {"zipcodes": ["population", "unemployment"]} and inputs.keys == ["zipcode"]
    flights = repository_of("flights")
    assert flights.package and not flights.declared.views and not flights.declared.services


def test_what_it_declares_is_read_once_for_its_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = UseCaseFolder(tmp_path / "loans", "loans")
    folder.path.mkdir()
    for file in FOLDER.glob("*.yaml"):
        (folder.path / file.name).write_text(file.read_text())
    counted: Counter[str] = Counter()
    whole = Path.read_text

    def read(path: Path, *arguments: Any, **named: Any) -> str:
        counted[path.name] += path.parent == folder.path
        return whole(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", read)
    assert described(Repository(project="loans"), folder).declared.services
    assert counted == {"use_case.yaml": 1, "defs.yaml": 1}


def test_request_columns_are_given_to_the_model_and_texts_are_categories():
    spec = read_specs()["loan_default"]
    assert spec.prediction.table == "loans/applications" and spec.feature_service == "loan_default"
    assert spec.trainer.categories == ["grade"] and spec.row_columns == ["grade", "amount", "term"]
    assert ModelSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_they_decide_the_model_and_a_model_without_them_has_the_identity_that_it_had():
    content = read_specs()["loan_default"].model_dump(mode="json")
    assert {"amount", "term", "grade"} == of_a_fit(content)["prediction"]["request"].keys()
    flights = declared_specs()["flight_delay"].model_dump(mode="json")
    assert "features" not in of_a_fit(flights) and "request" not in of_a_fit(flights)["prediction"]
    assert "features" not in of_a_stage("deployment", flights)


def test_a_request_may_lack_what_may_be_missing_and_nothing_else():
    model = request_model("loans", {"zipcode": int}, {"amount": "float | null", "urgent": "bool"})
    requests = validated(model, [{"zipcode": 1, "urgent": True}], batch=True)
    row = request_frame(requests, "asked_at", START).row(0, named=True)
    assert (row["amount"], row["urgent"], row["asked_at"]) == (None, True, START)
    for wrong in ({"zipcode": 1}, {"zipcode": 1, "urgent": None}):
        with pytest.raises(RequestValidationError) as refused:
            validated(model, [wrong], batch=False)
        assert [problem["loc"] for problem in refused.value.errors()] == [["body", "urgent"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": ["zipcode"]}, "there is no feature view 'zipcode'"),
        ({"features": {"exclude": ["zipcodes:mayor"]}}, "has no mayor"),
        (
            {"features": {"exclude": ["zipcodes"]}, "prediction": NO_REQUEST},
            "nothing is left of zipcodes: name a",
        ),
        ({"features": [], "prediction": NO_REQUEST}, "nothing is left of zipcodes: name a"),
        ({"feature_service": "other"}, "say twice what the model is given"),
        ({"features": None}, "nothing says what the model is given"),
        ({"request": {"defaulted": "bool | null"}}, "not be given what it is to predict"),
        ({"request": {"population": "int"}}, "rename one of them"),
        ({"request": {"zipcode": "int"}}, "is a join key"),
        ({"request": {"loan_id": "int"}}, "is prediction.key too"),
        ({"request": {"asked_on": "date"}}, "a model takes int, float, str, bool"),
    ],
)
def test_what_cannot_be_is_refused_with_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, said: str
):
    folder = tmp_path / "loans"
    folder.mkdir()
    (folder / "use_case.yaml").write_text((FOLDER / "use_case.yaml").read_text())
    documents = list(yaml.safe_load_all((FOLDER / "defs.yaml").read_text()))
    attributes = documents[-1]["attributes"]
    if "request" in change:
        attributes["prediction"]["request"] = change["request"]
    else:
        attributes.update(change)
    (folder / "defs.yaml").write_text(yaml.safe_dump_all(documents))
    monkeypatch.setenv("MLOPS_USE_CASES", str(folder))
    with pytest.raises(UseCaseError, match=said):
        load_use_case(UseCaseFolder(folder, "loans"))


def test_now_of_one_use_case_is_not_that_of_another(tmp_path: Path):
    later = START.replace(year=START.year + 1)
    records = Mirror(tmp_path)
    assert reach(records, "flights", later) and reached(tmp_path, "loans") is None
    assert reach(records, "loans", START) and not reach(records, "loans", START)
    assert reached(tmp_path, "loans") == START
    assert not reach(records, "flights", START.replace(year=2013))
