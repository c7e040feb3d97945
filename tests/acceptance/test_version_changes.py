"""Champions that change and splits that come and go under load: no failed request, and no old answer once a change is shown."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.constant_load import Load, load
from tests.acceptance.versioned import Server, offer, record, started, until

CHANGES = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, free_port: Any) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("changes")
    offer(home, {str(version): "takes two seconds for a long trip" for version in range(2, CHANGES + 2)})
    with started(home, free_port()) as server:
        yield server


def shown(server: Server) -> str:
    [model] = server.http.get("/models").json()
    return model["version"]


def promoted(server: Server, users: Load, version: str) -> float:
    """Seconds from the record on disk until the change was shown; who asks from then on gets the new version."""
    server.endpoint.publish(record(server.home, version, "takes two seconds for a long trip"))
    written = time.monotonic()
    until(lambda: shown(server) == version, "the change is shown")
    at = time.monotonic()
    assert {one.version for one in users.more(20)} == {version}
    assert {one.version for one in users.since(at)} == {version}
    return at - written


def taken_over(server: Server, users: Load, version: str) -> float:
    """Seconds from the split on disk until a version that was offered had all traffic; who asks from then on gets it."""
    server.divide(version, 0.0)
    until(
        lambda: server.http.get(f"/v2/models/trips/versions/{version}/ready").status_code == 200,
        "it is loaded",
    )
    server.divide(version, 1.0, deadline_ms=4_000)
    written = time.monotonic()
    until(lambda: {one.version for one in users.more(1)} == {version}, "it answers")
    at = time.monotonic()
    plain = [one for one in users.more(20) if not one.fallback]
    assert {one.version for one in plain} == {version}
    return at - written


def test_no_request_fails_over_twenty_changes_and_none_is_answered_by_the_old_version_once_it_is_shown(
    server,
):
    seconds: dict[str, list[float]] = {"champion": [], "full traffic": []}
    with load(server.port, slow=True) as users:
        for number in range(2, CHANGES + 2):
            if number % 4 == 0:
                seconds["full traffic"].append(taken_over(server, users, str(number)))
                server.endpoint.undivide("trips")
            if number % 4 == 2:
                server.divide(str(number + 1), 0.1, shadow=1.0)
            seconds["champion"].append(promoted(server, users, str(number)))
            server.endpoint.undivide("trips")
            until(lambda: not any(one.fallback for one in users.more(8)), "the split is gone")
    assert not users.failed()
    slow = [one for one in users.seen if one.distance == 99.0]
    assert len(slow) > 3 and all(one.version for one in slow)
    for what, took in seconds.items():
        print(
            f"{what}: {len(took)} changes, {max(took):.2f} s at most, {sum(took) / len(took):.2f} s on average"
        )
