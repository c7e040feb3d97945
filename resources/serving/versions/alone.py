"""A model that scores frames in a process of its own, asked by code that waits: it may exit, crash or hang, and nothing beside it does."""

import contextlib
import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from resources.serving.code import imported
from resources.serving.versions import wire
from resources.serving.versions.conversing import MEBIBYTE, converse, keep_small, send
from resources.serving.versions.faults import LATE, FaultError

LOG = logging.getLogger(__name__)
ROWS = 2_000
WITHIN_S = 20.0
"""Seconds in which so many rows have to be scored, a hundred a second: one that takes longer is taken to hang."""

LOADS_IN_S = 30.0
MOST_ENDS = 12
"""So many times a process is started again, which finds one row in four thousand by halving."""

ENDS_IN_S = 2.0
FOR_GOOD = frozenset({LATE, "unloadable"})
"""Faults after which nothing is asked any more."""


@dataclass(frozen=True)
class Model:
    """The bytes of a model, what it is called, and as what `scorer` (`package.module:name`) may read it."""

    content: bytes
    name: str
    scorer: str
    code: Collection[str] = ()
    kind: str | None = None


class Alone:
    """The process of one model; started when it is first asked, and again where it ended, within bounds."""

    def __init__(self, model: Model, memory_mb: int, within_s: float = WITHIN_S) -> None:
        self.name, self._model, self._memory_mb, self._within_s = model.name, model, memory_mb, within_s
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._hello: wire.Hello | None = None
        self._ends = 0
        self._over: FaultError | None = None

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        """Float64 [rows]: the scores of a frame; raises FaultError for a fault of any row, and at once after one that stays."""
        parts = [self._scored(part) for part in frame.iter_slices(ROWS)]
        return np.concatenate(parts) if parts else np.empty(0)

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDS_IN_S)
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process = self._connection = self._hello = None

    def _scored(self, frame: pl.DataFrame) -> np.ndarray:
        if self._over is not None:
            raise self._over
        try:
            hello = self._hello or self._started()
            reply = self._reply(frame, hello)
        except FaultError as fault:
            self._stop(fault)
            raise
        if reply.fault:
            raise FaultError(reply.fault, reply.why)
        return reply.scores

    def _reply(self, frame: pl.DataFrame, hello: wire.Hello) -> wire.Reply:
        assert self._connection is not None
        content = io.BytesIO()
        read = frame if hello.features is None else frame.select(_there(hello.features, frame))
        read.write_ipc(content)
        with _faults(f"no scores of {frame.height} rows within {self._within_s:g} s"):
            self._connection.settimeout(self._within_s)
            send(self._connection, wire.TABLE + content.getvalue())
            return wire.reply_of(_frame(self._connection))

    def _started(self) -> wire.Hello:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-W", "ignore", "-m", "resources.serving.versions.alone"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._connection, model = ours, self._model
        said = {"name": model.name, "scorer": model.scorer, "code": sorted(model.code), "kind": model.kind}
        with _faults(f"its model was not loaded within {LOADS_IN_S:g} s"):
            ours.settimeout(LOADS_IN_S)
            send(ours, json.dumps(said | {"memory_mb": self._memory_mb}).encode())
            send(ours, model.content)
            hello = wire.hello_of(_frame(ours))
        if hello.failed is not None:
            raise FaultError("unloadable", f"its model cannot be loaded: {hello.failed}")
        self._hello = hello
        return hello

    def _stop(self, fault: FaultError) -> None:
        """End what is left of a process that gave no answer, and remember what stays as it is."""
        LOG.warning("%s, %s: %s", self.name, fault.kind, fault)
        self.close()
        self._ends += 1
        if fault.kind in FOR_GOOD or self._ends >= MOST_ENDS:
            self._over = fault


@contextlib.contextmanager
def _faults(late: str) -> Iterator[None]:
    """What a connection raises, as faults of the version."""
    try:
        yield
    except TimeoutError as error:
        raise FaultError(LATE, late) from error
    except (OSError, EOFError, wire.WireError) as error:
        raise FaultError("gone", f"its process ended ({type(error).__name__})") from error


def _there(features: Collection[str], frame: pl.DataFrame) -> list[str]:
    return [name for name in features if name in frame.columns]


def _frame(connection: socket.socket) -> bytes:
    return _exactly(connection, wire.length_of(_exactly(connection, wire.LENGTH.size)))


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        more = connection.recv(min(size - len(content), MEBIBYTE))
        if not more:
            raise EOFError
        content += more
    return bytes(content)


def main(descriptor: int) -> int:
    """Read what the model is and its bytes, load it, and answer until the connection is closed, or whoever asks is gone."""
    threading.Thread(target=_watch, name="watch-parent", daemon=True).start()
    with socket.socket(fileno=descriptor) as connection:
        said, content = json.loads(_frame(connection)), _frame(connection)
        keep_small(said["memory_mb"] * MEBIBYTE)
        try:
            scorer = imported(said["scorer"])(
                content, code=said["code"], kind=said["kind"], name=said["name"]
            )
        except Exception as error:  # noqa: BLE001 - told to whoever asks, who counts it
            send(connection, wire.hello(wire.Hello(f"{type(error).__name__}: {error}")))
            return 1
        converse(connection, scorer)
    return 0


def _watch() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1])))
