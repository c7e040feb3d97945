"""The moment that reads from an online store are answered for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

NEVER = -(2**63)
"""Created time of a row that has none: it loses against every other."""

_as_of: ContextVar[int | None] = ContextVar("as_of", default=None)


@contextmanager
def as_of(moment: datetime) -> Iterator[None]:
    """Within, reads answer with what was known and still valid at `moment`; without, the wall clock decides what has expired."""
    token = _as_of.set(micros(moment))
    try:
        yield
    finally:
        _as_of.reset(token)


def asked_moment() -> int | None:
    """Microseconds since 1970 of the moment that the caller asks about, None if it asks about the present."""
    return _as_of.get()


def micros(moment: datetime) -> int:
    """Microseconds since 1970; a moment without a zone is UTC, as everywhere in Feast."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


def moment_of(micros_since_1970: int) -> datetime:
    """The moment, in UTC."""
    return EPOCH + micros_since_1970 * MICROSECOND
