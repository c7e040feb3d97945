"""Where the Feast definitions of a use case are: in an importable package, in a description, or in both."""

from functools import cached_property, lru_cache

import pydantic

from feature_repo.declared.description import Declared

TEMPLATE = "feature_repo"
"""The package whose feature_store.yaml is taken where a repository has none."""


class Repository(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The definitions of one Feast project: the objects of a package, and those that a description gives beside them.

    `project` is Feast's name of it; "" takes the one of the package's feature_store.yaml.
    """

    package: str = ""
    declared: Declared = Declared()
    project: str = ""

    @classmethod
    def of(cls, given: "Repository | str") -> "Repository":
        """A package by its name, or a repository as it is."""
        return _package(given) if isinstance(given, str) else given

    def __str__(self) -> str:
        described = f"the description of {self.project!r}" if self.declared.views else ""
        return (
            " and ".join(filter(None, (self.package, described))) or f"the empty repository {self.project!r}"
        )

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Asked for at every request for features, and a description may be long."""
        return hash((self.package, self.declared, self.project))


Given = Repository | str
"""A repository, or a package by its name."""


@lru_cache(maxsize=64)
def _package(name: str) -> Repository:
    return Repository(package=name)
