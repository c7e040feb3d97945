"""Days and moments as options of a command: what cannot be read is told in one sentence."""

from datetime import date, datetime

from mlops_assets.commands.task import read
from resources.moments import MomentError, read_day, read_moment

WHEN = "a moment with its zone (2024-07-01T12:00:00Z), or a day (2024-07-01), which begins in"

DAY = len("2024-07-01")


def _when(text: str) -> date:
    return read_day(text) if len(text) <= DAY else read_moment(text)


def _moment(text: str) -> datetime:
    return read_moment(text)


when = read(_when, MomentError)
"""A moment, or a day."""

moment = read(_moment, MomentError)
"""A moment with its zone."""
