"""The clock: the one place that reads the wall clock for a decision about data, so that time can be simulated.

A simulated clock starts at a moment and runs at a rate: its now is `start + rate * (wall - anchor)`. What it runs by is
written once beside the state, so that all processes of one state, and those that are started again, have one time.
"""

import contextlib
import json
import os
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime

from resources.moments import MomentError, read_moment
from resources.records.reader import Part
from resources.resource import Resource
from resources.settings import Settings
from resources.storage.addresses import storage_at
from resources.storage.errors import ConflictError

CLOCK_FILE = "clock.json"
CLOCKS_DIFFER = timedelta(minutes=15)
"""By how much the clocks of two machines of one state may differ, or one may jump, before what comes is refused."""


class ClockError(Exception):
    """The clock of a state is not the one that was asked for, or cannot be read."""


class Simulation(Part):
    """What a simulated clock runs by: it said `start` when the wall clock said `anchor`, and is `rate` times as fast."""

    start: AwareDatetime
    rate: float
    anchor: AwareDatetime

    def at(self, wall: datetime) -> datetime:
        """What it says when the wall clock says `wall`."""
        return self.start + (wall - self.anchor) * self.rate

    def text(self) -> bytes:
        """As it is written down."""
        fields = {"start": self.start.isoformat(), "rate": self.rate, "anchor": self.anchor.isoformat()}
        return json.dumps(fields, sort_keys=True).encode()


def wall() -> datetime:
    """What this machine's clock says; what decides about data asks a `Clock`."""
    return datetime.now(UTC)


class Clock(Resource):
    """Now, as everything that decides about data reads it: the wall clock, or the simulated one of a state.

    `offset` is by how much this machine's clock is ahead; a test of machines whose clocks differ sets it.
    """

    state: str = ""
    """The state folder; empty: none, so nothing is simulated but by the fields."""

    start: AwareDatetime | None = None
    rate: float = 1.0
    offset: timedelta = timedelta(0)

    @classmethod
    def of(cls, where: Settings) -> Self:
        """The clock of a state."""
        return cls(state=str(where.home), start=where.clock_start, rate=where.clock_rate)

    def now(self) -> datetime:
        """The moment, in UTC. Raises ClockError where the state's clock is another one than was asked for."""
        at = wall() + self.offset
        simulated = self._simulation(at)
        return simulated.at(at) if simulated else at

    @property
    def is_simulated(self) -> bool:
        """Whether it is another clock than the machine's."""
        return self.start is not None or (bool(self.state) and _written(self.state) is not None)

    def _simulation(self, at: datetime) -> Simulation | None:
        written = _written(self.state) if self.state else None
        if written is None and self.start is None:
            return None
        if written is None:
            written = _begun(self.state, self._asked_for(at))
        if self.start is not None and (written.start, written.rate) != (self.start, self.rate):
            raise ClockError(
                f"MLOPS_CLOCK_START={self.start.isoformat()} and MLOPS_CLOCK_RATE={self.rate:g} are not what the clock of "
                f"{self.state} runs by (from {written.start.isoformat()} at rate {written.rate:g}): set these, or none of "
                f"the two; another time needs another MLOPS_HOME"
            )
        return written

    def _asked_for(self, at: datetime) -> Simulation:
        assert self.start is not None
        return Simulation(start=self.start, rate=self.rate, anchor=at)


def now_at(where: Settings) -> datetime:
    """Now, as the clock of a state says it."""
    return Clock.of(where).now()


def _begun(state: str, simulation: Simulation) -> Simulation:
    """The clock that all processes of a state have from now on: this one, or the one that another was first to write."""
    if not state:
        raise ClockError("a clock that starts at a moment needs the state folder in which all agree on it")
    with contextlib.suppress(ConflictError):
        storage_at(state).put_if_absent(CLOCK_FILE, simulation.text())
    written = _written(state)
    if written is None:
        raise ClockError(f"{Path(state) / CLOCK_FILE} was removed while it was read: start again")
    return written


def _written(state: str) -> Simulation | None:
    path = f"{state}/{CLOCK_FILE}"
    try:
        status = os.stat(path)  # noqa: PTH116 - asked at every request, and a Path takes longer than the question
    except FileNotFoundError:
        return None
    return _read(Path(path), status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int, _number: int) -> Simulation:
    try:
        held = json.loads(path.read_bytes())
        return Simulation(
            start=read_moment(held["start"]), rate=float(held["rate"]), anchor=read_moment(held["anchor"])
        )
    except (ValueError, KeyError, TypeError, MomentError) as error:
        raise ClockError(
            f"{path} does not say what the clock runs by ({type(error).__name__}: {error}): restore it from a copy; "
            f"without it the clock is the machine's"
        ) from error
