"""The trace that a request belongs to, as its caller says by W3C's `traceparent`, from where the request comes in to its rows in the serving log.

It travels with the task that answers a request, threads included. Requests of several traces that are predicted together
bring a trace for each row.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = b"traceparent"
FORM = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""https://www.w3.org/TR/trace-context: version, trace, span, flags, and what later versions add behind."""

Traces = str | Sequence[str]
"""The trace of all rows, or one for each; empty where there is none."""

_current: ContextVar[Traces] = ContextVar("trace", default="")


def trace_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The trace that headers, whose names are in small letters, name by 32 hexadecimal digits; empty where they name none, or more than one."""
    named = [value for name, value in headers if name == HEADER]
    parent = FORM.fullmatch(named[0]) if len(named) == 1 else None
    return parent[1].decode() if parent else ""


@contextmanager
def within(traces: Traces) -> Iterator[None]:
    """Work on requests of these traces."""
    token = _current.set(traces)
    try:
        yield
    finally:
        _current.reset(token)


def enter(traces: Traces) -> None:
    """Go on with requests of these traces, in a task that works on nothing else afterwards."""
    _current.set(traces)


def current() -> Traces:
    """The trace, or those by row, that is worked on."""
    return _current.get()


def by_row(rows: int) -> Sequence[str]:
    """The trace of each of so many rows that are answered now; empty where none has one."""
    traces = _current.get()
    return [traces] * rows if traces and isinstance(traces, str) else traces
