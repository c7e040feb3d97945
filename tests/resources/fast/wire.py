"""A connection without a socket: what is written on it for what came, by whichever protocol speaks on it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.server import ServerState

QUIET_TURNS = 50
"""So many turns of the event loop in which nothing is written are the end."""


class Socket:
    """Stands in for a transport of asyncio."""

    def __init__(self) -> None:
        self.pieces, self.closed = list[bytes](), False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.pieces.append(data)

    @property
    def written(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8000)}.get(name, default)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Wire:
    """One connection to an application, within an event loop."""

    def __init__(self, app: Any, protocol: Any) -> None:
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            log_level="critical",
        )
        config.load()
        self.state, self.socket = ServerState(), Socket()
        self.protocol = protocol(config=config, server_state=self.state, app_state={})
        self.protocol.connection_made(self.socket)

    def bring(self, data: bytes) -> None:
        """Bytes come in."""
        if not self.socket.closed:
            self.protocol.data_received(data)

    async def settle(self) -> None:
        """Wait until nothing is done any more: threads answer some."""
        before, quiet = -1, 0
        while quiet < QUIET_TURNS or self.state.tasks:
            await asyncio.sleep(0.001 if self.state.tasks else 0)
            quiet = quiet + 1 if before == len(self.socket.pieces) else 0
            before = len(self.socket.pieces)


def written(app: Any, protocol: Any, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
    """What an application wrote for pieces that came in different turns, and whether it ended the connection."""

    async def story() -> tuple[bytes, bool]:
        wire = Wire(app, protocol)
        for piece in pieces:
            wire.bring(piece)
            await asyncio.sleep(0)
        await wire.settle()
        return wire.socket.written, wire.socket.closed

    return asyncio.run(story())
