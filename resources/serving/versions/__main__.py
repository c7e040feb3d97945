"""`python -m resources.serving.versions MODEL VERSION SOCKET`: scores one version, until its standard input closes.

It reads the version's record and model file as the endpoint does, and none of the feature stores.
"""

import contextlib
import os
import resource
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resources.serving.code import Declared, imported
from resources.serving.explanations import explains
from resources.serving.keeper import with_parent
from resources.serving.loading import scorer_of, vouched
from resources.serving.versions import wire
from resources.serving.versions.records import version_in
from resources.serving.versions.wire import Hello
from resources.settings import Settings, settings

MEBIBYTE = 2**20
NOT_FINITE = "ScoreError"
"""Name of what a scorer raises that looks at its own numbers."""

KINDNESS = 5
"""By so much it stands back where the processor is wanted by the endpoint."""

LOOKS_IN_S = 30.0
"""Seconds that a process which has no model waits for somebody to tell."""


def main(name: str, version: str, path: str, declared: Declared | None = None) -> int:
    """Listen, load, and answer one connection after the other."""
    with_parent(path, lambda: os._exit(0))
    os.nice(KINDNESS)
    home = settings()
    with socket.socket(socket.AF_UNIX) as listener:
        Path(path).unlink(missing_ok=True)
        listener.bind(path)
        listener.listen()
        _keep_small(home.serve_version_mb * MEBIBYTE)
        try:
            scorer = _loaded(home, name, version, declared or imported(home.declared))
        except Exception as error:  # noqa: BLE001 - told to the endpoint, which shows it
            listener.settimeout(LOOKS_IN_S)
            _send(listener.accept()[0], wire.hello(Hello(f"{type(error).__name__}: {error}")))
            return 1
        while True:
            with listener.accept()[0] as connection:
                _converse(connection, scorer)


def _loaded(home: Settings, name: str, version: str, declared: Declared) -> Any:
    record = version_in(home.serving, name, version)
    return scorer_of(vouched(declared, record), record, home.serving)


def _keep_small(most: int) -> None:
    """Have the kernel refuse more memory than this, so that a model that leaks ends, and nothing beside it."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _converse(connection: socket.socket, scorer: Any) -> None:
    by_columns = getattr(scorer, "by_columns", None) is not None
    features = getattr(scorer, "features", None)
    _send(connection, wire.hello(Hello(None, features, by_columns, explains(scorer))))
    with connection.makefile("rb") as reader:
        while len(head := reader.read(wire.LENGTH.size)) == wire.LENGTH.size:
            content = reader.read(wire.length_of(head))
            try:
                answer = _answered(scorer, content)
            except MemoryError:
                _send(connection, wire.fault("memory", "there is no memory left for it"))
                os._exit(1)
            _send(connection, answer)


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


def _send(connection: socket.socket, content: bytes) -> None:
    connection.sendall(wire.framed(content))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
