"""Two more hosts beside a cluster, with networks and folders of their own: one champion, one run a request, one audit log."""

import os
from pathlib import Path

import pytest
import yaml

from tests.acceptance.dagster_server import wait
from tests.chaos.checker import UNFINISHED, breaches
from tests.chaos.hosts import Host, hosts
from tests.chaos.life import LOAN, Life, lived
from tests.conftest import needed_program
from tests.postgres import needed_postgres

pytestmark = pytest.mark.nightly
CLI = ("-m", "mlops_assets.cli")
BY_A_PERSON = {
    "promotion": {"mode": "approval", "approvers": ["ada", "lin"]},
    "gate": {"metric": "log_loss", "evidence": "non_inferiority", "tolerance": 5.0, "floors": {"auc": 0.5}},
}
"""A challenger that learned anything passes, and waits for one of two people."""


@pytest.fixture(scope="module")
def life(tmp_path_factory, free_port):
    """A cluster that has seen three weeks of loans, of which nobody approved a model yet."""
    for program, package in (("ip", "iproute2"), ("unshare", "util-linux"), ("nsenter", "util-linux")):
        needed_program(program, f"apt-get install {package}")
    needed_program("redis-server", "apt-get install redis-server")
    if os.geteuid() != 0:
        pytest.skip("networks of their own need root: run this test as root")
    needed_postgres("initdb")
    with lived(tmp_path_factory.mktemp("hosts") / "life", free_port, weeks=0, change=waits) as one:
        for _ in range(3):
            one.arrive()
        judged(one)
        yield one


@pytest.fixture(scope="module")
def both(life):
    with hosts(life, ("one", "two")) as made:
        for one in made:
            one.start("-m", "resources.serving")
        yield made


def waits(defs: Path) -> None:
    """Let a person decide who is champion."""
    *tables, model = yaml.safe_load_all(defs.read_text())
    model["attributes"] |= BY_A_PERSON
    defs.write_text(yaml.safe_dump_all([*tables, model]))


def judged(life: Life) -> None:
    """Wait until the challenger of the newest week is judged, and nothing is at work."""
    name = f"lake/loan_default/attempts/{life.weeks[-1]}.json"
    wait(
        lambda: life.names(name),
        f"the challenger of {life.weeks[-1]} is judged; {life.told()}",
        900,
        life.ended,
    )
    wait(
        lambda: not any(run.status in UNFINISHED for run in life.runs()),
        "nothing is at work",
        300,
        life.ended,
    )


def challenger(life: Life) -> int:
    """The version that was judged last."""
    return life.seen().entries("evaluated")[-1]["version"]


def champions(life: Life, both: list[Host]) -> set[int | None]:
    """The versions that the endpoints of all hosts answer with."""
    return {life.answers(), *(one.answers(LOAN) for one in both)}


def approved_by_both(life: Life, both: list[Host]) -> list[int]:
    """Two people approve the same challenger, at the same moment, on two hosts; how their commands ended."""
    words = (*CLI, "approve", "loan_default", "--version", str(challenger(life)), "--by")
    deciding = [one.start(*words, who) for one, who in zip(both, ("ada", "lin"), strict=True)]
    return [process.wait(timeout=300) for process in deciding]


def promoted(life: Life) -> list[int]:
    return [entry["version"] for entry in life.seen().entries("promoted")]


def test_an_approval_on_two_hosts_at_once_makes_one_champion_that_every_endpoint_follows(life, both):
    assert 0 in approved_by_both(life, both), [one.said() for one in both]
    [version] = promoted(life)
    wait(
        lambda: champions(life, both) == {version},
        "every endpoint answers with the champion",
        120,
        life.ended,
    )
    assert len(life.seen().entries("approved")) == 1
    assert breaches(life.seen()) == []


def test_sensors_that_are_looked_at_on_two_hosts_besides_ask_for_one_run(life, both):
    life.arrive()
    tick = ("-m", "tests.chaos.tick", str(life.state / "workspace.yaml"))
    for _ in range(3):
        looking = [one.start(*tick) for one in both]
        assert [process.wait(timeout=300) for process in looking] == [0, 0], [one.said() for one in both]
    judged(life)
    life.settle()
    assert breaches(life.seen()) == []


def test_a_host_without_its_cable_answers_as_before_and_follows_when_it_is_back(life, both):
    one, two = both
    before = life.answers()
    two.cable(is_in=False)
    assert (
        one.start(*CLI, "approve", "loan_default", "--version", str(challenger(life)), "--by", "ada").wait(
            300
        )
        == 0
    )
    after = promoted(life)[-1]
    wait(
        lambda: {life.answers(), one.answers(LOAN)} == {after},
        "one follows",
        120,
        life.ended,
    )
    assert two.answers(LOAN) == before != after
    two.cable(is_in=True)
    wait(lambda: champions(life, both) == {after}, "the other follows, too", 120, life.ended)
    assert breaches(life.seen()) == []


def test_a_roll_back_on_two_hosts_at_once_is_done_once(life, both):
    first, second = promoted(life)
    words = (*CLI, "rollback", "loan_default", "--to", str(first), "--by", "lin", "--reason")
    rolling = [one.start(*words, f"seen on {one.name}") for one in both]
    ended = [process.wait(timeout=300) for process in rolling]
    assert 0 in ended, [one.said() for one in both]
    seen = life.seen()
    assert [entry["version"] for entry in seen.entries("promoted", "rolled_back")] == [first, second, first]
    wait(lambda: champions(life, both) == {first}, "every endpoint went back", 120, life.ended)
    assert breaches(life.seen()) == []
