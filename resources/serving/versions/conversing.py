"""What the process of a version says and answers on a connection, once it has its model."""

import contextlib
import os
import resource
import socket
import time
from collections.abc import Mapping
from typing import Any

from resources.serving.explanations import explains
from resources.serving.versions import wire
from resources.serving.versions.wire import Hello

MEBIBYTE = 2**20
NOT_FINITE = "ScoreError"
"""Name of what a scorer raises that looks at its own numbers."""


def keep_small(most: int) -> None:
    """Have the kernel refuse more memory than this, so that a model that leaks ends, and nothing beside it."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def converse(connection: socket.socket, scorer: Any) -> None:
    """Say what a scorer reads, and answer frame after frame until the connection is closed."""
    by_columns = getattr(scorer, "by_columns", None) is not None
    features = getattr(scorer, "features", None)
    send(connection, wire.hello(Hello(None, features, by_columns, explains(scorer))))
    with connection.makefile("rb") as reader:
        while len(head := reader.read(wire.LENGTH.size)) == wire.LENGTH.size:
            content = reader.read(wire.length_of(head))
            try:
                answer = _answered(scorer, content)
            except MemoryError:
                send(connection, wire.fault("memory", "there is no memory left for it"))
                os._exit(1)
            send(connection, answer)


def _answered(scorer: Any, content: bytes) -> bytes:
    began = time.process_time()
    try:
        given = wire.columns_of(content)
        explain = content[:1] == wire.EXPLAIN
        scores, contributions = _scores(scorer, given), scorer.contributions(given) if explain else None
        return wire.reply(*scores, contributions, time.process_time() - began)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - told to the endpoint, which counts it
        kind = "not_finite" if type(error).__name__ == NOT_FINITE else "raised"
        return wire.fault(kind, f"{type(error).__name__}: {error}", time.process_time() - began)


def _scores(scorer: Any, given: Any) -> tuple[Any, Mapping[int, Mapping[str, str]]]:
    if isinstance(given, Mapping):
        rows = len(next(iter(given.values()), ()))
        if rows == 1:
            return scorer.by_columns.one({name: values[0] for name, values in given.items()})
        return scorer.by_columns.predict(given, rows)
    unseen = getattr(scorer, "unseen", None)
    return scorer.predict(given), unseen(given) if unseen else {}


def send(connection: socket.socket, content: bytes) -> None:
    """Send one frame."""
    connection.sendall(wire.framed(content))
