"""What code serves a model: the repository says so, a deployment record can only name what the repository vouches for."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class CodeError(Exception):
    """Code that cannot be imported, or that nobody vouches for."""


@dataclass(frozen=True)
class Code:
    """What the repository declares of a model: its use case, the import paths that each field of a record may have, and the scorer.

    The scorer is made from a model's bytes, and imports nothing else for them.
    """

    names: Mapping[str, frozenset[str]]
    scorer: Callable[[bytes], Any]
    use_case: str = ""

    def named(self, field: str, path: str | None) -> Any:
        """The object behind the import path that a record has in a field; raises CodeError for one that is not declared."""
        self.refuse_others(field, path)
        return imported(path) if path else None

    def refuse_others(self, field: str, path: str | None) -> None:
        """Raise CodeError unless the repository declares the path for that field."""
        if path is not None and path not in self.names[field]:
            known = ", ".join(sorted(self.names[field])) or "none"
            raise CodeError(
                f"the record's {field} {path!r} is not what the spec in the repository declares ({known}), so it is not "
                "imported: publish the deployment again or, if it is right, list it under the spec's earlier_code"
            )


Declared = Callable[[str], Code | None]
"""What the repository declares for the model of a name; None where it has no such model."""


def imported(path: str) -> Any:
    """The object that `package.module:name` names."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise CodeError(f"cannot import {path!r}: {error}") from error
