"""Round trips to Redis with many commands at once: bytes out, all replies in, without a Python call for each.

Connections are made by redis-py, so that passwords, TLS and Sentinel work as for any of its users; what is said on
them here bypasses it. A connection that went away while it was idle is replaced once.
"""

import asyncio
import contextlib
import os
import ssl
from collections import deque
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

CALLS_AHEAD = 16
RECEIVED = 1 << 16
LIMIT = 64
MORE = object()
ROWS = {list}
"""Types of the replies to commands that read."""


class Wire:
    """One connection and the parser of its replies."""

    def __init__(self, client: Any) -> None:
        self.connection = client.connection_pool.get_connection()
        self.socket = self.connection._get_socket()
        self.reader = hiredis.Reader(notEnoughData=MORE)
        self.received: Any = bytearray(RECEIVED)

    def take(self, count: int, replies: list[Any]) -> bool:
        """Move parsed replies to the list; whether all that are wanted are there."""
        parse = self.reader.gets
        while len(replies) < count:
            reply = parse()
            if reply is MORE:
                return False
            replies.append(reply)
        return True

    def receive(self, count: int) -> list[Any]:
        """The next replies; an error that the server sends among them is raised after the last."""
        replies: list[Any] = []
        while not self.take(count, replies):
            self.reader.feed(self.received, 0, _alive(self.socket.recv_into(self.received)))
        return checked(replies)

    async def receive_async(self, count: int) -> list[Any]:
        """The same on a socket that does not block."""
        loop = asyncio.get_running_loop()
        replies: list[Any] = []
        while not self.take(count, replies):
            self.reader.feed(self.received, 0, _alive(await loop.sock_recv_into(self.socket, self.received)))
        return checked(replies)

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError, RedisConnectionError):
            self.connection.disconnect()


def _alive(received: int) -> int:
    if not received:
        raise RedisConnectionError("Redis closed the connection")
    return received


def checked(replies: list[Any]) -> list[Any]:
    """The replies, if none is an error."""
    kinds = set(map(type, replies))
    if kinds != ROWS and any(issubclass(kind, Exception) for kind in kinds):
        error = next(reply for reply in replies if isinstance(reply, Exception))
        raise ResponseError(str(error))
    return replies


class Wires:
    """Idle connections to one server, for threads and for event loops."""

    def __init__(self) -> None:
        self._idle: deque[Wire] = deque(maxlen=LIMIT)
        self._of_loops: WeakKeyDictionary[Any, deque[Wire]] = WeakKeyDictionary()
        self._process = os.getpid()

    def ask(self, client: Any, request: bytes, replies: int) -> list[Any]:
        """Send commands that may be sent twice, and return their replies."""
        if not replies:
            return []
        wire, answer = self._begun(client, request, replies)
        self._idle.append(wire)
        return answer

    def fetch(self, client: Any, fetching: Any) -> Any:
        """What a generator of requests returns that is sent their replies."""
        request = next(fetching)
        try:
            while True:
                request = fetching.send(self.ask(client, *request))
        except StopIteration as done:
            return done.value

    async def fetch_async(self, client: Any, fetching: Any) -> Any:
        """The same on the event loop."""
        request = next(fetching)
        try:
            while True:
                request = fetching.send(await self.ask_async(client, *request))
        except StopIteration as done:
            return done.value

    def _begun(self, client: Any, request: bytes, replies: int) -> tuple[Wire, list[Any]]:
        """A connection that has answered; one that was idle and is gone is replaced."""
        self._forget_after_fork()
        while True:
            was_idle = bool(self._idle)
            wire = self._idle.pop() if was_idle else Wire(client)
            try:
                wire.socket.sendall(request)
                return wire, wire.receive(replies)
            except (OSError, RedisConnectionError):
                wire.close()
                if not was_idle:
                    raise
            except BaseException:
                wire.close()
                raise

    def run(self, client: Any, script: str, calls: Iterable[tuple[bytes, int]], progress: Any) -> None:
        """Load a script and make calls of it, some ahead of the replies; `progress` is told of rows that are done."""
        text = script.encode()
        load = b"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$%d\r\n%b\r\n" % (len(text), text)
        wire, _ = self._begun(client, load, 1)
        try:
            waiting: deque[int] = deque()
            for call, rows in calls:
                wire.socket.sendall(call)
                waiting.append(rows)
                if len(waiting) == CALLS_AHEAD:
                    _done(wire, waiting, progress)
            _done(wire, waiting, progress)
        except BaseException:
            wire.close()
            raise
        self._idle.append(wire)

    async def ask_async(self, client: Any, request: bytes, replies: int) -> list[Any]:
        """`ask` on the event loop; over TLS, whose sockets a loop cannot use, in a thread."""
        if not replies:
            return []
        loop = asyncio.get_running_loop()
        idle = self._of_loops.setdefault(loop, deque(maxlen=LIMIT))
        while True:
            was_idle = bool(idle)
            wire = idle.pop() if was_idle else await loop.run_in_executor(None, Wire, client)
            if isinstance(wire.socket, ssl.SSLSocket):
                self._idle.append(wire)
                return await asyncio.to_thread(self.ask, client, request, replies)
            try:
                wire.socket.setblocking(False)
                await loop.sock_sendall(wire.socket, request)
                answer = await wire.receive_async(replies)
            except (OSError, RedisConnectionError):
                wire.close()
                if not was_idle:
                    raise
                continue
            except BaseException:
                wire.close()
                raise
            idle.append(wire)
            return answer

    def _forget_after_fork(self) -> None:
        if self._process != os.getpid():
            self._process, self._idle = os.getpid(), deque(maxlen=LIMIT)

    def close(self) -> None:
        """End all idle connections."""
        for idle in (self._idle, *self._of_loops.values()):
            while idle:
                idle.pop().close()


def _done(wire: Wire, waiting: deque[int], progress: Any) -> None:
    wire.receive(len(waiting))
    while waiting:
        rows = waiting.popleft()
        if progress:
            progress(rows)
