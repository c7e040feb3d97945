"""Whoever changes the champion, in whatever order their writes fall and whoever dies: registry, record and endpoint agree."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resources.storage import durable
from resources.storage.errors import LeaseHeldError
from tests.changes.interleaving import Operation
from tests.changes.world import NAME, World
from tests.generated import slow_cases

MOST_AT_ONCE = 3
OPERATIONS = ["promote", "approve", "roll_back", "ingest"]
WRITES = ["a file in entries", "set_registered_model_alias", "a file in serving", "the end"]
"""Where an operation that begins stops first: before a write of this kind."""

MEMORY = Path("/dev/shm")
"""Where flushing a file costs nothing."""


class Interleaved(RuleBasedStateMachine):
    """Promote, approve, roll back and ingest, cut up at each durable write and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.monkeypatch = pytest.MonkeyPatch()
        self.world = World(Path(self.folder.name), self.monkeypatch)
        self.published: list[tuple[str, int | None]] = []
        self.broken = False
        self._watch_the_record()
        for _ in range(2):
            self.world.start(self.world.promote).go_on()
        self.moment = self.world.answering()[1]

    def _watch_the_record(self) -> None:
        """Note, whenever the record is replaced, which version it names and which one the newest change names."""
        renamed = durable.rename

        def rename(temporary: Path, target: Path) -> None:
            renamed(temporary, target)
            if target.name == f"{NAME}.json" and target.parent.name == "serving":
                record = self.world.published
                assert record
                self.published.append((record.version, self.world.changes[-1].version))

        self.monkeypatch.setattr(durable, "rename", rename)

    @precondition(lambda self: len(self.world.running) < MOST_AT_ONCE)
    @rule(what=st.sampled_from(OPERATIONS), write=st.sampled_from(WRITES))
    def begin(self, what: str, write: str) -> None:
        operation = self.world.start(getattr(self.world, what))
        operation.go_on(until=lambda: operation.at == write)

    @precondition(lambda self: len(self.world.running) < MOST_AT_ONCE)
    @rule(data=st.data(), write=st.sampled_from(WRITES))
    def begin_to_roll_back_to(self, data: st.DataObject, write: str) -> None:
        versions = sorted({change.version for change in self.world.changes})
        operation = self.world.start(self.world.roll_back, data.draw(st.sampled_from(versions)))
        operation.go_on(until=lambda: operation.at == write)

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        operation = self._one(data)
        for _ in range(steps):
            operation.step()

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def go_on_to_the_end(self, data: st.DataObject) -> None:
        self._one(data).go_on()

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self._one(data).kill()
        self.broken = True

    @rule(number=st.sampled_from(["1", "2", "4"]))
    def somebody_moves_the_alias_by_hand(self, number: str) -> None:
        self.world.registry.aliases["champion"] = number
        self.broken = True

    @rule()
    def the_sensor_looks(self) -> None:
        with contextlib.suppress(LeaseHeldError):
            self.world.reconcile()

    @precondition(lambda self: self.world.running)
    @rule()
    def end(self) -> None:
        self.world.finish()

    def _one(self, data: st.DataObject) -> Operation:
        return data.draw(st.sampled_from(self.world.running))

    @invariant()
    def no_record_is_published_but_of_the_newest_change(self) -> None:
        assert all(version == str(newest) for version, newest in self.published), self.published

    @invariant()
    def each_change_replaces_the_one_before(self) -> None:
        changes = self.world.changes
        replaced = [change.evidence["replaces"] for change in changes]
        assert replaced == [None, *(change.version for change in changes[:-1])]

    @invariant()
    def the_moment_never_goes_back(self) -> None:
        before, self.moment = self.moment, self.world.answering()[1]
        assert self.moment >= before

    def teardown(self) -> None:
        try:
            self.world.finish()
            if self.broken:
                self.world.reconcile()
            everywhere = self.world.everywhere()
            assert len(set(everywhere.values())) == 1, everywhere
            assert self.world.audit.verify(self.world.tracking.anchors()).problem is None
        finally:
            self.monkeypatch.undo()
            self.folder.cleanup()


Interleaved.TestCase.settings = slow_cases(16, stateful_step_count=20)
TestInterleaved = Interleaved.TestCase
