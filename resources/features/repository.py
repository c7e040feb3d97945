"""Where the Feast definitions of a use case are: in an importable package, in a description, or in both."""

from typing import Self

import pydantic

from feature_repo.declared.description import Declared

TEMPLATE = "feature_repo"
"""The package whose feature_store.yaml is taken where a repository has none."""


class Repository(pydantic.BaseModel):
    """The definitions of one Feast project: the objects of a package, and those that a description gives beside them.

    `project` is Feast's name of it; "" takes the one of the package's feature_store.yaml.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    package: str = ""
    declared: Declared = Declared()
    project: str = ""

    @classmethod
    def of(cls, given: "Repository | str") -> Self:
        """A package by its name, or a repository as it is."""
        return cls(package=given) if isinstance(given, str) else cls(**dict(given))

    def __str__(self) -> str:
        parts = [self.package, f"what {self.project or 'it'} describes" if self.declared.views else ""]
        return " and ".join(filter(None, parts)) or f"the empty feature repository {self.project!r}"


Given = Repository | str
"""A repository, or a package by its name."""
