"""`python -m tests.chaos.door LISTEN TARGET FILE`: a TCP door in front of a server, opened, closed or made slow by what a file says.

`open`; `closed`: connections are ended and new ones refused at once, as by a host that is gone; `slow 0.2`: so many seconds
pass before each part of an answer.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

HOST, OPEN, CLOSED = "127.0.0.1", "open", "closed"
LOOK_S = 0.1


class Door:
    """Connections that are let through, and how."""

    def __init__(self, target: int, file: Path) -> None:
        self._target, self._file = target, file
        self._through: set[asyncio.StreamWriter] = set()

    @property
    def state(self) -> str:
        try:
            return self._file.read_text().strip() or OPEN
        except FileNotFoundError:
            return OPEN

    async def serve(self, port: int) -> None:
        """Until it is cancelled."""
        server = await asyncio.start_server(self._pass, HOST, port)
        async with server:
            while True:
                if self.state == CLOSED:
                    for writer in list(self._through):
                        writer.transport.abort()
                await asyncio.sleep(LOOK_S)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.state == CLOSED:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(HOST, self._target)
        self._through |= {writer, back}
        try:
            await asyncio.gather(self._copy(reader, back, 0), self._copy(there, writer, 1))
        finally:
            self._through -= {writer, back}
            for one in (writer, back):
                one.close()

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


if __name__ == "__main__":
    listen, behind, said = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Door(int(behind), Path(said)).serve(int(listen)))
