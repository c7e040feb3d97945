"""The lineage of a model version: all that its bytes follow from, as one JSON document with a hash of its own.

Written once, beside the model, in canonical form: the same lineage has the same bytes. It holds no clock, path or run.
Its hash is registered and in the audit log, so a document of an earlier release stays as it is and is brought forward
each time it is read.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from resources.records.reader import (
    Content,
    PartitionKey,
    Record,
    RecordError,
    Step,
    forward,
    parsed,
    validated,
)

FILE = "lineage.json"
Hashes = dict[str, dict[str, str]]
"""Table -> partition -> SHA-256 of its file."""

PLAIN = re.compile(r"[A-Za-z0-9][\w.:+-]*")
"""A part of a table's or partition's name: nothing that leads out of a folder."""


class LineageError(RecordError):
    """A lineage that is missing, or not what its hash says."""


def named_by_use_case(content: Content) -> Content:
    """Feature tables were `features/<view>` while there was one use case, that of the table whose rows were predicted."""
    use_case = content["spec"]["prediction"]["table"].partition("/")[0]

    def named(table: str) -> str:
        return f"{use_case}/{table}" if table.startswith("features/") else table

    def renamed(tables: Mapping[str, Any]) -> dict[str, Any]:
        return {named(table): value for table, value in tables.items()}

    pushed = {partition: renamed(tables) for partition, tables in content["pushed"].items()}
    return content | {
        "sources": renamed(content["sources"]),
        "tables": renamed(content["tables"]),
        "pushed": pushed,
    }


class Lineage(Record):
    """Everything that a version follows from, in the order in which one thing follows from another.

    `sources` are the partitions that no code here made, `tables` those made of them. `pushed` are the rows that had been
    pushed when a partition was joined, by partition and table: a span of events, when the last of them was received, and a hash. `rounds` is the number that was given (a refit), or None where early stopping decided.
    `parameters` are those that a search won with, if there was one; the spec has them already. `result` is the model.
    """

    CALLED: ClassVar[str] = "the lineage of a version"
    AGAIN: ClassVar[str] = "restore it from a copy"
    VERSION_FIELD: ClassVar[str] = "format"
    OLDEST: ClassVar[int] = 1
    STEPS: ClassVar[tuple[Step, ...]] = (named_by_use_case,)

    model: str
    kind: str
    partition: PartitionKey
    sources: Hashes
    pushed: dict[str, dict[str, dict[str, str | None]]]
    definitions: dict[str, str]
    spec: dict[str, Any]
    seed: int
    rounds: int | None
    parameters: dict[str, Any] | None
    packages: dict[str, str]
    lock: str | None
    platform: dict[str, Any]
    code: dict[str, Any]
    layout: dict[str, Any]
    tables: Hashes
    training_set: dict[str, str]
    result: dict[str, Any]

    @model_validator(mode="after")
    def _names_stay_inside(self) -> Self:
        """Refuse names that could be paths out of the folder that a version is rebuilt in."""
        tables = [*self.sources, *self.tables, *(table for parts in self.pushed.values() for table in parts)]
        partitions = [self.partition, *self.training_set, *self.pushed]
        names = [name for hashes in (self.sources, self.tables) for name in flat_names(hashes)]
        for name in [self.model, *tables, *partitions, *names]:
            if not all(PLAIN.fullmatch(part) for part in str(name).split("/")):
                raise LineageError(
                    f"{FILE} names {name!r}, which is no name of a model, table or partition: letters, digits and "
                    f". : + - _ are, and / between the parts of a table's name; {self.AGAIN}"
                )
        return self

    def to_bytes(self) -> bytes:
        """Canonical JSON, with a hash of each section, so that a changed one can be named."""
        return canonical({**self.document(), "hashes": section_hashes(self.content())})

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @classmethod
    def read(cls, content: bytes, sha256: str | None = None) -> Self:
        """Read what `to_bytes` wrote; raises LineageError for other bytes than `sha256` stands for, with what was changed.

        Without `sha256` only the hashes inside are held against the sections.
        """
        try:
            document = parsed(cls, content, FILE)
            sections = forward(cls, document, FILE)
            refuse_altered(document, content, sha256)
            sections.pop("hashes", None)
            return validated(cls, sections, FILE)
        except LineageError:
            raise
        except RecordError as error:
            raise LineageError(str(error)) from error


def refuse_altered(document: Mapping[str, Any], content: bytes, sha256: str | None) -> None:
    """Raise where a section of a document, as it was written, is not what its hash says."""
    digest, given = hashlib.sha256(content).hexdigest(), document.get("hashes")
    given = given if isinstance(given, Mapping) else {}
    fields = {field.serialization_alias or name for name, field in Lineage.model_fields.items()}
    names = {*fields, *document, *given} - {Lineage.VERSION_FIELD, "hashes"}
    now = section_hashes({name: document.get(name) for name in names})
    altered = [name for name in sorted(names) if given.get(name) != now[name]]
    if altered or (sha256 is not None and digest != sha256):
        raise LineageError(
            f"{FILE} is not what its hash says; changed: {', '.join(altered) or 'the hashes themselves'} "
            f"(SHA-256 {digest}, registered {sha256 or 'unknown'}): {Lineage.AGAIN}"
        )


def partitions(hashes: Hashes) -> Iterator[tuple[str, str, str]]:
    """Table, partition and hash of each, tables in order of name, partitions oldest first."""
    for table in sorted(hashes):
        for name in sorted(hashes[table]):
            yield table, name, hashes[table][name]


def flat_names(hashes: Hashes) -> Iterator[str]:
    """The names of all partitions."""
    return (name for _, name, _ in partitions(hashes))


def section_hashes(sections: Mapping[str, Any]) -> dict[str, str]:
    """The start of each section's SHA-256, by name."""
    return {name: hashlib.sha256(canonical(value)).hexdigest()[:16] for name, value in sections.items()}


def canonical(content: Any) -> bytes:
    """The same bytes for the same content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
