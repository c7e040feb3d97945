"""`python -m resources.serving.versions MODEL VERSION SOCKET`: scores one version, until its standard input closes.

It reads the version's record and model file as the endpoint does, and none of the feature stores.
"""

import os
import socket
import sys
from pathlib import Path
from typing import Any

from resources.serving.code import Declared, imported
from resources.serving.keeper import with_parent
from resources.serving.loading import scorer_of, vouched
from resources.serving.versions import wire
from resources.serving.versions.conversing import MEBIBYTE, converse, keep_small, send
from resources.serving.versions.records import version_in
from resources.serving.versions.wire import Hello
from resources.settings import Settings, settings

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
        keep_small(home.serve_version_mb * MEBIBYTE)
        try:
            scorer = _loaded(home, name, version, declared or imported(home.declared))
        except Exception as error:  # noqa: BLE001 - told to the endpoint, which shows it
            listener.settimeout(LOOKS_IN_S)
            send(listener.accept()[0], wire.hello(Hello(f"{type(error).__name__}: {error}")))
            return 1
        while True:
            with listener.accept()[0] as connection:
                converse(connection, scorer)


def _loaded(home: Settings, name: str, version: str, declared: Declared) -> Any:
    record = version_in(home.serving, name, version)
    return scorer_of(vouched(declared, record), record, home.serving)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
