"""One reader for every kind of record: a newer version is refused in a sentence, an older one is brought forward in memory.

A document carries the version of its kind. Its content is what was written, field by field: a field that was not there
has its default when it is read, and is not written back, so that a hash of the content stays what it was. Fields that
a kind does not know are refused: two releases must never half agree, and a new field is a new version.
"""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Self, TypeVar

import pydantic

Content = dict[str, Any]
Step = Callable[[Content], Content]
"""From the content of one version to that of the next; it never imports what a record names."""

Kind = TypeVar("Kind", bound="Record")


PartitionKey = Annotated[str, pydantic.Field(validation_alias="week", serialization_alias="week")]
"""The key of a partition; written as `week`, as in the first records, whose hashes are on record for ever."""


class RecordError(Exception):
    """A record that cannot be used as it is: names it, what is wrong with it, and what to do."""


class Part(pydantic.BaseModel):
    """A part of a record: unknown fields are errors, and numbers are finite."""

    model_config = pydantic.ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        ser_json_inf_nan="constants",
        validate_by_name=True,
        serialize_by_alias=True,
    )

    def content(self) -> Content:
        """The fields that were given, as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)


class Record(Part):
    """A document of one kind; `STEPS` lead from each older version to the next, so their number is the version of now."""

    CALLED: ClassVar[str]
    """What a sentence calls it."""

    AGAIN: ClassVar[str]
    """How to have it made again, as an imperative clause."""

    STEPS: ClassVar[tuple[Step, ...]] = ()
    OLDEST: ClassVar[int] = 0
    """Version of a document that names none."""

    VERSION_FIELD: ClassVar[str] = "record_version"

    @classmethod
    def newest(cls) -> int:
        """The version that this release writes."""
        return cls.OLDEST + len(cls.STEPS)

    def document(self) -> Content:
        """What is written: the content under the version of now."""
        return {self.VERSION_FIELD: self.newest(), **self.content()}

    @classmethod
    def of(cls, document: Any, where: str) -> Self:
        """The record in a document (JSON values) of this version or an older one; `where` names it in errors."""
        return validated(cls, forward(cls, document, where), where)


def read_record(kind: type[Kind], content: bytes | str, where: str) -> Kind:
    """The record in the bytes of a JSON document; raises RecordError for anything that is none of this kind."""
    return kind.of(parsed(kind, content, where), where)


def parsed(kind: type[Record], content: bytes | str, where: str) -> Any:
    """The JSON values in bytes; RecordError where they are not JSON."""
    try:
        return json.loads(content)
    except ValueError as error:
        raise RecordError(f"{where} is not JSON ({error}): {kind.AGAIN}") from error


def version_in(kind: type[Record], document: Any, where: str) -> int:
    """The version that a document has; RecordError for one that this release cannot read."""
    if not isinstance(document, Mapping):
        raise RecordError(f"{where} holds a {type(document).__name__}, not {kind.CALLED}: {kind.AGAIN}")
    version = document.get(kind.VERSION_FIELD, kind.OLDEST)
    if not isinstance(version, int) or isinstance(version, bool) or version < kind.OLDEST:
        raise RecordError(
            f"{where}: {kind.VERSION_FIELD}={version!r} is no version of {kind.CALLED} (a whole number from {kind.OLDEST} "
            f"to {kind.newest()}): {kind.AGAIN}"
        )
    if version > kind.newest():
        raise RecordError(
            f"{where}: {kind.CALLED} has version {version}, this release reads up to {kind.newest()}: it was written by a "
            f"newer release; use that one, or restore the state folder from a copy made before"
        )
    return version


def forward(kind: type[Record], document: Any, where: str) -> Content:
    """The content of a document as the newest version has it, taken there step by step."""
    version = version_in(kind, document, where)
    content = {name: value for name, value in document.items() if name != kind.VERSION_FIELD}
    for step in kind.STEPS[version - kind.OLDEST :]:
        content = step(content)
    return content


def validated(kind: type[Kind], content: Content, where: str) -> Kind:
    """The model of a content of the newest version; RecordError names the first field that is wrong."""
    try:
        return kind.model_validate(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "(whole)"
        raise RecordError(f"{where}: field {field}: {first['msg']}; {kind.AGAIN}") from error


def numbered(content: Content) -> Content:
    """The first step of a kind whose documents had no version: nothing else changes."""
    return content
