"""Records in the lake: one JSON document each, below the name of what it is about, or as a note beside a table's manifests."""

from typing import Any, Protocol

from resources.records.progress import OnlineContent
from resources.records.reader import Kind, Record, RecordError, read_record


class Documents(Protocol):
    """The part of the lake that holds JSON documents by name."""

    @property
    def root(self) -> str: ...

    def read_json(self, name: str) -> dict[str, Any] | None: ...

    def write_json(self, name: str, payload: dict[str, Any]) -> str: ...

    def remembered(self, table: str, partition: str | None = None) -> dict[str, Any] | None: ...

    def remember(self, table: str, partition: str | None, record: dict[str, Any]) -> None: ...


def load_record(lake: Documents, kind: type[Kind], name: str) -> Kind | None:
    """The record of a kind under a name, brought forward to this release; None where it was never written."""
    where = f"{lake.root}/{name}.json"
    try:
        document = lake.read_json(name)
    except ValueError as error:
        raise RecordError(f"{where} is not JSON ({error}): {kind.AGAIN}") from error
    return None if document is None else kind.of(document, where)


def save_record(lake: Documents, name: str, record: Record) -> str:
    """Replace the record under a name and return the SHA-256 of its bytes."""
    return lake.write_json(name, record.document())


def load_note(lake: Documents, kind: type[Kind], table: str, partition: str | None = None) -> Kind | None:
    """The note of a kind on a partition (None: a whole table); None where there is none."""
    note = lake.remembered(table, partition)
    return None if note is None else kind.of(note, f"{lake.root}: the note on {table}@{partition or 'whole'}")


def save_note(lake: Documents, table: str, partition: str | None, note: Record) -> None:
    """Replace the note on a partition."""
    lake.remember(table, partition, note.document())


def online_in(content: bytes | None, where: str) -> dict[str, str]:
    """The partitions in the bytes of a record of what is online; none where there are no bytes."""
    return dict(read_record(OnlineContent, content, where).partitions) if content else {}
