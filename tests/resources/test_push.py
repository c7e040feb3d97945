"""An event posted to the endpoint is in both real stores, once, and the next prediction uses it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient

from mlops_assets.ml.tables import Expectation
from mlops_assets.spec.calendar import Partition
from mlops_assets.stages.tables import Table, build_partition
from mlops_assets.stages.training_set import differing_cells
from mlops_assets.use_cases.flights.request import entity_rows
from mlops_assets.use_cases.flights.schema import FEATURES
from mlops_assets.use_cases.flights.tables import WEEKS
from resources.features.store import FeatureStoreResource
from resources.lake.lake import Lake
from resources.serving.log import ServingLogResource
from tests.flights import lakes
from tests.flights.pushing import LATER, NOW, SOURCE, START, UNKNOWN, Running, copied, event, prepared_state
from tests.flights.served import SERVICE
from tests.flights.shortened import short_spec


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_state(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def running(prepared: Path, tmp_path: Path) -> Running:
    return copied(prepared, tmp_path / "state")


@pytest.fixture
def http(running: Running) -> Iterator[TestClient]:
    with running.client() as client:
        yield client


@pytest.fixture(scope="module")
def refusing(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, TestClient]]:
    """A state and its endpoint for events that are refused: each test looks that nothing was taken."""
    running = copied(prepared, tmp_path_factory.mktemp("refusing") / "state")
    with running.client() as client:
        yield running, client


def test_the_next_prediction_uses_a_pushed_observation_and_so_does_the_offline_join(running, http):
    before = running.predict(http)
    assert before["value"] not in (71.5, UNKNOWN) and before["as_of"] == NOW.isoformat()
    reply = http.post(f"/push/{SOURCE}", json=event())
    assert (reply.status_code, reply.json()) == (
        200,
        {"source": SOURCE, "to": "both", "events": 1, "new": 1, "as_of": LATER.isoformat()},
    )
    after = running.predict(http)
    assert (after["value"], after["as_of"]) == (71.5, LATER.isoformat())
    offline = running.offline(LATER)
    assert {name: offline[name] for name in after["features"]} == after["features"]
    assert running.offline(LATER - timedelta(seconds=1))["temp"] == before["value"]
    assert running.offline(LATER + timedelta(hours=3))["temp"] == 71.5
    assert running.offline(LATER + timedelta(hours=3, seconds=1))["temp"] is None


def test_other_origins_keep_what_they_had(running, http):
    before = running.predict(http, origin="JFK")
    http.post(f"/push/{SOURCE}", json=event(NOW))
    after = running.predict(http, origin="JFK")
    assert before.pop("request_id") != after.pop("request_id")
    assert after == before


def test_the_same_event_twice_is_there_once(running, http):
    first = http.post(f"/push/{SOURCE}", json=[event(), event()]).json()
    again = http.post(f"/push/{SOURCE}", json=event()).json()
    assert (first["new"], again["new"]) == (1, 0)
    assert sum(pl.read_parquet(path).height for path in running.pushed_files()) == 1
    with running.client() as restarted:
        assert restarted.post(f"/push/{SOURCE}", json=event()).json()["new"] == 0
        assert running.predict(restarted)["value"] == 71.5


def test_of_two_values_for_one_moment_the_one_sent_last_counts_and_may_be_taken_back(running, http):
    for temp in (60.0, 65.0, 60.0):
        assert http.post(f"/push/{SOURCE}", json=event(temp=temp)).json()["new"] == 1
        assert running.predict(http)["value"] == running.offline(LATER)["temp"] == temp


def test_an_older_event_is_kept_for_history_and_does_not_set_serving_back(running, http):
    http.post(f"/push/{SOURCE}", json=event())
    older = NOW - timedelta(days=3, minutes=7)
    assert http.post(f"/push/{SOURCE}", json=event(older, temp=33.0)).json()["as_of"] == LATER.isoformat()
    assert running.predict(http)["value"] == 71.5
    assert running.offline(older)["temp"] == 33.0


def test_a_pushed_value_outlives_a_restart_and_the_next_materialisation(running, http):
    http.post(f"/push/{SOURCE}", json=event())
    running.store.materialize(running.store.views(SERVICE), START, LATER)
    with running.client() as restarted:
        answer = running.predict(restarted)
    assert (answer["value"], answer["as_of"]) == (71.5, LATER.isoformat())


def test_one_store_alone_can_be_pushed_to(running, http):
    http.post(f"/push/{SOURCE}?to=offline", json=event())
    assert running.predict(http)["as_of"] == NOW.isoformat()
    assert running.offline(LATER)["temp"] == 71.5
    reply = http.post(f"/push/{SOURCE}?to=online", json=event(temp=60.0))
    assert (reply.json()["new"], running.predict(http)["value"]) == (0, 60.0)
    assert running.offline(LATER)["temp"] == 71.5
    assert http.post(f"/push/{SOURCE}?to=nowhere", json=event()).status_code == 422


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_not_pushed_and_the_field_is_named(refusing, number):
    running, http = refusing
    for batch, where in (([event()], [0]), (event(), [])):
        body = json.dumps(batch).replace("71.5", number)
        reply = http.post(f"/push/{SOURCE}", content=body, headers={"content-type": "application/json"})
        assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, ["body", *where, "temp"])
        assert "finite number" in reply.json()["detail"][0]["msg"]
    assert running.pushed_files() == []


def test_a_prediction_after_a_push_is_logged_as_of_the_new_moment(running):
    with running.client() as http:
        running.predict(http)
        http.post(f"/push/{SOURCE}", json=event())
        running.predict(http)
    log = ServingLogResource(folder=str(running.folder / "serving_log")).read("flight_delay", 10)
    assert log["__requested_at"].to_list() == [NOW, LATER]
    assert log["weather__temp__timestamp"][1] == LATER


@pytest.mark.parametrize(
    ("body", "where", "words"),
    [
        (event(temp="warm"), ["body", "temp"], "valid number"),
        (event(temp=1e39), ["body", "temp"], "less than or equal"),
        (event(origin=None), ["body", "origin"], "valid string"),
        (event(origin=""), ["body", "origin"], "at least 1 character"),
        (event(tmep=3.0), ["body", "tmep"], "not permitted"),
        ({"origin": "EWR", "temp": 3.0}, ["body", "event_timestamp"], "required"),
        (event() | {"event_timestamp": "2013-03-18T04:20:00"}, ["body", "event_timestamp"], "timezone"),
        (event(temp=None), ["body"], "no value: give at least one of temp, dewp"),
        (event(NOW + timedelta(days=8)), ["body", "event_timestamp"], "more than 7 days after 2013-03-18"),
        ([event(), event(temp=60.0)], ["body"], "hold different values"),
        ([event(), event(LATER, temp="warm")], ["body", 1, "temp"], "valid number"),
        ([event(), event(NOW + timedelta(days=80))], ["body", 1, "event_timestamp"], "correct it"),
        ([], ["body"], "no event"),
        ([event()] * 1001, ["body"], "at most 1000"),
        (7, ["body"], "valid dictionary"),
    ],
)
def test_a_wrong_event_gets_422_with_the_field_and_the_rule_and_none_of_the_batch_is_taken(
    refusing, body, where, words
):
    running, http = refusing
    reply = http.post(f"/push/{SOURCE}", json=body)
    (problem, *_) = reply.json()["detail"]
    assert (reply.status_code, problem["loc"]) == (422, where)
    assert words in problem["msg"]
    assert running.pushed_files() == []
    assert running.predict(http)["as_of"] == NOW.isoformat()


def test_an_unknown_source_gets_404_with_the_sources_there_are(refusing):
    reply = refusing[1].post("/push/weather", json=event())
    assert (reply.status_code, reply.json()["detail"]["sources"]) == (404, [SOURCE])


def test_a_store_that_fails_is_told_and_the_same_event_may_be_sent_again(running, http, monkeypatch):
    def away(*_):
        raise OSError("disk away")

    with monkeypatch.context() as patch:
        patch.setattr(FeatureStoreResource, "push", away)
        reply = http.post(f"/push/{SOURCE}", json=event())
    assert (reply.status_code, "disk away" in reply.json()["detail"]) == (500, True)
    assert running.predict(http)["as_of"] == NOW.isoformat()
    assert http.post(f"/push/{SOURCE}", json=event()).json()["new"] == 1


def test_the_page_shows_a_curl_line_that_works(running, http):
    import html
    import json

    page = html.unescape(http.get("/").text)
    body = json.loads(page.split(f"/push/{SOURCE}")[1].split("-d '")[1].split("'")[0])
    reply = http.post(f"/push/{SOURCE}", json=body | {"event_timestamp": LATER.isoformat()})
    assert reply.status_code == 200, reply.text


def test_files_of_pushed_rows_are_no_partition(running, http):
    weeks = running.lake.partitions("flights/features/weather")
    http.post(f"/push/{SOURCE}", json=event())
    assert running.lake.partitions("flights/features/weather") == weeks
    assert len(running.pushed_files()) == 1


def test_many_pushes_are_few_files_and_the_next_ingestion_leaves_one(running, http, monkeypatch):
    monkeypatch.setattr("resources.features.push.MOST_FILES", 3)
    moments = [NOW + timedelta(minutes=n) for n in range(8)]
    for n, moment in enumerate(moments):
        http.post(f"/push/{SOURCE}", json=event(moment, temp=float(n)))
        assert len(running.pushed_files()) <= 3
    assert [running.offline(moment)["temp"] for moment in moments] == [float(n) for n in range(8)]
    assert http.post(f"/push/{SOURCE}", json=event(moments[0], temp=0.0)).json()["new"] == 0
    assert len(running.pushed_files()) > 1
    ingest_again(running.lake, "flights/features/weather")
    assert len(running.pushed_files()) == 1
    assert [running.offline(moment)["temp"] for moment in moments] == [float(n) for n in range(8)]
    assert running.predict(http)["value"] == 7.0


def ingest_again(lake: Lake, table: str) -> None:
    """Write a table's newest week as its asset does."""
    week = lake.partitions(table)[-1]
    expected = Expectation(FEATURES["weather"], ("origin", "event_timestamp"))
    findings, manifest = build_partition(
        lake, Table(table, lambda there, span: there.read(table, [span.name]), expected, WEEKS), week
    )
    assert manifest is not None, findings


def test_without_a_model_the_table_itself_says_how_far_ahead_is_too_far(running):
    running.endpoint.withdraw("flight_delay")
    with running.client() as http:
        assert http.post(f"/push/{SOURCE}", json=event(NOW + timedelta(days=80))).status_code == 422
        assert http.post(f"/push/{SOURCE}", json=event()).json()["as_of"] == LATER.isoformat()


def test_the_check_for_leaks_knows_pushed_rows(running, http):
    spec, week = short_spec("flight_delay"), lakes.MONDAYS[1]
    start, end = lakes.bounds(week)
    http.post(f"/push/{SOURCE}", json=event(NOW - timedelta(days=2), temp=20.0))
    http.post(f"/push/{SOURCE}", json=event(NOW - timedelta(days=2), temp=10.0))
    moments = pl.datetime_range(NOW - timedelta(days=2), NOW, "1h", time_zone="UTC", eager=True)
    flights = lakes.random_flights(7, moments.len()).with_columns(
        prediction_time=moments, origin=pl.lit("EWR")
    )
    rows = entity_rows(flights)
    joined = running.store.historical(SERVICE, rows, "prediction_time")
    assert joined["temp"][0] == 10.0
    span = Partition(f"{week:%Y-%m-%d}", start, end)
    assert differing_cells(spec, running.lake, running.store, [span], [rows], [joined]) == [{}]
