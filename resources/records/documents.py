"""Records in the lake: one JSON document each, below the name of what it is about."""

from typing import Any, Protocol

from resources.records.reader import Kind, Record, RecordError


class Documents(Protocol):
    """The part of the lake that holds JSON documents by name."""

    root: str

    def read_json(self, name: str) -> dict[str, Any] | None: ...

    def write_json(self, name: str, payload: dict[str, Any]) -> str: ...


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
