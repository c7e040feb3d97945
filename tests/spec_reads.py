"""Which fields of a spec a piece of work reads, told by the work itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mlops_assets.spec.base import Part
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import spec_kinds


@contextmanager
def fields_read() -> Iterator[set[str]]:
    """The dotted names of the fields that are asked for inside, parts with fields of their own among them."""
    parts = {field.annotation: f"{name}." for name, field in ModelSpec.model_fields.items()}
    prefixes = parts | dict.fromkeys([kind.spec for kind in spec_kinds().values()], "trainer.")
    read: set[str] = set()

    def watched(part: Part, name: str) -> Any:
        if name in type(part).model_fields:
            read.add(prefixes.get(type(part), "") + name)
        return object.__getattribute__(part, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Part, "__getattribute__", watched, raising=False)
        yield read
