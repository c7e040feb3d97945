"""The kind of an expression; where this process must stay without threads, as a process of its own works it out."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from mlops_assets.ml.aggregates.kinds import work_out_kind
from mlops_assets.spec.typed_columns import Column, Kind

OF_VALUES: tuple[Kind, ...] = ("int", "float", "str", "bool", "date")
PROGRAM = "mlops_assets.ml.aggregates.kinds"


class Apart:
    """A process that works kinds out, from the first question on."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def kind(self, text: str, kinds: Mapping[str, Kind]) -> Kind:
        """What `work_out_kind` gives there, with its ValueErrors."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps([text, kinds]) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        kind: Kind = answer["kind"]
        return kind

    def end(self) -> None:
        """Let the process end, and wait until it has."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore", "-m", PROGRAM]
        variables = {**os.environ, "POLARS_MAX_THREADS": "1"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, env=variables, text=True)


_apart: list[Apart] = []


@contextmanager
def kinds_apart() -> Iterator[None]:
    """Within it no kind is worked out by this process: whoever loads definitions wants to be forked afterwards."""
    _apart.append(Apart())
    try:
        yield
    finally:
        _apart.pop().end()


def kind_of(text: str, columns: Mapping[str, Column]) -> Kind:
    """The kind of the values of a column or an expression.

    Raises ValueError for one that names no column, is made of several rows, or has no kind.
    """
    if text in columns and columns[text].kind in OF_VALUES:
        return columns[text].kind
    return _kind_among(text, tuple((name, one.kind) for name, one in columns.items()))


@lru_cache(maxsize=1024)
def _kind_among(text: str, kinds: tuple[tuple[str, Kind], ...]) -> Kind:
    return _apart[-1].kind(text, dict(kinds)) if _apart else work_out_kind(text, dict(kinds))
