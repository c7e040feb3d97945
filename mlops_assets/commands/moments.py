"""Days and moments as options of a command: what cannot be read is told in one sentence."""

from datetime import date, datetime

from mlops_assets.commands.task import read
from resources.moments import MomentError, read_day, read_moment

WHEN = "a moment with its zone (2013-07-01T12:00:00Z), or a day (2013-07-01), which begins in"


def _when(text: str) -> date:
    return read_day(text) if len(text) <= len("2013-07-01") else read_moment(text)


def _named_day(text: str) -> str:
    return read_day(text).isoformat()


def _moment(text: str) -> datetime:
    return read_moment(text)


when = read(_when, MomentError)
"""A moment, or a day."""

named_day = read(_named_day, MomentError)
"""The name of a day, as partitions have it."""

moment = read(_moment, MomentError)
"""A moment with its zone."""
