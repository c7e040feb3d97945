"""How much may wait for an answer: work is counted in seconds, by what a byte of a body has taken its model so far.

What would have to wait longer than is allowed is turned away at once, so that what was let in is answered as fast as ever.
"""

import math
import time
from dataclasses import dataclass
from threading import Lock

from starlette.responses import JSONResponse

from resources.serving.http.refusals import refused

FIRST_GUESS_S = 2e-6
"""Seconds that a byte of a body takes, until one was measured."""

NEWS = 0.1
"""How much the newest measurement counts."""


CALM_S = 1.0
"""So long nobody has to have been turned away until a burst is taken in whole again."""


class FullError(Exception):
    """So much waits already that a request is turned away: for how many seconds it waits, and may wait."""

    def __init__(self, waiting_s: float, allowed_s: float) -> None:
        super().__init__()
        self.waiting_ms, self.allowed_ms = round(waiting_s * 1000), round(allowed_s * 1000)
        self.retry_after = str(max(1, math.ceil(self.waiting_ms / 1000)))

    def __str__(self) -> str:
        return (
            f"requests wait for {self.waiting_ms} ms of work, and may for {self.allowed_ms} ms: send it again later "
            "(the header Retry-After says when), or let more wait by MLOPS_SERVE_WAIT_MS"
        )

    def answer(self, path: str) -> JSONResponse:
        """503, and when to ask again."""
        return refused(path, 503, str(self), {"Retry-After": self.retry_after})


@dataclass(eq=False)
class Ticket:
    """A request that was let in: whose model it asks, its bytes, the seconds that it was taken for, and when it came."""

    name: str
    size: int
    seconds: float
    since: float
    given_back: bool = False


class Admission:
    """Lets requests in while those before them take less than `wait_s` seconds, and so many at any rate; safe for threads."""

    def __init__(self, wait_s: float, at_any_rate: int, standing: float = 1.0) -> None:
        """Where some have waited all the time for `wait_s`, only that share (`standing`) of it may wait: what came at once has passed by then."""
        self._wait_s, self._at_any_rate, self._standing = wait_s, at_any_rate, standing
        self._nobody_waited, self._calm_at = time.perf_counter(), 0.0
        self._paces: dict[str, float] = {}
        self._lock = Lock()
        self.waiting_s, self.waiting, self.refused = 0.0, 0, 0

    def admit(self, name: str, size: int) -> Ticket:
        """Let a request for a model with a body of `size` bytes in; raises FullError."""
        with self._lock:
            if self.is_full:
                raise self.full()
            seconds = self._paces.get(name, FIRST_GUESS_S) * max(size, 1)
            ticket = Ticket(name, size, seconds, time.perf_counter())
            if not self.waiting:
                self._nobody_waited = ticket.since
            self.waiting_s += ticket.seconds
            self.waiting += 1
            return ticket

    @property
    def is_full(self) -> bool:
        """Whether the next request will be turned away."""
        return self.waiting >= self._at_any_rate and self.waiting_s > self._may_wait_s()

    @property
    def is_calm(self) -> bool:
        """Whether nobody was turned away lately."""
        return time.perf_counter() >= self._calm_at

    def full(self) -> FullError:
        """What is said to one that is turned away, which is counted."""
        self.refused, self._calm_at = self.refused + 1, time.perf_counter() + CALM_S
        return FullError(self.waiting_s, self._may_wait_s())

    def _may_wait_s(self) -> float:
        now = time.perf_counter()
        stands = now - self._nobody_waited > self._wait_s or now < self._calm_at
        return self._wait_s * self._standing if stands else self._wait_s

    def give_back(self, ticket: Ticket, took_s: float | None = None) -> None:
        """A request was answered; `took_s` are the seconds of work that it was, None where they say nothing of the next one."""
        with self._lock:
            if ticket.given_back:
                return
            ticket.given_back = True
            self.waiting -= 1
            self.waiting_s = max(0.0, self.waiting_s - ticket.seconds) if self.waiting else 0.0
            if took_s is not None:
                pace = took_s / max(ticket.size, 1)
                known = self._paces.get(ticket.name, pace)
                self._paces[ticket.name] = known + NEWS * (pace - known)
