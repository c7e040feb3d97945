"""Copies take no more of a processor than they may, and nothing while somebody waits; what is left out is counted."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.features.vectors import OnlineVectors
from resources.records.split import Split
from resources.serving.parts import Copied
from resources.serving.version_counts import Traffic, VersionCounts
from resources.serving.versions import shadow
from resources.serving.versions.candidate import Copies
from resources.serving.versions.faults import FaultError
from resources.serving.versions.shadow import Allowance, Shadow
from tests.record_samples import deployment

RECORD = deployment(name="trips")


class Versions:
    """A version whose process takes `row_s` of its processor for a row, and of which some rows are faulty."""

    def __init__(self, row_s: float = 0.001, faulty: Sequence[int] = ()) -> None:
        self.row_s, self.faulty, self.asked = row_s, faulty, list[list[int]]()

    async def is_loaded(self, name: str, version: str) -> None:
        """It always is."""

    async def copies(self, name: str, version: str, some: Sequence[Copied], within_s: float) -> Any:
        rows = [row for one in some for row in one.requests]
        self.asked.append(rows)
        cpu_s = self.row_s * len(rows)
        if set(rows) & set(self.faulty):
            return Copies(FaultError("raised", "KeyError"), cpu_s), None
        return Copies(np.array(rows, float), cpu_s), None


class Case:
    """A shadow over such a version, with a log that keeps what it is given."""

    def __init__(self, versions: Versions, busy: bool = False, **split: float) -> None:
        told = {"share": 0.0, "shadow": 1.0, "shadow_cpu": 1.0, **split}
        models: Any = SimpleNamespace(
            splits={"trips": Split.model_validate({"name": "trips", "version": "2", **told})}, served={}
        )
        self.versions, self.counts, self.logged, self.busy = versions, VersionCounts(), list[Any](), busy
        log: Any = SimpleNamespace(append=self.logged.append)
        given: Any = versions
        self.shadow = Shadow(models, given, log, self.counts, lambda: self.busy)

    def take(self, row: int, version: str = "1") -> None:
        answers = [{"request_id": f"{row * 2654435761 % 2**32:08x}"}]
        vectors = OnlineVectors(pl.DataFrame({"row": [row]}), pl.DataFrame(), pl.DataFrame())
        moment: Any = None
        record = RECORD if version == "1" else RECORD.model_copy(update={"version": version})
        self.shadow.take(Copied(record, [row], vectors, moment, moment, answers))

    def run(self, copies: int) -> Any:
        """What was counted once so many copies have been."""

        async def story() -> None:
            async with shadow.running(self.shadow.run()), asyncio.timeout(60):
                while self._counted() < copies:
                    await asyncio.sleep(0.005)

        asyncio.run(story())
        return self.counts.shadows()["trips", "2"]

    def _counted(self) -> int:
        found = self.counts.shadows().get(("trips", "2"), Traffic())
        return found.shadow_scored + sum((*found.shadow_dropped.values(), *found.shadow_failed.values()))


@given(
    st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=60),
    st.sets(st.integers(0, 60), max_size=4),
)
def test_each_copy_is_scored_once_in_order_and_a_faulty_one_spoils_no_other(rows, faulty):
    case = Case(Versions(faulty=list(faulty)))
    for row in rows:
        case.take(row)
    found = case.run(len(rows))
    bad = [row for row in rows if row in faulty]
    assert (found.shadow_scored, found.shadow_failed.get("raised", 0)) == (len(rows) - len(bad), len(bad))
    assert [float(score) for one in case.logged for score in one.scores] == [
        r for r in rows if r not in faulty
    ]
    assert all(one.shadow and one.version == "2" for one in case.logged)
    assert all(len(asked) <= shadow.AT_ONCE for asked in case.versions.asked)


def test_a_question_holds_only_as_many_rows_as_take_a_short_time():
    slow, fast = Case(Versions(row_s=0.05)), Case(Versions(row_s=1e-6))
    for case in (slow, fast):
        for row in range(40):
            case.take(row)
        case.run(40)
    assert {len(asked) for asked in slow.versions.asked} == {1}
    assert max(len(asked) for asked in fast.versions.asked) == shadow.AT_ONCE


def test_nothing_is_scored_while_somebody_waits_and_what_waits_too_long_is_dropped(monkeypatch):
    monkeypatch.setattr(shadow, "KEPT_S", 0.05)
    case = Case(Versions(), busy=True)
    for row in range(5):
        case.take(row)
    found = case.run(5)
    assert (case.versions.asked, found.shadow_dropped) == ([], {"busy": 5})


def test_no_more_waits_than_may():
    case = Case(Versions(), busy=True)
    for row in range(shadow.MOST_WAITING + 3):
        case.take(row)
    assert case.counts.shadows()["trips", "2"].shadow_dropped == {"busy": 3}


def test_beyond_its_share_of_a_processor_copies_are_dropped(monkeypatch):
    monkeypatch.setattr(shadow, "KEPT_S", 0.05)
    case = Case(Versions(row_s=0.06), shadow_cpu=0.1)
    for row in range(10):
        case.take(row)
    found = case.run(10)
    assert found.shadow_scored + found.shadow_dropped["cpu"] == 10
    assert found.shadow_dropped["cpu"] > 0 and found.shadow_scored > 0


@given(st.floats(0.01, 1.0), st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), max_size=50))
def test_over_any_time_no_more_is_allowed_than_the_share_of_it_and_one_question(share, steps):
    allowance, now, used, largest = Allowance(share, 0.0), 0.0, 0.0, 0.0
    for pause, cost in steps:
        now += pause
        if allowance.has(share, now):
            allowance.left_s -= cost
            used, largest = used + cost, max(largest, cost)
    assert used <= share * (now + 1) + largest + 1e-6


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0)])
def test_the_share_is_drawn_by_the_name_of_the_request(share, wanted):
    case = Case(Versions(), busy=True, shadow=share)
    for row in range(900):
        case.take(row)
    assert len(case.shadow._waiting) / 900 == pytest.approx(wanted, abs=0.06)


def test_what_the_version_itself_answered_is_not_copied_and_nothing_without_a_split():
    case = Case(Versions(), busy=True)
    case.take(1, version="2")
    case.shadow._models.splits = {}
    case.take(2)
    assert not case.shadow._waiting
