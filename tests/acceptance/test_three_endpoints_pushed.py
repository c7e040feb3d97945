"""Three endpoints of one model that take pushes at once: each event is there once, the newest counts, and all refuse alike."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from resources.features.push import MOST_AHEAD
from resources.serving_limits import LARGEST_BATCH, Limits
from tests.acceptance.versioned import Server, offer, started, until
from tests.resources.versions.readings import Readings

INGESTED = datetime(2014, 1, 6, 5, tzinfo=UTC)
"""The moment of the records of `versioned`."""

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pushed")
    offer(folder, {})
    return folder


@pytest.fixture(scope="module")
def servers(home: Path, free_port: Any) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [stack.enter_context(started(home, free_port())) for _ in range(3)]


def event(station: str, moment: datetime, temp: float) -> dict[str, Any]:
    return {"station": station, "event_timestamp": moment.isoformat(), "temp": temp}


def pushed(server: Server, *events: dict[str, Any]) -> httpx.Response:
    return server.http.post("/push/readings", json=list(events))


def at_once(servers: Sequence[Server], bodies: Sequence[list[dict[str, Any]]]) -> list[httpx.Response]:
    """The answers of all, asked at the same time."""
    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(lambda server, body: pushed(server, *body), servers, bodies))


def as_of(server: Server) -> datetime:
    return datetime.fromisoformat(server.ask(3.0)["as_of"])


def test_an_event_that_all_are_sent_at_once_is_written_once(servers, home):
    for number in range(10):
        events = [event("EWR", INGESTED + timedelta(minutes=number), float(number))]
        answers = at_once(servers, [events] * 3)
        assert [one.status_code for one in answers] == [200] * 3
        assert sorted(one.json()["new"] for one in answers) == [0, 0, 1]
    rows = Readings(home).rows()
    assert rows.height == 10 and rows["temp"].sort().to_list() == [float(number) for number in range(10)]


def test_events_that_each_is_sent_are_all_there_and_no_two_pushes_were_received_at_one_moment(servers, home):
    bodies = [[event(f"{station}{n}", INGESTED, 1.0) for n in range(20)] for station in ("A", "B", "C")]
    assert [one.json()["new"] for one in at_once(servers, bodies)] == [20] * 3
    theirs = Readings(home).rows().filter(pl.col("station").str.contains(r"^[ABC]\d+$"))
    received = theirs.group_by("created").len()
    assert sorted(received["len"].to_list()) == [20, 20, 20]


def test_of_corrections_by_turns_the_last_one_counts(servers, home):
    for number in range(9):
        assert pushed(servers[number % 3], event("LGA", INGESTED, float(number))).json()["new"] == 1
    rows = Readings(home).rows().filter(station="LGA").sort("created")
    assert rows["temp"].to_list() == [float(number) for number in range(9)]
    again = [pushed(server, event("LGA", INGESTED, 8.0)).json()["new"] for server in servers]
    assert again == [0, 0, 0]


def test_now_of_all_follows_a_push_to_one_and_the_limit_of_all_counts_from_what_was_ingested(servers, home):
    ahead = INGESTED + MOST_AHEAD - DAY
    assert pushed(servers[0], event("JFK", ahead, 1.0)).status_code == 200
    until(lambda: {as_of(server) for server in servers} == {ahead}, "all answer as of the push")
    refused = at_once(servers, [[event("JFK", ahead + 2 * DAY, float(n))] for n in range(3)])
    assert [one.status_code for one in refused] == [422] * 3
    assert all("pushes do not count" in one.text for one in refused)
    assert {as_of(server) for server in servers} == {ahead}
    servers[2].endpoint.advance(INGESTED + 2 * DAY)
    taken = at_once(servers, [[event(f"JFK{n}", ahead + 2 * DAY, float(n))] for n in range(3)])
    assert [one.status_code for one in taken] == [200] * 3
    until(lambda: {as_of(server) for server in servers} == {ahead + 2 * DAY}, "all follow again")


def test_each_has_the_limits_of_a_request_and_nothing_of_one_that_is_refused_is_written(servers, home):
    before = Readings(home).rows().height
    many = [event(f"M{n}", INGESTED, 1.0) for n in range(LARGEST_BATCH + 1)]
    assert [one.status_code for one in at_once(servers, [many] * 3)] == [422] * 3
    large = b" " * (Limits().body_bytes + 1)
    for server in servers:
        reply = server.http.post(
            "/push/readings", content=large, headers={"content-type": "application/json"}
        )
        assert reply.status_code == 413
    half = [event("EWR", INGESTED, 5.0), event("EWR", INGESTED + 40 * DAY, 5.0)]
    assert [one.status_code for one in at_once(servers, [half] * 3)] == [422] * 3
    assert Readings(home).rows().height == before
