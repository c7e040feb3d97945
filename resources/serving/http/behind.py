"""Answers outside of the event loop: in a few threads, with a deadline, and no more waiting for them than may."""

import time
from collections.abc import Callable
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import HTTPException

from resources.serving.http.admission import Admission, FullError, Ticket
from resources.serving.live_models import LiveModels
from resources.serving_limits import Limits

THREADS = 4
"""More of them answer nothing sooner: they take turns, and the event loop waits for each."""


class Behind:
    """Runs what answers a request."""

    def __init__(self, models: LiveModels, limits: Limits) -> None:
        self._models, self._limits = models, limits
        self.admission = Admission(limits.wait_s, at_any_rate=THREADS)
        self._threads: CapacityLimiter | None = None
        self._last_end = 0.0

    async def answer(self, work: Callable[..., Any], name: str, content: bytes, *given: Any) -> Any:
        """What `work` returns for what it is given, which asks a model with a body.

        Raises the answers 503 where too much waits, and 504 where there is no answer by the deadline.
        """
        try:
            ticket = self.admission.admit(name if name in self._models.served else "", len(content))
        except FullError as full:
            raise HTTPException(503, str(full), {"Retry-After": full.retry_after}) from full
        self._threads = self._threads or CapacityLimiter(THREADS)
        started: list[bool] = []
        try:
            with anyio.move_on_after(self._limits.deadline_s):
                return await to_thread.run_sync(
                    self._timed, started, ticket, work, given, abandon_on_cancel=True, limiter=self._threads
                )
        finally:
            if not started:
                self.admission.give_back(ticket)
        raise HTTPException(504, late(self._limits))

    def _timed(
        self, started: list[bool], ticket: Ticket, work: Callable[..., Any], given: tuple[Any, ...]
    ) -> Any:
        started.append(True)
        took_s = None
        try:
            answer = work(*given)
            took_s = self._since_the_last_answer(ticket)
            return answer
        finally:
            self.admission.give_back(ticket, took_s)

    def _since_the_last_answer(self, ticket: Ticket) -> float:
        """Seconds of work that an answer was: since the one before it, where it waited for that, as threads take turns."""
        ended = time.perf_counter()
        last, self._last_end = self._last_end, ended
        return ended - max(last, ticket.since)


def is_busy(short: Admission, behind: Admission) -> bool:
    """Whether somebody waits for an answer that the event loop gives, or for a thread; or was turned away not long ago."""
    return short.waiting > 0 or behind.waiting > THREADS or not (short.is_calm and behind.is_calm)


def late(limits: Limits) -> str:
    """That a request was not answered in time."""
    return (
        f"no answer within {limits.deadline_s:g} s: send fewer rows at a time, or give more time by "
        "MLOPS_SERVE_DEADLINE_S"
    )
