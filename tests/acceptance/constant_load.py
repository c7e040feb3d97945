"""Users who ask an endpoint all the time, over connections that they keep, and may ask once again where an idle one is gone."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.acceptance.versioned import trip, until

CONNECTIONS = 4
SLOW = 99.0
SLOW_ROWS = 300
"""A body of so many rows is answered by a thread."""


@dataclass(frozen=True)
class Seen:
    """An answer: when it was asked for, the trip's distance, and what came: the answer, or what failed."""

    began: float
    distance: float
    answer: dict[str, Any]
    failed: str = ""

    @property
    def version(self) -> str:
        return self.answer.get("version", "")

    @property
    def fallback(self) -> str:
        return self.answer.get("fallback", {}).get("kind", "")


class Load:
    """Asks until it is told to end; what was seen grows meanwhile."""

    def __init__(self, ports: Sequence[int], slow: bool = False) -> None:
        self.seen: list[Seen] = []
        self._ports, self._slow, self._ends = ports, slow, False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._users()), daemon=True)

    def more(self, count: int) -> list[Seen]:
        """The next answers to requests that begin from now on, at least so many."""
        since = time.monotonic()
        until(lambda: len([one for one in list(self.seen) if one.began >= since]) >= count, "answers come")
        return [one for one in list(self.seen) if one.began >= since]

    def since(self, moment: float) -> list[Seen]:
        return [one for one in list(self.seen) if one.began >= moment]

    def failed(self) -> list[Seen]:
        """The requests that failed for who asked."""
        return [one for one in list(self.seen) if one.failed]

    async def _users(self) -> None:
        users = [self._user(number) for number in range(CONNECTIONS)]
        await asyncio.gather(*users, *([self._slow_user()] if self._slow else []))

    async def _user(self, number: int) -> None:
        address = f"http://127.0.0.1:{self._ports[number % len(self._ports)]}"
        async with httpx.AsyncClient(base_url=address, timeout=60) as http:
            for distance in itertools.cycle(range(number, 100, CONNECTIONS)):
                if self._ends:
                    return
                await self._ask(http, float(distance % int(SLOW)), trip(float(distance % int(SLOW))))

    async def _slow_user(self) -> None:
        address = f"http://127.0.0.1:{self._ports[0]}"
        async with httpx.AsyncClient(base_url=address, timeout=60) as http:
            while not self._ends:
                await self._ask(http, SLOW, [trip(SLOW)] * SLOW_ROWS)

    async def _ask(self, http: httpx.AsyncClient, distance: float, body: Any) -> None:
        began, again = time.monotonic(), True
        while True:
            try:
                reply = await http.post("/v1/models/trips/predict", json=body)
                break
            except httpx.TransportError as error:
                if not again:
                    self.seen.append(Seen(began, distance, {}, repr(error)))
                    return
                again = False
        answer = reply.json() if reply.status_code == 200 else {}
        first = answer[0] if isinstance(answer, list) else answer
        self.seen.append(Seen(began, distance, first, "" if reply.status_code == 200 else reply.text))


@contextmanager
def load(*ports: int, slow: bool = False) -> Iterator[Load]:
    """Users while this is open."""
    users = Load(ports, slow)
    users._thread.start()
    try:
        yield users
    finally:
        users._ends = True
        users._thread.join(60)
