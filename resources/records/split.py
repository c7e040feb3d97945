"""Which share of a model's requests another version than the one that answers is asked for, and of which it scores copies."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from resources.records.reader import Content, Record, RecordError, numbered, read_record

HEX_DRAWN = 8
"""So many digits of a request's name draw it for the shadow."""


def _without_shadow(content: Content) -> Content:
    """Before there was a shadow nothing was copied, which is what its defaults say."""
    return content


class Split(Record):
    """A share of requests by a stable hash of some fields: the same entity meets the same version, on every machine."""

    CALLED: ClassVar[str] = "the split of a model's requests"
    AGAIN: ClassVar[str] = "remove it, and the version that answers has all of them"
    STEPS: ClassVar = (numbered, _without_shadow)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    version: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]
    share: Annotated[float, Field(ge=0, le=1)]
    by: list[str] = Field(
        default_factory=list,
        description="Fields of the request that name the entity; all where none is named.",
    )
    salt: str = Field(default="", description="Another one draws other entities.")
    deadline_ms: Annotated[int, Field(gt=0, le=60_000)] = Field(
        default=100, description="After so long the version that answers has answered."
    )
    shadow: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Share of what the version that answers has answered of which this one scores a copy afterwards.",
    )
    shadow_cpu: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.25, description="The largest share of one processor that scoring copies may take."
    )

    def takes(self, request: Any) -> bool:
        """Whether a request (a model of its fields) is of the share."""
        if self.share in (0.0, 1.0):
            return self.share == 1.0
        values = self._values(request) if self.by else _all_of(request)
        drawn = hashlib.blake2b(repr([self.salt, *values]).encode(), digest_size=8).digest()
        return int.from_bytes(drawn) < self.share * 2**64

    def shadows(self, request_id: str) -> bool:
        """Whether a copy of an answer is scored, by the name of its request in hexadecimal digits."""
        if self.shadow in (0.0, 1.0):
            return self.shadow == 1.0
        return int(request_id[:HEX_DRAWN], 16) < self.shadow * 16**HEX_DRAWN

    @cached_property
    def _values(self) -> Callable[[Any], Sequence[Any]]:
        """The fields that name the entity, None for one that a request does not have."""
        pick = attrgetter(*self.by)

        def values(request: Any) -> Sequence[Any]:
            try:
                return pick(request) if len(self.by) > 1 else (pick(request),)
            except AttributeError:
                return [getattr(request, name, None) for name in self.by]

        return values


def _all_of(request: Any) -> Sequence[Any]:
    return [getattr(request, name, None) for name in type(request).model_fields]


def split_in(path: Path) -> Split:
    """The split in a file, which has the model's name; errors name the file and the field."""
    split = read_record(Split, path.read_bytes(), str(path))
    if split.name != path.stem:
        raise RecordError(f"{path} holds model {split.name!r}: name the file {split.name}.json")
    return split
