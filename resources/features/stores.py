"""The feature stores of all use cases: each is a Feast project of its own, with its own registry and online store.

Nothing of one is seen, changed or removed by another: a use case's registry and SQLite lie in a folder of its own, and
in a Redis that several share, the project's name is a part of every key.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, Self, cast

import polars as pl

from resources.addresses import handed_on
from resources.features.feature_repository import FeatureStoreError
from resources.features.inputs import read
from resources.features.push_sources import PushSource
from resources.features.repository import Repository
from resources.features.store import FeatureStoreResource
from resources.resource import Resource
from resources.settings import Settings, settings
from resources.use_case_folders import (
    UseCaseFolder,
    UseCaseFolderError,
    use_case_folder,
    use_case_folders,
)


class FeatureStores(Resource):
    """Feast over the feature tables of every use case, with registries and online stores under `home`.

    `online_store` names a Redis (`redis://host:port/db`) to hold the online features instead of SQLite.
    `offline_engine` is `local`, or `ray` to join historical features on a Ray cluster.
    `registry` names a PostgreSQL to hold the registries; then `shared` is the storage in which all machines find what was applied.
    """

    lake_root: str
    home: str
    online_store: str = ""
    offline_engine: str = "local"
    registry: str = ""
    shared: str = ""

    @classmethod
    def at(cls, where: Settings) -> Self:
        """As the settings say."""
        return cls(
            lake_root=where.lake,
            home=str(where.feast),
            online_store=handed_on("MLOPS_ONLINE_STORE", where.online_store),
            offline_engine=where.offline_engine,
            registry=handed_on("MLOPS_FEAST_REGISTRY", where.feast_registry),
            shared=where.shared("feast"),
        )

    def of(self, use_case: str) -> FeatureStoreResource:
        """The store of one use case; raises FeatureStoreError where there is no such use case."""
        return FeatureStoreResource(
            lake_root=self.lake_root,
            home=str(Path(self.home) / use_case),
            repository=repository_of(use_case),
            online_store=self.online_store,
            offline_engine=self.offline_engine,
            registry=self.registry,
            shared=f"{self.shared}/{use_case}" if self.shared else "",
        )

    def asked(self, use_case: str | None, service: str | None, views: Iterable[str]) -> FeatureStoreResource:
        """The store that a question is for: of the use case it names, or of the only one that defines what it asks for.

        Raises FeatureStoreError where several define it, and where none does.
        """
        if use_case:
            return self.of(use_case)
        return _defining(cast(Any, self), service, frozenset() if service else frozenset(views))

    def push_sources(self) -> dict[str, PushSource]:
        """Every push source that some use case defines, by name; raises FeatureStoreError where two have one name."""
        return {name: source for name, (_, source) in self._sources.items()}

    def push(self, source: str, rows: pl.DataFrame, to: Literal["online", "offline"]) -> None:
        """Push rows to all views of a source, into one of the stores of its use case."""
        self.pushed_to(source).push(source, rows, to)

    def pushed_to(self, source: str) -> FeatureStoreResource:
        """The store of the use case that defines a push source."""
        return self.of(self._sources[source][0])

    @cached_property
    def _sources(self) -> dict[str, tuple[str, PushSource]]:
        return sources_of(self.every())

    def every(self) -> dict[str, FeatureStoreResource]:
        """The store of each use case that there is, by its name."""
        return {folder.name: self.of(folder.name) for folder in use_case_folders()}


class HasSources(Protocol):
    """A store of one use case that knows its push sources."""

    def push_sources(self) -> dict[str, PushSource]: ...


def sources_of(stores: Mapping[str, HasSources]) -> dict[str, tuple[str, PushSource]]:
    """Use case and push source by the source's name; raises FeatureStoreError where two use cases have one name."""
    sources: dict[str, tuple[str, PushSource]] = {}
    for use_case, store in stores.items():
        for name, source in store.push_sources().items():
            other, _ = sources.setdefault(name, (use_case, source))
            if other != use_case:
                raise FeatureStoreError(
                    f"the push source {name!r} is defined in the use cases {other} and {use_case}: rename one of them"
                )
    return sources


@lru_cache(maxsize=256)
def _defining(stores: FeatureStores, service: str | None, views: frozenset[str]) -> FeatureStoreResource:
    """Asked at every request for features, and a reading of all repositories takes longer than the answer."""
    every = stores.every()
    use_cases = [
        name
        for name, store in every.items()
        if (service in store.services() if service else views <= set(read(store.repository).views))
    ]
    if len(use_cases) != 1:
        what = f"feature service {service!r}" if service else f"feature views {', '.join(sorted(views))}"
        where = (
            f"in the use cases {', '.join(use_cases)}"
            if use_cases
            else f"in none of the use cases {', '.join(every)}"
        )
        raise FeatureStoreError(f"{what} is defined {where}: name another, or one of these in `use_case`")
    return every[use_cases[0]]


def repository_of(use_case: str) -> Repository:
    """Where the definitions of a use case are; its Feast project has its name.

    That is what its YAML describes, and its own `features` package or the one that MLOPS_FEATURE_REPO names for every
    use case.
    """
    given = settings().feature_repository
    try:
        folder = use_case_folder(use_case)
    except UseCaseFolderError as error:
        if given:
            return Repository(package=given, project=use_case)
        raise FeatureStoreError(str(error)) from error
    package = given or folder.features or ""
    return _described()(Repository(package=package, project=use_case), folder)


@cache
def _described() -> Callable[[Repository, UseCaseFolder], Repository]:
    """What reads the YAML of use cases, by its name: it belongs to what uses this store."""
    module, _, name = settings().described.partition(":")
    return getattr(import_module(module), name)
