"""The endpoint's counts as evidence: differences of looks, whose fault is whose, and a version that fails rolled back by them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.promotion.rollout_states import newest
from mlops_assets.stages.rolling_out import advance
from mlops_assets.stages.rollout_start import start
from mlops_assets.stages.rollout_traffic import failures, slowness, traffic_since
from resources.records.rollout import Counted
from resources.serving.version_counts import BUCKETS_MS, Sums, Traffic, document_of, file_name
from resources.systems import Systems
from tests.pumps.promotion import NAME, Project, copied, spec

pytestmark = pytest.mark.usefixtures("pumps_features")
STEP = {"bake": "6d", "minimum_samples": 20}
PLAN = {
    "answers_influence_labels": False,
    "shadow": STEP,
    "canary": [STEP | {"share": 0.1}],
    "full": STEP,
    "limits": {"latency_ms": 100, "error_rate": 0.001},
}
PLANNED = spec(rollout=PLAN)
WIDTH = len(BUCKETS_MS) + 1


def traffic(answers: int, faults: dict[str, int] | None = None, slow: int = 0, **more: Any) -> Traffic:
    buckets = [0] * WIDTH
    buckets[2], buckets[-1] = answers - slow, slow
    return Traffic(answers + sum((faults or {}).values()), faults or {}, 0.1, tuple(buckets), **more)


@given(st.integers(0, 99), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_process_that_starts_or_is_busy_is_no_fault_and_copies_are_requests(
    good, raised, late, busy, copies
):
    version = traffic(
        good, {"raised": raised, "late": late, "loading": 3, "busy": busy}, shadow_scored=copies
    )
    found = failures(replace(version, shadow_failed={"raised": 2}), traffic(50, {"raised": 1}))
    assert (found.requests, found.faults) == (good + raised + late + copies + 2, raised + late + 2)
    assert (found.champion_requests, found.champion_faults) == (51, 1)


@pytest.mark.parametrize(("limit", "slow"), [(0.1, 10), (2.5, 3), (3, 3), (5_000, 3), (60_000, 3)])
def test_slow_is_what_took_longer_than_the_first_bound_from_the_limit_on(limit, slow):
    found = slowness(traffic(7 + 3, {"late": 0}, slow=3), Traffic(), limit)
    assert (found.requests, found.faults) == (10, slow)


def test_an_answer_that_came_too_late_is_slow_and_a_fault():
    version = traffic(10, {"late": 4})
    assert slowness(version, Traffic(), 100).faults == failures(version, Traffic()).faults == 4


@pytest.fixture
def project(championed: Path, tmp_path: Path) -> Project:
    project = copied(championed, tmp_path)
    start(PLANNED, Systems.of(project.parts), 1, "ada", "to see")
    return project


def counted(project: Project, number: int, version: Traffic, champion: Traffic) -> None:
    """What the endpoint's one process has counted by now."""
    sums = Sums({"1": document_of(version), "2": document_of(champion)})
    log = project.parts["serving_log"]
    log.storage.write(file_name(NAME, "here", number), sums.content())


def looked(project: Project, given: Any = PLANNED) -> str:
    found = advance(given, Systems.of(project.parts))
    assert found is not None
    return found.state.phase


@pytest.mark.parametrize(
    ("version", "by"),
    [
        (traffic(0, {"raised": 300}), "errors"),
        (traffic(294, {"raised": 6}), "errors"),
        (traffic(0, {"unloadable": 40}), "errors"),
        (traffic(0, {"gone": 40}), "errors"),
        (traffic(0, {"late": 40}), "errors"),
        (traffic(300, slow=60), "latency"),
        (traffic(0, shadow_failed={"not_finite": 40}), "errors"),
    ],
    ids=["raises", "one row in fifty", "fails to load", "dies", "too late", "slow", "NaN in shadow"],
)
def test_a_version_that_fails_or_is_slow_is_rolled_back_by_the_next_look_before_its_bake(
    project, version, by
):
    assert looked(project) == "running"
    counted(project, 1, version, traffic(3000))
    assert looked(project) == "rolled_back"
    assert newest(project.lake, NAME).transitions[-1].evidence["decided by"] == by
    assert project.champion == 2


def test_a_good_version_an_outage_of_both_and_a_process_that_starts_are_left_alone(project):
    looked(project)
    counted(project, 1, traffic(300, {"loading": 50}), traffic(3000))
    assert looked(project) == "running"
    counted(project, 2, traffic(330, {"loading": 50, "raised": 20}), traffic(3000, {"raised": 2000}))
    assert looked(project) == "running"
    assert newest(project.lake, NAME).traffic.faults == 20


def test_what_was_counted_before_the_rollout_or_was_lost_since_is_no_evidence(project):
    counted(project, 1, traffic(0, {"raised": 500}), traffic(3000))
    assert looked(project) == looked(project) == "running"
    assert newest(project.lake, NAME).traffic == Counted()
    counted(project, 2, Traffic(), Traffic())
    assert looked(project) == "running"
    assert traffic_since(Systems.of(project.parts), newest(project.lake, NAME)).errors.requests == 0


def test_by_the_wall_clock_the_requests_to_the_endpoint_are_what_counts(project):
    by_wall = spec(rollout=PLAN, clock="wall")
    looked(project)
    counted(project, 1, traffic(500), traffic(5000))
    found = advance(by_wall, Systems.of(project.parts))
    assert found is not None and found.evidence is not None
    assert found.evidence.samples == found.evidence.errors.requests == 500
    assert found.evidence.now > datetime(2025, 1, 1, tzinfo=UTC)
