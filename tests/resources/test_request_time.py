"""When a prediction is made is the endpoint's to say: no request may say it too."""

import hashlib

import pytest

from resources.serving.live_models import LiveModels
from resources.serving.ray_serve import Endpoint
from tests.resources.serving_fakes import FakeFeatures, declared


@pytest.fixture
def look(tmp_path):
    """Models after a record was published whose time is the column `leaves_at`."""

    def taken_up(**changes) -> LiveModels:
        (tmp_path / "serving").mkdir(exist_ok=True)
        (tmp_path / "serving" / "trips.model").write_bytes(b'{"slope": 1}')
        record = {
            "name": "trips",
            "version": "1",
            "task": "regression",
            "model_path": str(tmp_path / "serving" / "trips.model"),
            "model_sha256": hashlib.sha256(b'{"slope": 1}').hexdigest(),
            "scorer": "tests.resources.serving_fakes:FakeScorer",
            "feature_service": "trips_v1",
            "time": "leaves_at",
            "moment": "2014-01-06T05:00:00+00:00",
        }
        Endpoint(folder=str(tmp_path / "serving")).publish({**record, **changes})
        models = LiveModels(tmp_path / "serving", FakeFeatures(), declared)
        models.look()
        return models

    return taken_up


def test_a_request_made_from_the_service_does_not_ask_for_the_time(look):
    models = look()
    assert models.problems == {}
    assert set(models.served["trips"].request.model_fields) == {"distance"}


def test_a_request_model_with_the_time_is_refused_with_both_names(look):
    models = look(
        request="tests.resources.serving_fakes:TripRequest", rows="tests.resources.serving_fakes:trip_rows"
    )
    said = models.problems["trips"]
    assert "TripRequest has the field 'leaves_at', which is prediction.time" in said
