"""How far a use case has come: what of it is online, and up to where it was replayed."""

from typing import ClassVar

from resources.records.reader import Content, Record, numbered


def _by_partition(content: Content) -> Content:
    """The first releases wrote the partitions and nothing else."""
    return {"partitions": content}


class OnlineContent(Record):
    """The hash of the rows that were brought online, by partition."""

    CALLED: ClassVar[str] = "the record of what is online"
    AGAIN: ClassVar[str] = "remove it, and materialize the online features again"
    STEPS: ClassVar = (_by_partition,)

    partitions: dict[str, str]


class ReplayProgress(Record):
    """The last partition that was replayed to its end; empty for none."""

    CALLED: ClassVar[str] = "the progress of a replay"
    AGAIN: ClassVar[str] = "remove it, and the replay begins anew"
    STEPS: ClassVar = (numbered,)

    through: str = ""
