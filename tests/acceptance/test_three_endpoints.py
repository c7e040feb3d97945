"""Three endpoints of one model with one split: an entity meets one version in all of them, and what they did is on record once."""

import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from resources.serving.version_counts import Traffic
from resources.serving.version_counts_writer import EVERY_S
from resources.serving_limits import Limits
from tests.acceptance.constant_load import load
from tests.acceptance.versioned import UP_S, Server, offer, started, trip, until

TRIPS = [float(distance) for distance in range(1, 41)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    offer(folder, {"2": "well"})
    return folder


@pytest.fixture(scope="module")
def servers(home: Path, free_port: Any) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [stack.enter_context(started(home, free_port())) for _ in range(3)]


def everywhere(servers: list[Server], what: Any) -> bool:
    return all(what(server) for server in servers)


def divided(servers: list[Server], share: float) -> None:
    """A split that all follow, the other version being there."""
    servers[0].divide("2", 0.0)
    until(
        lambda: everywhere(
            servers, lambda s: s.http.get("/v2/models/trips/versions/2/ready").status_code == 200
        ),
        "the other version is loaded",
    )
    servers[0].divide("2", share, deadline_ms=20_000)
    until(
        lambda: everywhere(
            servers, lambda s: {s.ask(distance)["version"] for distance in TRIPS} == {"1", "2"}
        ),
        "the split is followed",
    )


def total(server: Server, name: str) -> float:
    families = text_string_to_metric_families(server.http.get("/metrics").text)
    return sum(one.value for family in families for one in family.samples if one.name == name)


def settled(server: Server) -> dict[str, Traffic]:
    """What was counted, once all that was answered is on disk."""
    before, now = None, server.counts()
    while now != before:
        time.sleep(2 * EVERY_S)
        before, now = now, server.counts()
    return now


def test_an_entity_meets_one_version_in_all_of_them_and_log_counts_and_limits_are_right(servers):
    divided(servers, 0.5)
    before, rows = settled(servers[0]), total(servers[0], "mlops_rows_total")
    met, told = defaultdict(set), list[Any]()
    for server in servers:
        for distance in TRIPS:
            answer = server.ask(distance)
            met[distance].add(answer["version"])
            told.append(answer)
    assert {len(versions) for versions in met.values()} == {1}
    assert {next(iter(versions)) for versions in met.values()} == {"1", "2"}
    ids = {answer["request_id"]: answer["version"] for answer in told}
    assert len(ids) == len(told)

    def logged() -> bool:
        log = servers[1].log.read("trips", 10_000)
        found = dict(zip(log["__request_id"], log["__model_version"], strict=True))
        return {name: found.get(name) for name in ids} == ids

    until(logged, "all are in the log, under the version that answered")

    def counted() -> bool:
        since = {v: one - before[v] for v, one in servers[2].counts().items()}
        return {v: one.requests for v, one in since.items()} == {
            version: sum(one == version for one in ids.values()) for version in "12"
        }

    until(counted, "each request is counted once")
    until(lambda: total(servers[2], "mlops_rows_total") - rows == len(told), "so are rows")
    for server in servers:
        many = server.http.post("/v1/models/trips/predict", json=[trip(1.0)] * (Limits().rows + 1))
        assert many.status_code == 422


def test_one_that_is_killed_takes_no_count_with_it_and_the_others_go_on(servers, home, free_port):
    divided(servers, 0.5)
    third = servers.pop()
    with load(*(server.port for server in servers)) as users:
        asked = [third.ask(distance)["version"] for distance in TRIPS]
        before = until(lambda: third.counts(), "counts are on disk")
        third.process.send_signal(signal.SIGKILL)
        third.process.wait(UP_S)
        users.more(40)
        with started(home, free_port()) as another:
            until(
                lambda: another.http.get("/v2/models/trips/versions/2/ready").status_code == 200, "it is back"
            )
            again = [another.ask(distance)["version"] for distance in TRIPS]
            users.more(40)
    assert not users.failed()
    assert again == asked
    assert all(servers[0].counts()[version].requests >= before[version].requests for version in "12")


def test_requests_of_many_rows_are_divided_alike_in_all_of_them(servers):
    divided(servers, 0.3)
    rows = [trip(distance) for distance in TRIPS]
    found = [
        [row["version"] for row in server.http.post("/v1/models/trips/predict", json=rows).json()]
        for server in servers
    ]
    assert all(one == found[0] for one in found)
