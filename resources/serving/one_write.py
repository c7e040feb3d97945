"""Answers that leave in one piece: uvicorn writes an answer's head and its body apart, and whoever asked is woken for each."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = b"HTTP/1.1 "


class Joining:
    """A transport that keeps the head of an answer until the body comes, and no longer than the turn of the event loop."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._waiting = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write what comes behind what is kept, or keep it."""
        if self._waiting:
            self._transport.write(self._taken() + data)
        elif data.startswith(HEAD):
            self._waiting = data
            self._loop.call_soon(self._leave)
        else:
            self._transport.write(data)

    def write_whole(self, data: bytes) -> None:
        """Write what needs to wait for nothing, behind what is kept."""
        self._transport.write(self._taken() + data)

    def close(self) -> None:
        """Close once everything is written."""
        self._leave()
        self._transport.close()

    def _leave(self) -> None:
        if self._waiting:
            self._transport.write(self._taken())

    def _taken(self) -> bytes:
        content, self._waiting = self._waiting, b""
        return content


class OneWrite(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, over such a transport."""

    def connection_made(self, transport: Any) -> None:
        """A connection begins."""
        joining: Any = Joining(transport, asyncio.get_running_loop())
        super().connection_made(joining)
