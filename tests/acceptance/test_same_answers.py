"""Answers without frames are the answers by frames: scores to the last bit, features, event times, statuses and the log."""

import numpy as np
import pytest
from polars.testing import assert_frame_equal

from resources.features.vectors import OnlineVectors
from resources.serving.fast import compiled
from resources.serving.http.forms import request_frame
from resources.serving.log import ServingLogResource
from resources.serving.log_writer import ServingLog
from tests.flights.endpoint_state import MOMENTS, NOW, SERVICE, TRAINERS, State, as_of

ODD = [
    {"tailnum": None},
    {"carrier": "ZZ"},
    {"origin": "XXX", "dest": "YYY", "tailnum": "N0", "flight": 9999},
]
"""Keys that are missing, and entities and categories that nothing is known of."""


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def state(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> State:
    if request.param == "sqlite":
        return State(tmp_path_factory.mktemp("fast"))
    port = request.getfixturevalue("redis_port")
    return State(tmp_path_factory.mktemp("fast"), f"redis://127.0.0.1:{port}/13")


def asked(state: State):
    some = state.requests(200)
    return some + [some[place].model_copy(update=change) for place, change in enumerate(ODD)]


def by_frames(model, requests, now):
    rows = model.rows(request_frame(requests, model.record.time, now))
    vectors = model.features.online_vectors(SERVICE, rows, now)
    return vectors, np.asarray(model.scorer.predict(vectors.frame), np.float64)


@pytest.mark.parametrize("size", [1, 3, 64])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", list(TRAINERS))
def test_scores_features_times_and_statuses_are_those_by_frames(state, name, moment, size):
    model = state.live().served[name]
    requests, statuses = asked(state), set()
    vectors, scores = by_frames(model, requests, moment)
    for first in range(0, len(requests), size):
        found = model.fast.scored(requests[first : first + size], moment)
        part = slice(first, first + size)
        wanted = OnlineVectors(vectors.frame[part], vectors.event_times[part], vectors.statuses[part])
        assert compiled.difference(wanted, scores[part], found) is None
        statuses |= set(found.vectors.statuses.unpivot()["value"])
    unseen = model.scorer.unseen(vectors.frame)
    assert model.fast.scored(requests, moment).unseen == unseen and unseen
    assert {"PRESENT", "NOT_FOUND", "NULL_VALUE"} <= statuses
    assert "OUTSIDE_MAX_AGE" in statuses or moment <= NOW


def test_answers_and_the_log_are_those_by_frames(state, tmp_path):
    requests = asked(state)
    logs = {}
    for way, live in (("fast", state.live), ("frames", state.by_frames)):
        log = ServingLog(tmp_path / way)
        models = as_of(live(log), NOW)
        answers = [a for r in requests[:30] for a in models.predict(models.served["flight_delay"], [r])]
        answers += models.predict(models.served["flight_delay"], requests, with_features=True)
        log.close()
        for answer in answers:
            answer.pop("request_id")
        read = ServingLogResource(folder=str(tmp_path / way)).read("flight_delay", 1000)
        logs[way] = answers, read.drop("__request_id", "__log_timestamp", "__log_date")
    assert logs["fast"][0] == logs["frames"][0]
    assert_frame_equal(logs["fast"][1], logs["frames"][1], check_exact=True)
    assert logs["fast"][1].height == 30 + len(requests)


def test_a_function_that_gives_other_features_is_found_when_the_model_is_loaded(state, monkeypatch, caplog):
    from feature_repo.forms import Form
    from mlops_assets.use_cases.flights.features.trip import trip_of
    from resources.features import feature_repository

    def wrong(
        departs_at,
        arrives_at,
        requested_at,
        plane_year,
        aircraft_free_at,
        aircraft_leg_minutes,
        aircraft_seen_at,
    ):
        found = trip_of(
            departs_at,
            arrives_at,
            requested_at,
            plane_year,
            aircraft_free_at,
            aircraft_leg_minutes,
            aircraft_seen_at,
        )
        return found | {"trip_minutes": found["trip_minutes"] or 0.0}

    monkeypatch.setattr(feature_repository, "forms", lambda _: {"trip": Form("trip", scalar=wrong)})
    model = state.live().served["flight_delay"]
    assert model.fast is None
    assert "trip_minutes is 0.0 by the function of its form and None by that of its view" in caplog.text
    (answer,) = as_of(state.live(), NOW).predict(model, state.requests(1))
    assert 0 < answer["probability"] < 1


def test_features_that_are_written_while_a_model_is_loaded_do_not_keep_it_from_its_fast_way(
    state, monkeypatch
):
    model, (request,) = state.live().served["flight_delay"], state.requests(1)
    whole, temperatures = compiled.by_frames, [3.0, 4.0, 5.0]

    def by_frames(model, requests, now):
        found = whole(model, requests, now)
        if temperatures:
            observe(state, request.origin, temperatures.pop())
        return found

    monkeypatch.setattr(compiled, "by_frames", by_frames)
    assert compiled.compiled(model, request, NOW) is not None
    assert temperatures == []


def observe(state, origin, temperature):
    """Write an observation of the weather online that is as new as the newest."""
    import pandas as pd

    feast = state.store.feast()
    view = feast.get_feature_view("weather")
    source = view.batch_source
    times = {name: [NOW] for name in (source.timestamp_field, source.created_timestamp_column) if name}
    values = {feature.name: [temperature] for feature in view.features}
    feast.write_to_online_store("weather", pd.DataFrame({"origin": [origin], **times, **values}))
