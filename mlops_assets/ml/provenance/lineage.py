"""The lineage of a model version: all that its bytes follow from, as one JSON document with a hash of its own.

Written once, beside the model, in canonical form: the same lineage has the same bytes. It holds no clock, path or run.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

FILE = "lineage.json"
FORMAT = 1
Hashes = dict[str, dict[str, str]]
"""Table -> partition -> SHA-256 of its file."""

NODES = {
    "definitions": "feature definition",
    "spec": "spec",
    "packages": "package",
    "lock": "lock",
    "platform": "platform",
    "code": "code",
}
"""Sections that are compared before anything is computed, the most specific first, and what one of their entries is called."""


PLAIN = re.compile(r"[A-Za-z0-9][\w.:+-]*")
"""A part of a table's or partition's name: nothing that leads out of a folder."""


class LineageError(Exception):
    """A lineage that is missing, or not what its hash says."""


@dataclass(frozen=True)
class Difference:
    """A node of the lineage that is not what it was, with both values."""

    node: str
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.node}: {_short(self.then)} then, {_short(self.now)} now"


@dataclass(frozen=True)
class Lineage:
    """Everything that a version follows from, in the order in which one thing follows from another.

    `sources` are the partitions that no code here made, `tables` those made of them. `pushed` are the rows that had been
    pushed when a week was joined, by week and table: a span of events, when the last of them was received, and a hash. `rounds` is the number that was given (a refit), or None where early stopping decided.
    `parameters` are those that a search won with, if there was one; the spec has them already. `result` is the model.
    """

    model: str
    kind: str
    week: str
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

    def __post_init__(self) -> None:
        """Refuse names that could be paths out of the folder that a version is rebuilt in."""
        tables = [*self.sources, *self.tables, *(table for parts in self.pushed.values() for table in parts)]
        weeks = [self.week, *self.training_set, *self.pushed]
        names = [name for hashes in (self.sources, self.tables) for name in flat_names(hashes)]
        for name in [self.model, *tables, *weeks, *names]:
            if not all(PLAIN.fullmatch(part) for part in str(name).split("/")):
                raise LineageError(
                    f"{FILE} names {name!r}, which is no name of a model, table or partition: letters, digits and "
                    f". : + - _ are, and / between the parts of a table's name; restore it from a copy"
                )

    def to_bytes(self) -> bytes:
        """Canonical JSON, with a hash of each section, so that a changed one can be named."""
        return _canonical({"format": FORMAT, "hashes": _hashes(asdict(self)), **asdict(self)})

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @classmethod
    def read(cls, content: bytes, sha256: str | None = None) -> Self:
        """Read what `to_bytes` wrote; raises LineageError for other bytes than `sha256` stands for, with what was changed.

        Without `sha256` only the hashes inside are held against the sections.
        """
        found = hashlib.sha256(content).hexdigest()
        document = _parsed(content)
        sections: dict[str, Any] = {field.name: document.get(field.name) for field in fields(cls)}
        if document.get("format") != FORMAT:
            raise LineageError(
                f"{FILE} has format {document.get('format')!r}, this version reads {FORMAT}: "
                f"verify with the version of mlops-assets that wrote it"
            )
        given = document.get("hashes", {})
        altered = [name for name, value in _hashes(sections).items() if given.get(name) != value]
        if altered or (sha256 is not None and found != sha256):
            raise LineageError(
                f"{FILE} is not what its hash says; changed: {', '.join(altered) or 'the hashes themselves'} "
                f"(SHA-256 {found}, registered {sha256 or 'unknown'}): restore it from a copy"
            )
        return cls(**sections)


def differences(lineage: Lineage, now: Mapping[str, Any]) -> list[Difference]:
    """Every entry of the sections in `now` that the lineage has otherwise, in the order of `NODES`.

    `now` maps a section to its present content; sections that it leaves out are not compared. Nobody declares the
    parameters that a search won with, so they are not compared either.
    """
    found, searched = [], _of_a_search(lineage)
    for section, called in NODES.items():
        if section not in now:
            continue
        then, today = (_comparable(section, value) for value in (getattr(lineage, section), now[section]))
        for name in sorted({*then, *today} - (searched if section == "spec" else set())):
            if then.get(name) != today.get(name):
                found.append(Difference(f"{called} {name}", _said(then, name), _said(today, name)))
    return found


def partitions(hashes: Hashes) -> Iterator[tuple[str, str, str]]:
    """Table, partition and hash of each, tables in order of name, partitions oldest first."""
    for table in sorted(hashes):
        for name in sorted(hashes[table]):
            yield table, name, hashes[table][name]


def flat_names(hashes: Hashes) -> Iterator[str]:
    """The names of all partitions."""
    return (name for _, name, _ in partitions(hashes))


def _of_a_search(lineage: Lineage) -> set[str]:
    return {f"trainer.{above}{name}" for name in lineage.parameters or {} for above in ("", "parameters.")}


def _comparable(section: str, value: Any) -> dict[str, Any]:
    """A section as entries by dotted name; of the code the files count, because a revision alone changes no byte."""
    if section == "code":
        return dict(value["files"])
    if section == "lock":
        return {"requirements.lock": value}
    return dict(_flat(value))


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _said(entries: Mapping[str, Any], name: str) -> str:
    value = entries.get(name)
    if name not in entries or value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _short(value: str) -> str:
    return f"{value[:12]}…" if len(value) == 64 else value


def _hashes(sections: Mapping[str, Any]) -> dict[str, str]:
    return {name: hashlib.sha256(_canonical(value)).hexdigest()[:16] for name, value in sections.items()}


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise LineageError(f"{FILE} is no JSON ({error}): restore it from a copy") from error
    if not isinstance(document, dict):
        raise LineageError(f"{FILE} holds a {type(document).__name__}, not a lineage: restore it from a copy")
    return document
