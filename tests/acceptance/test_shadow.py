"""Copies of requests scored by another version behind the answers: nobody sees it, and everything of it is on record."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import psutil
import pytest

from resources.serving.log import SHADOW
from resources.serving.shadowed import shadow_pairs
from resources.serving.version_counts import Traffic
from tests.acceptance.versioned import Server, offer, started, until

DOES = {"2": "well", "3": "raises for one row in fifty", "4": "gives nan", "5": "breaks at load", "6": "exits", "7": "sleeps"}  # fmt: skip
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SHADOWED = {"share": 0.0, "shadow": 1.0, "shadow_cpu": 1.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, free_port: Any) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("shadow")
    offer(home, DOES)
    with started(home, free_port()) as server:
        yield server


def shadowed(server: Server, version: str) -> Traffic:
    return server.counts().get(version, Traffic())


def pairs_of(server: Server, version: str) -> pl.DataFrame:
    return shadow_pairs(server.log, "trips", "1", version, LONG_AGO)


def seen(traffic: Traffic) -> int:
    kinds = sum(traffic.shadow_failed.values()) + sum(traffic.shadow_dropped.values())
    return traffic.shadow_scored + kinds


def asked_until(server: Server, holds: Any, what: str) -> int:
    """Ask trips of 1, 2, 3 and so on until something holds; how many were asked."""
    asked = 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        told = server.ask(float(asked))
        assert (told["version"], told["value"], "fallback" in told) == ("1", float(asked) ** 2, False)
        return holds()

    until(ask, what)
    return asked


def test_copies_are_scored_logged_under_their_request_and_kept_apart_from_what_was_served(server):
    server.divide("2", **SHADOWED)
    asked_until(server, lambda: shadowed(server, "2").shadow_scored >= 20, "copies are scored")
    scored = until(lambda: seen(shadowed(server, "2")) >= 20 and shadowed(server, "2"), "counts are written")
    until(lambda: pairs_of(server, "2").height >= scored.shadow_scored, "pairs are on disk")
    pairs = pairs_of(server, "2")
    assert (pairs["challenger"] == 2 * pairs["champion"]).all()
    assert (pairs["champion"] == pairs["distance"] ** 2).all()
    assert pairs["request_id"].n_unique() == pairs.height
    served = server.log.read("trips", 1000)
    assert set(served["__model_version"]) == {"1"} and SHADOW not in served.columns
    assert pairs_of(server, "3").is_empty()
    assert (scored.requests, scored.faults) == (0, {})
    assert 'mlops_shadow_copies_total{kind="",model="trips",outcome="scored",version="2"}' in server.http.get("/metrics").text  # fmt: skip


@pytest.mark.parametrize(
    ("version", "kind"),
    [("3", "raised"), ("4", "not_finite"), ("5", "unloadable"), ("6", "gone"), ("7", "late")],
)
def test_whatever_a_version_does_in_shadow_it_is_counted_and_nobody_sees_it(server, version, kind):
    server.divide(version, **SHADOWED)
    asked_until(server, lambda: shadowed(server, version).shadow_failed.get(kind), f"{kind} is counted")
    if version == "3":
        failed = shadowed(server, version).shadow_failed[kind]
        assert failed * 10 < shadowed(server, version).shadow_scored, "one bad row spoils no other"


def test_the_process_of_a_version_is_there_before_it_is_asked_and_comes_back_when_it_is_killed(server):
    server.divide("2", 0.0)
    mine = psutil.Process(server.process.pid)

    def loaded() -> bool:
        return server.http.get("/v2/models/trips/versions/2/ready").status_code == 200

    until(loaded, "it is loaded")
    [process] = [one for one in mine.children() if one.cmdline()[-2] == "2"]
    process.kill()
    until(lambda: not process.is_running(), "it is gone")
    server.divide("2", 1.0)
    versions = set[str]()

    def is_back() -> bool:
        told = server.ask(3.0)
        versions.add(told["version"])
        return told["version"] == "2"

    until(is_back, "it is back")
    assert versions <= {"1", "2"}
    server.endpoint.undivide("trips")
