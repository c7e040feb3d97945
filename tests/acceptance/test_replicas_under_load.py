"""Champions that change while replicas come and go, under load over kept connections and with requests of two seconds: none fails."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.constant_load import Load, load
from tests.acceptance.replicas import Replicas, replicas
from tests.acceptance.versioned import offer, record, until

DOES = "takes two seconds for a long trip"


def all_show(several: Replicas, version: str) -> bool:
    return all(server.look("/models").json()[0]["version"] == version for server in several.servers)


def promoted(several: Replicas, home: Path, version: str) -> None:
    several.servers[0].endpoint.publish(record(home, version, DOES))
    until(lambda: all_show(several, version), "all show the change")


def taken_over(several: Replicas, users: Load, version: str) -> None:
    """The version has all requests, in processes of its own beside each replica."""
    several.servers[0].divide(version, 1.0, deadline_ms=4_000)
    ready = f"/v2/models/trips/versions/{version}/ready"
    until(lambda: all(one.look(ready).status_code == 200 for one in several.servers), "it is loaded")
    until(lambda: {one.version for one in users.more(8)} == {version}, "it answers")


def slow_ones(users: Load) -> list[str]:
    return [one.version for one in list(users.seen) if one.distance == 99.0]


def next_slow_one(users: Load) -> None:
    """Wait until a long request has just ended: the next one begins, and lasts two seconds."""
    before = len(slow_ones(users))
    until(lambda: len(slow_ones(users)) > before, "a long request ends")


@pytest.mark.parametrize(
    ("changes", "every"), [(3, 1), pytest.param(20, 2, marks=pytest.mark.nightly)], ids=["a few", "twenty"]
)
def test_no_request_fails_over_changes_of_version_while_replicas_come_and_go(
    tmp_path: Path, free_port: Any, changes: int, every: int
):
    """One comes and the eldest goes at every so many changes, while a long request is with one of them."""
    offer(tmp_path, {str(version): DOES for version in range(2, changes + 2)})
    gone = 0
    with replicas(tmp_path, free_port, 2) as several, load(several.front.port, slow=True) as users:
        for number in range(2, changes + 2):
            version = str(number)
            if number % 3 == 0:
                taken_over(several, users, version)
            if number % every == 0:
                several.come()
                next_slow_one(users)
                several.go()
                gone += 1
            promoted(several, tmp_path, version)
            several.servers[0].endpoint.undivide("trips")
            until(lambda: not any(one.fallback for one in users.more(8)), "the split is gone")
            assert {one.version for one in users.more(20)} == {version}
        assert not users.failed()
    assert gone == changes // every
    assert len(users.seen) > 100 and len(slow_ones(users)) >= gone and all(slow_ones(users))
