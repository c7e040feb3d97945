"""Notes that lie beside a table's manifests: how a partition was made, and what was read of its source."""

from typing import Any, ClassVar

from resources.records.reader import Content, Record, numbered


class Note(Record):
    """A note that is lost is only written again, so one that was never written to its end is as if it were not there."""

    AGAIN: ClassVar[str] = "remove it, and what it is about is made again"
    STEPS: ClassVar = (numbered,)

    def content(self) -> Content:
        """As Python values, of which the lake writes as text what JSON does not know."""
        return self.model_dump(exclude_unset=True)


class Making(Note):
    """What decided the content that was made last, its hash, and what a run that leaves it as it is needs to know of it."""

    CALLED: ClassVar[str] = "the note of how content was made"

    sha256: str
    fingerprint: dict[str, Any]
    kept: dict[str, Any]
    at: str = ""
    run: str = ""


class Reading(Note):
    """What decided the rows that were read of a source, and their hash."""

    CALLED: ClassVar[str] = "the note of what was read of a source"

    read: str
    rows: str


def kind_of_note(name: str) -> type[Note]:
    """Which kind a file is, by its name."""
    return Reading if name.endswith(".source.made") else Making
