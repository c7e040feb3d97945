"""A change that dies before any of its writes: whoever comes next repairs it, and the same command again ends it once."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.changes.world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], World]]:
    """A function that makes worlds in which three champions followed one another: versions 2, 4 and 6."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        made = iter(range(1000))

        def make() -> World:
            monkeypatch.undo()
            new = World(Path(folder, str(next(made))), monkeypatch)
            for _ in range(3):
                new.start(new.promote).go_on()
            assert set(new.everywhere().values()) == {6}
            return new

        yield make


def killed_before(world: World, write: int, act: Callable[..., Any]) -> bool:
    """Let an operation do so many writes and die; False where it has ended by then."""
    operation = world.start(act)
    for _ in range(write):
        operation.step()
    ended = operation.done
    operation.kill()
    return not ended


def repaired(world: World) -> None:
    world.reconcile()
    assert len(set(world.everywhere().values())) == 1, world.everywhere()
    assert world.reconcile() == []


@pytest.mark.parametrize("by", ["the sensor", "nobody"])
def test_a_rollback_that_is_killed_anywhere_and_asked_for_again_goes_one_back(world, by):
    write, worlds = 1, 0
    while killed_before(here := world(), write, here.roll_back):
        if by == "the sensor":
            repaired(here)
        again = here.start(here.roll_back)
        again.go_on()
        assert again.refused is None
        assert set(here.everywhere().values()) == {4}, f"killed before write {write}"
        assert [c.version for c in here.changes] == [2, 4, 6, 4]
        write, worlds = write + 1, worlds + 1
    assert worlds > 8


def test_after_a_rollback_that_was_killed_another_one_still_goes_where_it_is_told(world):
    here = world()
    operation = here.start(here.roll_back)
    operation.go_on(until=lambda: len(here.changes) == 4)
    operation.kill()
    other = here.start(here.roll_back, 2)
    other.go_on()
    assert [c.version for c in here.changes] == [2, 4, 6, 4, 2]
    assert set(here.everywhere().values()) == {2}
    further = here.start(here.roll_back)
    further.go_on()
    assert "version 2 is the first champion" in str(further.refused)


@pytest.mark.parametrize("kind", ["promote", "approve"])
def test_a_promotion_that_is_killed_anywhere_is_repaired_to_before_or_after(world, kind):
    write, worlds, seen = 1, 0, set()
    while killed_before(here := world(), write, getattr(here, kind)):
        repaired(here)
        seen.add(here.everywhere()["endpoint"])
        assert here.audit.verify(here.tracking.anchors()).problem is None
        write, worlds = write + 1, worlds + 1
    assert (seen, worlds > 15) == ({6, 8}, True)
