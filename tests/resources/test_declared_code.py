"""What code serves a model is what the repository declares: a deployment record is data, and stays in its folder."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlops_assets.stages.served import SCORER, code_of, declared
from resources.records.deployment import Deployment
from resources.serving.live_models import LiveModels
from tests.ml.conftest import parcel_spec
from tests.resources import serving_fakes
from tests.resources.endpoint_in_process import MODEL, TRIP, client, endpoint
from tests.resources.serving_fakes import FakeFeatures


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module that leaves a trace when it is imported."""
    (tmp_path / "witness_of_imports.py").write_text(
        f"open({str(tmp_path / 'imported')!r}, 'w').close()\nclass Thing:\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "witness_of_imports:Thing"
    sys.modules.pop("witness_of_imports", None)
    assert not (tmp_path / "imported").exists(), "a record's import path was imported"


def published(home: Path, **changes: Any) -> None:
    path = home / "serving" / "trips.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "2"} | changes))


@pytest.mark.parametrize("field", ["scorer", "rows", "request"])
def test_a_record_that_names_other_code_is_refused_shown_and_the_old_version_answers(
    tmp_path, witness, field
):
    app = endpoint(tmp_path)
    for path in (witness, "os:system", "tests.resources.serving_fakes:FakeFeatures"):
        published(tmp_path, **{field: path})
        app.state.models.look()
        with client(app) as http:
            said = http.get("/healthz").json()["problems"]["trips"]
            assert f"{field} {path!r} is not what the spec in the repository declares" in said
            assert http.post("/predict/trips", json=TRIP).json()["version"] == "1"


def test_code_that_is_declared_for_one_field_is_not_taken_for_another(tmp_path):
    app = endpoint(tmp_path)
    published(tmp_path, rows="tests.resources.serving_fakes:TripRequest")
    app.state.models.look()
    assert "rows 'tests.resources.serving_fakes:TripRequest' is not" in app.state.models.problems["trips"]


@pytest.mark.parametrize("way", ["/elsewhere", "above", "by a link"])
def test_a_model_file_outside_of_the_records_folder_is_not_read(tmp_path, way):
    app = endpoint(tmp_path)
    outside = tmp_path / "outside.model"
    outside.write_bytes(MODEL)
    (tmp_path / "serving" / "link").symlink_to(outside)
    paths = {
        "/elsewhere": str(outside),
        "above": str(tmp_path / "serving" / "models" / ".." / ".." / "outside.model"),
        "by a link": str(tmp_path / "serving" / "link"),
    }
    published(tmp_path, model_path=paths[way], model_sha256=hashlib.sha256(MODEL).hexdigest())
    app.state.models.look()
    assert "lies outside of" in app.state.models.problems["trips"]
    assert app.state.models.served["trips"].record.version == "1"


@pytest.mark.parametrize("version", ["../7", "..", "7/8", "", "7\n", "-1", "1.0"])
def test_a_version_is_a_number_and_leads_nowhere(version):
    with pytest.raises(ValidationError, match="version"):
        Deployment.model_validate(RECORD | {"version": version})


RECORD = {
    "name": "trips", "version": "1", "task": "regression", "model_path": "f", "model_sha256": "0" * 64, "scorer": "a:B",
    "feature_service": "s", "time": "t",
}  # fmt: skip


def test_the_code_of_the_shipped_models_is_what_their_specs_name():
    code = declared("flight_delay")
    assert code is not None and code.names == {
        "scorer": {SCORER},
        "rows": {"mlops_assets.use_cases.flights.request:entity_rows"},
        "request": {"mlops_assets.use_cases.flights.request:FlightRequest"},
    }
    assert declared("nobody") is None


def test_code_of_earlier_versions_is_taken_where_the_spec_lists_it():
    spec = parcel_spec().model_copy(update={"earlier_code": ["tests.resources.serving_fakes:trip_rows"]})
    assert code_of(spec).named("rows", "tests.resources.serving_fakes:trip_rows").__name__ == "trip_rows"


def test_a_model_that_the_repository_does_not_declare_is_not_served(tmp_path):
    app = endpoint(tmp_path)
    app.state.models.declared = lambda name: None
    published(tmp_path)
    app.state.models.look()
    assert "the repository declares no model 'trips'" in app.state.models.problems["trips"]


def test_a_state_folder_that_was_moved_serves_its_own_model_file(tmp_path):
    (tmp_path / "before").mkdir()
    endpoint(tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    models = LiveModels(tmp_path / "after" / "serving", FakeFeatures(), serving_fakes.declared)
    models.look()
    assert (dict(models.problems), models.served["trips"].record.version) == ({}, "1")
