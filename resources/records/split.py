"""Which share of a model's requests another version than the one that answers is asked for."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from resources.records.reader import Record, RecordError, numbered, read_record


class Split(Record):
    """A share of requests by a stable hash of some fields: the same entity meets the same version, on every machine."""

    CALLED: ClassVar[str] = "the split of a model's requests"
    AGAIN: ClassVar[str] = "remove it, and the version that answers has all of them"
    STEPS: ClassVar = (numbered,)

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

    def takes(self, request: Any) -> bool:
        """Whether a request (a model of its fields) is of the share."""
        if self.share in (0.0, 1.0):
            return self.share == 1.0
        names: Sequence[str] = self.by or list(type(request).model_fields)
        text = repr([self.salt, *[getattr(request, name, None) for name in names]])
        drawn = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(drawn) < self.share * 2**64


def split_in(path: Path) -> Split:
    """The split in a file, which has the model's name; errors name the file and the field."""
    split = read_record(Split, path.read_bytes(), str(path))
    if split.name != path.stem:
        raise RecordError(f"{path} holds model {split.name!r}: name the file {split.name}.json")
    return split
