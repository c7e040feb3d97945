"""Days and moments as options of a command: what cannot be read is told in one sentence."""

import argparse
from datetime import date

from resources.moments import MomentError, read_day, read_moment

WHEN = "a moment with its zone (2013-07-01T12:00:00Z), or a day (2013-07-01), which begins in"


def when(text: str) -> date:
    """A moment, or a day."""
    try:
        return read_day(text) if len(text) <= len("2013-07-01") else read_moment(text)
    except MomentError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def named_day(text: str) -> str:
    """The name of a day, as partitions have it."""
    try:
        return read_day(text).isoformat()
    except MomentError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
