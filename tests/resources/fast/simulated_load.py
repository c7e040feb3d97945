"""More than can be answered, in time that only work takes: the endpoint's own queue, and sockets that are read once a turn.

Everything is as fast as it says and nothing else runs, so that a figure is the same on every machine.
"""

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

from resources.serving.http import admission, together
from resources.serving.http.admission import Admission, FullError
from resources.serving.http.together import AT_ANY_RATE, Question, Together
from resources.serving_limits import Limits

ROW_S, READ_S, REFUSE_S, ANSWER_S = 100e-6, 8e-6, 10e-6, 20e-6
"""Seconds of work for a row, for reading a request, for turning one away, and for reading and writing of one that is let in."""

CROWDED_S = 1.0
"""What comes before is left out: a burst may wait longer than a crowd that stands."""

CAPACITY = 1 / (ROW_S + READ_S + ANSWER_S)
BODY = b"{}" * 40


@dataclass
class Outcome:
    """Seconds until an answer of those let in, and of those turned away."""

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """A quantile of the first."""
        return sorted(self.answered)[int(len(self.answered) * share)]

    def refused_at(self, share: float) -> float:
        """A quantile of the second."""
        return sorted(self.refused)[int(len(self.refused) * share)]


class Known(Question):
    """A request of one row that needs no reading."""

    def read(self, most: int) -> bool:
        self.requests = (self,)  # type: ignore[assignment]
        return True


class Simulation:
    """One run at a multiple of the capacity; requests come at random, whatever those before them got."""

    def __init__(self, times: float, seconds: float = 3.0, seed: int = 7) -> None:
        dice, at, self.now = random.Random(seed), 0.0, 0.0
        self._arrivals: deque[float] = deque()
        while at < seconds:
            at += dice.expovariate(times * CAPACITY)
            self._arrivals.append(at)
        self.outcome, limits = Outcome(), Limits()
        record = SimpleNamespace(name="trips", clock="data")
        self._model: Any = SimpleNamespace(record=record)
        self._admission = Admission(limits.wait_s, AT_ANY_RATE, together.STANDING)
        self._together = Together(self, self._admission, limits)  # type: ignore[arg-type]

    def predict(self, model: Any, requests: Any, arrived: Any = None) -> list[float]:
        """What takes the time."""
        self.now += ROW_S * len(requests)
        return [0.0] * len(requests)

    def run(self) -> Outcome:
        """Until all are answered."""
        clock = SimpleNamespace(perf_counter=lambda: self.now)
        with mock.patch.object(admission, "time", clock), mock.patch.object(together, "time", clock):
            asyncio.run(self._all())
        return self.outcome

    async def _all(self) -> None:
        self._open: set[asyncio.Task[None]] = set()
        while self._arrivals or self._open:
            if not self._open:
                self.now = max(self.now, self._arrivals[0])
            self._read_those_of(self.now)
            await asyncio.sleep(0)

    def _read_those_of(self, polled: float) -> None:
        while self._arrivals and self._arrivals[0] <= polled:
            came = self._arrivals.popleft()
            self.now += READ_S
            task = asyncio.ensure_future(self._ask(came))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _ask(self, came: float) -> None:
        try:
            if self._admission.is_full:
                raise self._admission.full()
            answer = self._together.ask(Known(self._model, BODY))
        except FullError:
            self.now += REFUSE_S
            return self._tell(self.outcome.refused, came)
        await answer
        self.now += ANSWER_S
        return self._tell(self.outcome.answered, came)

    def _tell(self, of: list[float], came: float) -> None:
        if came > CROWDED_S:
            of.append(self.now - came)
