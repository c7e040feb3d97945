"""Bad models under constant load, in shadow, at a share and at full traffic: no user sees a failed request, and what they did is on record."""

from collections.abc import Iterator
from typing import Any

import pytest

from resources.serving.version_counts import Traffic
from tests.acceptance.constant_load import Load, Seen, load
from tests.acceptance.versioned import Server, offer, started, until
from tests.resources.versions.misbehaving import SHORT

BAD = {
    "2": ("raises", {"raised"}),
    "3": ("gives nan", {"not_finite"}),
    "4": ("gives another shape", {"shape"}),
    "5": ("takes ten times as long", {"late", "busy"}),
    "6": ("leaks", {"memory", "gone", "loading"}),
    "7": ("breaks at load", {"unloadable"}),
    "8": ("raises for one row in fifty", {"raised"}),
    "9": ("says one thing", set[str]()),
    "10": ("is wrong for short trips", set[str]()),
    "11": ("well", set[str]()),
}
SOME = 60
DEADLINE_MS, PATIENT_MS = {"5": 15}, 20_000
"""However busy the machine is, only what takes too long is late."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, free_port: Any) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("bad")
    offer(home, {version: does for version, (does, _) in BAD.items()})
    with started(home, free_port()) as server:
        yield server


def value(version: str, distance: float) -> float:
    """What a version says of a trip."""
    plain = int(version) * distance**2
    does = BAD[version][0] if version in BAD else "well"
    if does == "says one thing":
        return 7.0
    return plain + 1000.0 if does == "is wrong for short trips" and distance < SHORT else plain


def right(seen: list[Seen], version: str) -> None:
    """All were answered, each by the version that it names, and where the other one failed it says why."""
    for one in seen:
        assert not one.failed, one
        assert one.version in ("1", version)
        assert one.answer["value"] == value(one.version, one.distance)
        assert not one.fallback or (one.version == "1" and one.answer["fallback"]["version"] == version)


def rolled_out(server: Server, users: Load, version: str) -> list[Seen]:
    """The version gets copies and a tenth, then everything, then nothing again; what users saw."""
    began, deadline_ms = users.more(1)[0].began, DEADLINE_MS.get(version, PATIENT_MS)
    server.divide(version, 0.1, deadline_ms=deadline_ms, shadow=1.0)
    users.more(SOME)
    server.divide(version, 1.0, deadline_ms=deadline_ms)
    until(lambda: all(asks(one, version) for one in users.more(SOME)), "all are asked of it")
    users.more(SOME)
    server.endpoint.undivide("trips")
    until(lambda: not any(asks(one, version) for one in users.more(SOME)), "none are")
    return users.since(began)


def asks(one: Seen, version: str) -> bool:
    return one.version == version or bool(one.fallback)


@pytest.mark.parametrize("version", list(BAD))
def test_no_user_sees_a_failed_request_and_the_evidence_says_what_the_model_did(server, version):
    kinds = BAD[version][1]
    with load(server.port) as users:
        seen = rolled_out(server, users, version)
    right(seen, version)
    assert not users.failed()
    assert kinds or version in {one.version for one in seen}, "a model that answers is let answer"

    def counted() -> bool:
        found = server.counts().get(version, Traffic())
        return bool(set(found.faults) & kinds) if kinds else found.answered > SOME

    until(counted, "what it did is on record")
