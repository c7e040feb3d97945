"""Which share of a model's requests another version than the one that answers is asked for, and of which it scores copies."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from resources.records.reader import Content, Record, RecordError, numbered, read_record

DIGEST = 8
"""Bytes of the hash that draws an entity."""

HEX_DRAWN = 8
"""So many digits of a request's name draw it for the shadow."""


_Text = tuple[str, Callable[[Mapping[str, Any]], Any]]


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

    @cached_property
    def takes(self) -> Callable[[Any], bool]:
        """Whether a request (a model of its fields) is of the share: BLAKE2b of the salt and its fields, as text, lies below it."""
        if self.share in (0.0, 1.0):
            is_whole = self.share == 1.0
            return lambda request: is_whole
        below = math.ceil(self.share * 2 ** (8 * DIGEST)).to_bytes(DIGEST)
        texts, by, blake2b = dict[type, _Text](), self.by, hashlib.blake2b

        def takes(request: Any) -> bool:
            form, pick = texts.get(type(request)) or texts.setdefault(
                type(request), _text(self.salt, by, request)
            )
            try:
                text = form % pick(request.__dict__)
            except KeyError:
                text = repr(
                    [self.salt, *(getattr(request, name, None) for name in by or type(request).model_fields)]
                )
            return blake2b(text.encode(), digest_size=DIGEST).digest() < below

        return takes

    def shadows(self, request_id: str) -> bool:
        """Whether a copy of an answer is scored, by the name of its request in hexadecimal digits."""
        if self.shadow in (0.0, 1.0):
            return self.shadow == 1.0
        return int(request_id[:HEX_DRAWN], 16) < self.shadow * 16**HEX_DRAWN

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy that draws by its own fields."""
        copied = super().model_copy(update=update, deep=deep)
        vars(copied).pop("takes", None)
        return copied


def _text(salt: str, by: Sequence[str], request: Any) -> _Text:
    """How the text of a request is made: of a list of the salt and the named fields, or of all where none is named."""
    names = by or list(type(request).model_fields)
    form = f"[{repr(salt).replace('%', '%%')}{', %r' * len(names)}]"
    if len(names) == 1:
        [name] = names
        return form, lambda values: (values[name],)
    return form, itemgetter(*names) if names else lambda values: ()


def split_in(path: Path) -> Split:
    """The split in a file, which has the model's name; errors name the file and the field."""
    split = read_record(Split, path.read_bytes(), str(path))
    if split.name != path.stem:
        raise RecordError(f"{path} holds model {split.name!r}: name the file {split.name}.json")
    return split
