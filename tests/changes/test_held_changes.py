"""Pause, resume, retire and undo beside promotions and rollbacks, killed anywhere and at once: the log has one order, and all follow it."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mlops_assets.promotion.errors import FrozenError
from mlops_assets.promotion.holds import HoldError, Holds
from resources.serving.holds import NOTICE
from resources.storage.errors import LeaseHeldError
from tests.changes.interleaving import Operation
from tests.changes.world import NAME, World

MEMORY = Path("/dev/shm")
HOLDS = ("paused", "resumed", "retired", "reinstated")
LIFTS = {"resumed": "paused", "reinstated": "retired"}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], World]]:
    """A function that makes worlds with one champion, version 2."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        made = iter(range(1000))

        def make() -> World:
            monkeypatch.undo()
            new = World(Path(folder, str(next(made))), monkeypatch)
            new.start(new.promote).go_on()
            assert set(new.everywhere().values()) == {2}
            return new

        yield make


def held(world: World) -> list[str]:
    """Kinds of the entries about holds, in order."""
    return [entry.kind for entry in world.audit.entries(kinds=HOLDS)]


def answers(world: World) -> bool:
    world.live.look()
    assert not world.live.problems
    return NAME in world.live.served


@pytest.mark.parametrize("by", ["pause", "pause_one", "retire"])
def test_under_a_hold_a_promotion_is_refused_with_who_why_and_since(world, by):
    here = world()
    here.start(getattr(here, by)).go_on()
    operation = here.start(here.promote)
    operation.go_on()
    assert isinstance(operation.refused, FrozenError)
    assert "By lin since " in str(operation.refused) and "(entry " in str(operation.refused)
    assert {"pause": "numbers are wrong", "pause_one": "its numbers", "retire": "nobody asks it"}[by] in str(
        operation.refused
    )
    assert [change.version for change in here.changes] == [2]
    assert here.registry.aliases["champion"] == "2"


@pytest.mark.parametrize("by", ["pause", "pause_one", "retire"])
@pytest.mark.parametrize("write", range(1, 30))
def test_a_hold_that_comes_while_a_promotion_runs_has_the_order_of_the_log(world, by, write):
    here = world()
    promotion = here.start(here.promote)
    for _ in range(write):
        promotion.step()
    here.start(getattr(here, by)).go_on()
    promotion.go_on()
    kinds = [entry.kind for entry in here.audit.entries(kinds=("promoted", *HOLDS))]
    hold = kinds.index(held(here)[0])
    assert kinds[hold + 1 :] == []
    assert (promotion.refused is None) is (kinds[:hold] == ["promoted"] * 2)


def test_a_pause_is_no_obstacle_to_a_rollback_and_a_retirement_is(world):
    here = world()
    here.start(here.promote).go_on()
    here.start(here.pause).go_on()
    here.start(here.roll_back).go_on()
    assert set(here.everywhere().values()) == {2}
    here.start(here.retire).go_on()
    operation = here.start(here.roll_back, 4)
    operation.go_on()
    assert f"{NAME} is retired. By lin since" in str(operation.refused)
    assert [change.version for change in here.changes] == [2, 4, 2]


@pytest.mark.parametrize("what", ["pause", "pause_one", "retire"])
@pytest.mark.parametrize("then", ["the same command", "the sensor"])
def test_a_hold_that_is_killed_anywhere_is_completed_and_recorded_once(world, what, then):
    write, ended = 1, False
    while not ended:
        here = world()
        operation = here.start(getattr(here, what))
        for _ in range(write):
            operation.step()
        ended = operation.done
        operation.kill()
        if then == "the sensor" and held(here):
            here.look_at_holds()
        else:
            here.start(getattr(here, what)).go_on()
        assert held(here) == ["retired" if what == "retire" else "paused"]
        assert answers(here) is (what != "retire")
        assert here.endpoint.notice() == Holds.of(here.audit).notice()
        assert here.look_at_holds() is False
        write += 1
    assert write > 4


def test_done_twice_it_is_recorded_once_and_lifted_it_is_as_before(world):
    here = world()
    for what in ("pause", "pause", "resume", "resume", "pause", "resume"):
        here.start(getattr(here, what)).go_on()
    for what in ("retire", "retire", "reinstate", "reinstate"):
        here.start(getattr(here, what)).go_on()
        assert answers(here) is (what == "reinstate")
    assert held(here) == ["paused", "resumed", "paused", "resumed", "retired", "reinstated"]
    here.start(here.promote).go_on()
    assert set(here.everywhere().values()) == {4}


def test_what_was_never_held_is_not_lifted_and_a_pause_of_all_is_not_lifted_for_one(world):
    here = world()
    for what, said in (("resume", "everything was never paused"), ("reinstate", f"{NAME} was never retired")):
        operation = here.start(getattr(here, what))
        operation.go_on()
        assert isinstance(operation.refused, HoldError) and said in str(operation.refused)
    here.start(here.pause).go_on()
    operation = here.start(here.resume_one)
    operation.go_on()
    assert "everything is paused" in str(operation.refused) and "`mlops resume` lifts that" in str(
        operation.refused
    )
    here.start(here.retire).go_on()
    operation = here.start(here.resume_one)
    operation.go_on()
    assert f"`mlops retire {NAME} --undo" in str(operation.refused)
    assert held(here) == ["paused", "retired"]


def test_a_hold_needs_a_name_and_a_reason(world):
    from mlops_assets.promotion.holds import pause

    here = world()
    for by, why in (("", "why"), ("lin", " ")):
        with pytest.raises(HoldError, match="with a name and a reason"):
            pause(here.audit, here.endpoint, None, by, why)
    assert held(here) == []


def test_a_notice_that_cannot_be_read_changes_nothing_and_is_written_anew(world):
    here = world()
    here.start(here.retire).go_on()
    assert not answers(here)
    path = Path(here.endpoint.folder) / NOTICE
    path.write_text("{")
    assert not answers(here)
    assert here.look_at_holds() is True
    assert not answers(here)
    path.unlink()
    assert here.look_at_holds() is True and not answers(here)


class Held(RuleBasedStateMachine):
    """Champions that change while models are paused, resumed, retired and brought back, cut up at every durable write."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.monkeypatch = pytest.MonkeyPatch()
        self.world = World(Path(self.folder.name), self.monkeypatch)
        for _ in range(2):
            self.world.start(self.world.promote).go_on()

    @precondition(lambda self: len(self.world.running) < 3)
    @rule(
        what=st.sampled_from(
            ["promote", "roll_back", *("pause", "pause_one", "resume", "resume_one", "retire", "reinstate")]
        ),
        steps=st.integers(1, 30),
    )
    def begin(self, what: str, steps: int) -> None:
        operation = self.world.start(getattr(self.world, what))
        for _ in range(steps):
            operation.step()

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        operation = self._one(data)
        for _ in range(steps):
            operation.step()

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self._one(data).kill()

    @rule()
    def the_sensor_looks(self) -> None:
        with contextlib.suppress(LeaseHeldError):
            self.world.look_at_holds()

    def _one(self, data: st.DataObject) -> Operation:
        return data.draw(st.sampled_from(self.world.running))

    @invariant()
    def nothing_is_promoted_under_a_hold_and_each_hold_is_put_and_lifted_in_turns(self) -> None:
        now: dict[tuple[str, str | None], bool] = {}
        for entry in self.world.audit.entries(kinds=("promoted", "rolled_back", *HOLDS)):
            if entry.kind in HOLDS:
                key = LIFTS.get(entry.kind, entry.kind), entry.model
                assert now.get(key, False) is (entry.kind in LIFTS), f"{entry.kind} twice"
                now[key] = entry.kind not in LIFTS
                continue
            stops = [key for key, on in now.items() if on]
            assert not [key for key in stops if key[0] == "retired" or entry.kind == "promoted"]

    def teardown(self) -> None:
        try:
            self.world.finish()
            self.world.reconcile()
            self.world.look_at_holds()
            holds = Holds.of(self.world.audit)
            assert self.world.endpoint.notice() == holds.notice()
            assert answers(self.world) is (NAME not in holds.retired)
            assert self.world.audit.verify(self.world.tracking.anchors()).problem is None
        finally:
            self.monkeypatch.undo()
            self.folder.cleanup()


Held.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestHeld = Held.TestCase
