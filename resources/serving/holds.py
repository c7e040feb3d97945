"""What an endpoint is told of holds: which models are retired, and which are paused, by whom, since when and why.

The audit log has the truth, and this notice is written anew from it; the process that serves does not read the log.
"""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from resources.moments import Moment
from resources.records.reader import Part, Record, RecordError, numbered, read_record

LOG = logging.getLogger(__name__)
NOTICE = "holds/now.json"
"""Where it lies below the folder of deployment records, which has a file a model."""


class Hold(Part):
    """Who holds something, why, and since when; `entry` is its number in the audit log."""

    by: str
    why: str
    since: Moment
    entry: int

    def __str__(self) -> str:
        return f"By {self.by} since {minute(self.since)} (entry {self.entry} of the audit log): {self.why}"


class Notice(Record):
    """All holds that are in force."""

    CALLED: ClassVar[str] = "the endpoint's notice of holds"
    AGAIN: ClassVar[str] = "remove it, and it is written anew from the audit log"
    STEPS: ClassVar = (numbered,)

    everything: Hold | None = None
    paused: dict[str, Hold] = Field(default_factory=dict)
    retired: dict[str, Hold] = Field(default_factory=dict)

    def pause_of(self, model: str) -> Hold | None:
        """The pause under which a model stands."""
        return self.everything or self.paused.get(model)


def notice_in(folder: Path) -> Notice:
    """The notice below a folder of records, nothing being held where there is none. Raises RecordError for one that cannot be read."""
    path = folder / NOTICE
    try:
        return read_record(Notice, path.read_bytes(), str(path))
    except FileNotFoundError:
        return Notice()


def readable_notice(folder: Path) -> Notice | None:
    """The same for who writes it anew: None where what is there cannot be read."""
    try:
        return notice_in(folder)
    except RecordError as error:
        LOG.warning("%s", error)
        return None


def minute(moment: datetime) -> str:
    """A moment as people read it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
