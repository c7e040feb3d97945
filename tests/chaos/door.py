"""`python -m tests.chaos.door FILE LISTEN TARGET …`: doors in front of servers, opened, closed or made slow by what a file says.

`open`; `closed`: connections are ended and new ones refused at once, as by a host that is gone; `slow 0.2`: so many seconds
pass before each part of an answer. What is listened at, and what lies behind, is a port of the loopback address or the path
of a socket, by which one network reaches another.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

HOST, OPEN, CLOSED = "127.0.0.1", "open", "closed"
LOOK_S = 0.1

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Door:
    """Connections that are let through, and how."""

    def __init__(self, target: str, file: Path) -> None:
        self._target, self._file = target, file
        self._through: set[asyncio.StreamWriter] = set()

    @property
    def state(self) -> str:
        try:
            return self._file.read_text().strip() or OPEN
        except FileNotFoundError:
            return OPEN

    async def serve(self, at: str) -> None:
        """Until it is cancelled."""
        begin = (
            asyncio.start_server(self._pass, HOST, int(at))
            if at.isdigit()
            else asyncio.start_unix_server(self._pass, at)
        )
        async with await begin:
            while True:
                if self.state == CLOSED:
                    for writer in list(self._through):
                        writer.transport.abort()
                await asyncio.sleep(LOOK_S)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.state == CLOSED:
            writer.transport.abort()
            return
        there, back = await self._behind()
        self._through |= {writer, back}
        try:
            await asyncio.gather(self._copy(reader, back, 0), self._copy(there, writer, 1))
        finally:
            self._through -= {writer, back}
            for one in (writer, back):
                one.close()

    async def _behind(self) -> Ends:
        if self._target.isdigit():
            return await asyncio.open_connection(HOST, int(self._target))
        return await asyncio.open_unix_connection(self._target)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, slows: int) -> None:
        with contextlib.suppress(ConnectionError):
            while part := await source.read(65536):
                word, _, seconds = self.state.partition(" ")
                if slows and word == "slow":
                    await asyncio.sleep(float(seconds))
                target.write(part)
                await target.drain()
        with contextlib.suppress(ConnectionError, RuntimeError, OSError):
            target.write_eof()


async def serve(file: Path, ends: list[str]) -> None:
    """All doors, each with the end before it and the one behind it."""
    pairs = zip(ends[::2], ends[1::2], strict=True)
    await asyncio.gather(*(Door(behind, file).serve(at) for at, behind in pairs))


if __name__ == "__main__":
    said, *told = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(said), told))
