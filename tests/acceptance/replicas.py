"""Replicas of an endpoint behind one address, as a Service of Kubernetes has them: one that is to end gets no new connection."""

import asyncio
import contextlib
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.acceptance.versioned import UP_S, Server, started, until

PIECE = 65_536


class Front:
    """An address of this machine whose connections go to those who are behind it, by turns; it knows nothing of HTTP."""

    def __init__(self) -> None:
        self.ports: tuple[int, ...] = ()
        self._turns, self._loop = itertools.count(), asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=128)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take nothing more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(UP_S)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self.ports[next(self._turns) % len(self.ports)]
        try:
            behind = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_passed(reader, behind[1]), _passed(behind[0], writer))


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until it ends; an end that is none is passed on as such."""
    with contextlib.suppress(OSError):
        try:
            while piece := await reader.read(PIECE):
                writer.write(piece)
                await writer.drain()
            writer.close()
        except ConnectionResetError:
            writer.transport.abort()


class Replicas:
    """So many endpoints of one state folder; the eldest can be replaced while others answer."""

    def __init__(self, home: Path, free_port: Callable[[], int], front: Front) -> None:
        self.front, self.servers = front, list[Server]()
        self._home, self._free_port, self._stack = home, free_port, ExitStack()

    def come(self) -> None:
        """Start one more, which gets connections once it is ready."""
        server = self._stack.enter_context(started(self._home, self._free_port()))
        until(lambda: server.look("/readyz").status_code == 200, "it is ready")
        self.servers.append(server)
        self._tell()

    def go(self) -> None:
        """End the eldest as a pod is ended: no new connections, then SIGTERM; what it was asked before, it answers."""
        server = self.servers.pop(0)
        self._tell()
        server.http.close()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(UP_S) == 0

    def close(self) -> None:
        self._stack.close()

    def _tell(self) -> None:
        self.front.ports = tuple(server.port for server in self.servers)


@contextmanager
def replicas(home: Path, free_port: Callable[[], int], count: int) -> Iterator[Replicas]:
    """Replicas while this is open."""
    front = Front()
    several = Replicas(home, free_port, front)
    try:
        for _ in range(count):
            several.come()
        yield several
    finally:
        several.close()
        front.close()
