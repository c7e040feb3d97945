"""Connections that a benchmark asks a server over: kept alive, one request at a time on each, and as little Python as may be.

The client shares the machine with the server: what it spends is missing there.
"""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

HOST = "127.0.0.1"
END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
ALLOWED = (200, 503)
T = TypeVar("T")


def request(path: str, body: Any) -> bytes:
    """A request as it goes over the wire."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


class Line(asyncio.Protocol):
    """One connection; `answered` is called with it and the status once an answer is here whole."""

    def __init__(self, answered: Callable[["Line", int], None]) -> None:
        self._answered, self._content, self._whole = answered, b"", 0
        self._open = True
        self.began = 0.0

    def connection_made(self, transport: Any) -> None:
        """It is there."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The server may not end it."""
        if self._open:
            raise SystemExit(f"the server ended a connection: {exc}")

    def ask(self, request: bytes) -> None:
        """Send a request; the one before it is answered."""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        content = self._content = self._content + data if self._content else data
        if not self._whole:
            end = content.find(END)
            if end < 0:
                return
            found = LENGTH.search(content, 0, end + 2)
            if found is None:
                raise SystemExit(f"an answer says not how long it is: {content[:end]!r}")
            self._whole = end + len(END) + int(found[1])
        if len(content) < self._whole:
            return
        status = int(content[9:12])
        if status not in ALLOWED:
            raise SystemExit(f"{content!r}")
        self._content, self._whole = b"", 0
        self._answered(self, status)

    def close(self) -> None:
        """End it."""
        self._open = False
        self._transport.close()


async def lines(ports: list[int], count: int, answered: Callable[[Line, int], None]) -> list[Line]:
    """So many connections, over the ports in turn."""
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(lambda: Line(answered), HOST, ports[n % len(ports)]))[1]
        for n in range(count)
    ]


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run it in the fastest event loop there is."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(story)
