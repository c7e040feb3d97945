"""Who was champion when, read from the entries of the audit log that changed it."""

from collections.abc import Sequence
from datetime import datetime

from resources.audit.log import Entry
from resources.tracking.versions import utc

REPLACES = "replaces"
ROLLOUT = "rollout"
"""Evidence of a promotion: the roll-out that it comes after."""

SHOWN_BETTER = "shown_better"
"""Whether a promoted version was shown to be better than the champion before it, and not merely not much worse."""


def in_line(changes: Sequence[Entry]) -> list[int]:
    """Champions that a rollback can go back through, oldest first, the one of now last.

    A promotion adds to the line; a rollback takes away whatever came after the version that it went back to.
    """
    line: list[int] = []
    for change in changes:
        before, now = change.evidence.get(REPLACES), _version(change)
        if before is not None and before != now and line[-1:] != [before]:
            line.append(before)
        if change.kind == "rolled_back" and now in line:
            line = line[: len(line) - line[::-1].index(now)]
        else:
            line.append(now)
    return line


def find_anchor(changes: Sequence[Entry], champion: int) -> int:
    """The last in the line up to a champion that was promoted because it was shown to be better, else the first.

    A champion that no change explains, because its alias was set by hand, stands at the end of the line.
    """
    line = in_line(changes)
    line = line[: len(line) - line[::-1].index(champion)] if champion in line else [*line, champion]
    better = {_version(c) for c in changes if c.kind == "promoted" and c.evidence.get(SHOWN_BETTER)}
    return next((version for version in reversed(line) if version in better), line[0])


def rolled_back(changes: Sequence[Entry], version: int) -> Entry | None:
    """The rollback that took a version away, unless the version became champion again after it."""
    for change in reversed(changes):
        if _version(change) == version:
            return None
        if change.kind == "rolled_back" and change.evidence.get(REPLACES) == version:
            return change
    return None


def champion_then(changes: Sequence[Entry], then: datetime, wall: bool = False) -> Entry | None:
    """The change that made the champion of a moment, in the data's time or by the wall clock; None before the first."""
    return next((c for c in reversed(changes) if (c.at if wall else c.moment or c.at) <= utc(then)), None)


def _version(change: Entry) -> int:
    assert change.version is not None, f"entry {change.seq} changes the champion and names no version"
    return change.version
