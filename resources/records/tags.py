"""The tags of a registered model version: what MLflow holds of it as text, under the version of what the names mean."""

from collections.abc import Mapping
from typing import ClassVar

from resources.records.reader import Record, RecordError, forward, numbered


class VersionTags(Record):
    """Tags by name; all are text, and which there are is for their readers to say."""

    CALLED: ClassVar[str] = "the set of tags"
    AGAIN: ClassVar[str] = "train again, or put the tag back"
    STEPS: ClassVar = (numbered,)


def tags_forward(tags: Mapping[str, str], where: str) -> dict[str, str]:
    """A version's tags as this release names them; RecordError where a newer release wrote them."""
    name = VersionTags.VERSION_FIELD
    given = tags.get(name)
    if given is not None and not given.isdecimal():
        raise RecordError(f"{where}: the tag {name}={given!r} is no whole number: {VersionTags.AGAIN}")
    version = {} if given is None else {name: int(given)}
    return forward(VersionTags, {**tags, **version}, where)


def tags_to_write(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags with the version that they are written in."""
    return {**tags, VersionTags.VERSION_FIELD: str(VersionTags.newest())}
