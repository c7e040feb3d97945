"""Texts and moments as the page writes them: whatever comes from outside is escaped."""

import html
from datetime import datetime
from typing import Any


def text(value: Any) -> str:
    """Anything as text of a page."""
    return html.escape(str(value), quote=True)


def moment(iso: str) -> str:
    """A moment to the minute, with what it was written as for who reads the page by program."""
    at = datetime.fromisoformat(iso)
    return f'<time datetime="{text(iso)}">{at:%Y-%m-%d %H:%M} {text(at.tzname() or "")}</time>'


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    units = (("year", 365.25 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))
    for unit, length in units:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now" if seconds >= 0 else "ahead of the clock"
