"""By the wall clock a request is answered as of its arrival, and clocks that jump or differ by minutes lose and double nothing."""

import tempfile
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resources.clock
import resources.features.push
import resources.serving.live_models
from resources.clock import CLOCKS_DIFFER, Clock
from resources.features.push import Pusher
from resources.features.push_sources import PushSource
from resources.features.pushed_moments import PushedMoments
from resources.features.pushes import pushed_rows
from resources.features.service import DescribedService, DescribedView
from resources.features.vectors import OnlineVectors
from resources.lake.lake import parquet
from resources.lake.names import PUSHED
from resources.serving.log import ServingLogResource
from resources.serving.log_writer import ServingLog
from tests.resources.endpoint_in_process import EVENT, NOW, TRIP, Sink, client, endpoint
from tests.resources.serving_fakes import FEATURES, FakeFeatures

WALL = datetime(2026, 3, 1, 23, 55, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Readings(FakeFeatures):
    """The fake store, of which the model reads the view that events are pushed to; it notes what it was asked as of."""

    def __init__(self) -> None:
        self.asked: list[datetime] = []
        self.came, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def describe(self, service: str) -> DescribedService:
        return DescribedService(
            service, "d1", ("distance", "leaves_at"), (DescribedView("weather", "v1", FEATURES),)
        )

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors:
        self.came.set()
        self.gate.wait()
        self.asked.append(as_of)
        return super().online_vectors(service, rows, as_of)


@pytest.fixture
def says(monkeypatch):
    """A function that sets what this machine's clock says, to the clock, the log and the pushes alike."""

    def set_to(moment: datetime) -> None:
        for module in (resources.clock, resources.features.push, resources.serving.live_models):
            monkeypatch.setattr(module, "wall", lambda: moment)

    set_to(WALL)
    return set_to


def predict(http: Any, **query: Any) -> Any:
    found = http.post("/predict/trips", json=TRIP, params=query)
    assert found.status_code == 200, found.text
    return found.json()


def test_the_moment_of_arrival_reaches_store_answer_pages_and_log(says, tmp_path):
    features, log = Readings(), ServingLog(tmp_path / "log")
    with client(endpoint(tmp_path, features=features, clock=Clock(), log=log)) as http:
        for minutes in (0, 7):
            says(WALL + minutes * MINUTE)
            assert predict(http)["as_of"] == (WALL + minutes * MINUTE).isoformat()
        [entry] = http.get("/models").json()
        assert (entry["as_of"], entry["clock"]) == ((WALL + 7 * MINUTE).isoformat(), "wall")
        assert "the arrival of each request" in http.get("/").text
    assert features.asked[-2:] == [WALL, WALL + 7 * MINUTE]
    rows = ServingLogResource(folder=str(log.folder)).read("trips", 10)
    assert rows["__requested_at"].to_list() == rows["__log_timestamp"].to_list() == features.asked[-2:]
    assert rows["__log_date"].n_unique() == 2


def test_a_request_that_waits_is_answered_as_of_when_it_came(says, tmp_path):
    features = Readings()
    with client(endpoint(tmp_path, features=features, clock=Clock())) as http:
        features.gate.clear()
        features.came.clear()
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(predict(http)))
        asking.start()
        assert features.came.wait(60)
        says(WALL + 9 * MINUTE)
        features.gate.set()
        asking.join()
    assert answers[0]["as_of"] == features.asked[-1].isoformat() == WALL.isoformat()


def test_by_the_data_the_wall_clock_moves_nothing(says, tmp_path):
    features = Readings()
    with client(endpoint(tmp_path, features=features)) as http:
        says(WALL + timedelta(days=900))
        assert predict(http)["as_of"] == NOW.isoformat()
        [entry] = http.get("/models").json()
    assert (entry["clock"], features.asked[-1]) == ("data", NOW)


def push(http: Any, moment: datetime) -> Any:
    return http.post("/push/readings", json=EVENT | {"event_timestamp": moment.isoformat()})


def test_an_event_of_a_moment_that_has_not_come_is_refused_with_both_moments_and_now_does_not_creep(
    says, tmp_path
):
    with client(endpoint(tmp_path, features=Readings(), clock=Clock())) as http:
        assert push(http, WALL + CLOCKS_DIFFER).status_code == 200
        for ahead in (CLOCKS_DIFFER + MINUTE, timedelta(days=6)):
            refused = push(http, WALL + ahead)
            assert refused.status_code == 422
            said = refused.json()["detail"][0]["msg"]
            assert (WALL + ahead).isoformat() in said and f"it is {WALL.isoformat()}" in said
        assert push(http, WALL - timedelta(days=300)).status_code == 200


def test_an_event_of_a_machine_whose_clock_is_ahead_counts_and_hides_no_value(says, tmp_path):
    """The online store has one value a key: asked as of before its time, it would have none at all."""
    features = Readings()
    with client(endpoint(tmp_path, features=features, clock=Clock())) as http:
        assert push(http, WALL + 10 * MINUTE).json()["as_of"] == (WALL + 10 * MINUTE).isoformat()
        assert predict(http)["as_of"] == (WALL + 10 * MINUTE).isoformat()
        says(WALL + 11 * MINUTE)
        assert predict(http)["as_of"] == (WALL + 11 * MINUTE).isoformat()
        says(WALL - timedelta(days=2))
        assert predict(http)["as_of"] == (WALL - timedelta(days=2)).isoformat()


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["ask", "push", "jump"]), st.integers(-10, 10)), min_size=1, max_size=25
    )
)
def test_however_the_clock_jumps_every_request_is_logged_once_as_of_the_moment_that_it_was_answered_for(
    steps,
):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        says = WALL

        def wall() -> datetime:
            return says

        for module in (resources.clock, resources.features.push, resources.serving.live_models):
            patch.setattr(module, "wall", wall)
        features, log, answers = Readings(), ServingLog(Path(folder) / "log", every_s=0.01), {}
        pushed: list[datetime] = []
        with client(endpoint(Path(folder), features=features, clock=Clock(), log=log)) as http:
            for what, minutes in steps:
                if what == "jump":
                    says += minutes * MINUTE
                elif what == "push":
                    if push(http, says + minutes * MINUTE).status_code == 200:
                        pushed.append(says + minutes * MINUTE)
                else:
                    answer = predict(http)
                    answers[answer["request_id"]] = answer["as_of"]
                    ahead = [one for one in pushed if says < one]
                    assert says.isoformat() <= answer["as_of"] <= max([says, *ahead]).isoformat()
        rows = ServingLogResource(folder=str(log.folder)).read("trips", 100) if answers else pl.DataFrame()
        logged = dict(zip(rows["__request_id"], rows["__requested_at"], strict=True)) if answers else {}
        assert {name: moment.isoformat() for name, moment in logged.items()} == answers
        assert len(list(rows.rows())) == len(answers)


def test_files_of_writers_whose_clocks_differ_keep_apart_and_each_row_is_read_once(says, tmp_path):
    for offset in (0, -10, 10):
        says(WALL + offset * MINUTE)
        log = ServingLog(tmp_path / "log", merge=2)
        home = tmp_path / str(offset)
        with client(endpoint(home, features=Readings(), clock=Clock(), log=log)) as http:
            for _ in range(3):
                predict(http)
    rows = ServingLogResource(folder=str(tmp_path / "log")).read("trips", 100)
    assert (rows.height, rows["__request_id"].n_unique()) == (9, 9)
    assert rows["__log_timestamp"].is_sorted()


class Files:
    """Stores of which the offline one is files, as Feast's push writes them; online there is the newest push a key."""

    def __init__(self, folder: Path) -> None:
        self.sources, self.online = Sink(folder).sources, {}

    def push_sources(self) -> dict[str, PushSource]:
        return self.sources

    def push(self, source: str, rows: pl.DataFrame, to: str) -> None:
        if to == "offline":
            self.sources[source].folder.write(f"{PUSHED}{uuid.uuid4().hex}.parquet", parquet(rows))
        else:
            self.online = {row["station"]: row["temp"] for row in rows.to_dicts()}


@settings(max_examples=25, deadline=None)
@given(
    pushes=st.lists(
        st.tuples(st.integers(-10, 10), st.integers(0, 1), st.floats(-50, 50, width=16)),
        min_size=2,
        max_size=12,
    )
)
def test_of_two_machines_whose_clocks_jump_the_push_that_came_last_counts_and_each_is_received_later(pushes):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        store = Files(Path(folder))
        moments = PushedMoments(Path(folder) / "moments")
        machines = [Pusher(store, moments, lambda *_: None, lambda _: NOW) for _ in range(2)]
        source, received = store.sources["readings"], []
        for minutes, machine, temp in pushes:
            patch.setattr(resources.features.push, "wall", lambda minutes=minutes: WALL + minutes * MINUTE)
            event = source.event.model_validate(EVENT | {"temp": temp})
            if machines[machine].push(source, [event], "both")["new"]:
                received.append(pushed_rows(source.folder)["created"].max())
            newest = pushed_rows(source.folder).sort("created").row(-1, named=True)
            assert newest["temp"] == pytest.approx(temp) == store.online["EWR"]
        assert received == sorted(set(received))
