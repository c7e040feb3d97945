"""What a Feast repository defines, found in its modules: objects, the views behind a service, a content hash.

A repository is a package whose modules hold Feast objects at top level, as `feast apply` expects them. Sources
name their files relative to the lake, so that the same definitions serve every state folder.
"""

import copy
import hashlib
import importlib
import json
import string
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.feature_sources import service_names

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView, FileSource
    from feast.on_demand_feature_view import OnDemandFeatureView
    from feast.repo_config import RepoConfig

REPOSITORY = "feature_repo"
CONFIGURATION = "feature_store.yaml"


class FeatureStoreError(Exception):
    """A service, column, table or row that the feature store was asked for is not as it must be."""


@lru_cache
def definitions(repository: str) -> tuple[Any, ...]:
    """Entities, feature views, on-demand views and services at the top level of the repository's modules."""
    from feast import Entity, FeatureService, FeatureView
    from feast.on_demand_feature_view import OnDemandFeatureView

    kinds = (Entity, FeatureView, OnDemandFeatureView, FeatureService)
    modules = [importlib.import_module(f"{repository}.{path.stem}") for path in _sources(repository)]
    found = {(kind(v), v.name): v for m in modules for v in vars(m).values() if isinstance(v, kinds)}
    return tuple(found[name] for name in sorted(found))


def rooted(repository: str, lake: Path) -> list[Any]:
    """The definitions with the files of their sources under `lake`."""
    return [_with_root(thing, lake) for thing in definitions(repository)]


def service(repository: str, name: str) -> "FeatureService":
    """The service of that name."""
    for thing in definitions(repository):
        if kind(thing) == "FeatureService" and thing.name == name:
            return thing
    known = ", ".join(service_names(repository)) or "none"
    raise FeatureStoreError(f"{repository} defines no feature service {name!r}; there are: {known}")


def views_of(wanted: "FeatureService", repository: str) -> list["FeatureView"]:
    """The feature views that a service reads, in its order, then those that only on-demand features read."""
    views = {thing.name: thing for thing in definitions(repository) if kind(thing) == "FeatureView"}
    behind = [p.name for v in on_demand_of(wanted, repository) for p in _projections(v)]
    names = dict.fromkeys([*(p.name for p in wanted.feature_view_projections), *behind])
    return [views[name] for name in names if name in views]


def on_demand_of(wanted: "FeatureService", repository: str) -> list["OnDemandFeatureView"]:
    """The on-demand views of a service."""
    names = {p.name for p in wanted.feature_view_projections}
    things = definitions(repository)
    return [thing for thing in things if kind(thing) == "OnDemandFeatureView" and thing.name in names]


def content_hash(wanted: "FeatureService", repository: str) -> str:
    """A hash of all that decides a service's values: features, views, keys, types, lives and on-demand code."""
    described = {
        "service": [(p.name, [f.name for f in p.features]) for p in wanted.feature_view_projections],
        "views": [_describe_view(view) for view in views_of(wanted, repository)],
        "on_demand": [_describe_on_demand(view) for view in on_demand_of(wanted, repository)],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def objects_hash(objects: list[Any]) -> str:
    """A hash of everything that is registered, descriptions and source paths included."""
    parts = sorted(
        (kind(thing), thing.name, thing.to_proto().SerializeToString(deterministic=True)) for thing in objects
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def configuration(repository: str, home: str, offline_engine: str = "local") -> "RepoConfig":
    """The repository's feature_store.yaml with `home` as the folder of registry and online store.

    `offline_engine` says where historical features are joined: `local` or `ray`.
    """
    import yaml
    from feast.repo_config import RepoConfig

    folder = _folder(repository)
    template = folder / CONFIGURATION
    if not template.exists():
        template = _folder(REPOSITORY) / CONFIGURATION
    given = {"MLOPS_FEAST": home, "MLOPS_OFFLINE_ENGINE": offline_engine}
    text = string.Template(template.read_text(encoding="utf-8")).safe_substitute(given)
    return RepoConfig(repo_path=folder, **yaml.safe_load(text))


def kind(thing: Any) -> str:
    """The class of a Feast object, by which it is registered."""
    return type(thing).__name__


def _folder(repository: str) -> Path:
    spec = find_spec(repository)
    if spec is None or not spec.submodule_search_locations:
        raise FeatureStoreError(f"the feature repository {repository!r} is not an importable package")
    return Path(next(iter(spec.submodule_search_locations)))


def _sources(repository: str) -> list[Path]:
    return sorted(path for path in _folder(repository).glob("*.py") if path.stem != "__init__")


def _with_root(thing: Any, lake: Path) -> Any:
    if kind(thing) != "FeatureView":
        return thing
    view = copy.copy(thing)
    source = copy.deepcopy(_source(thing))
    source.file_options.uri = str(lake / source.path)
    view.batch_source = source
    return view


def _projections(view: "OnDemandFeatureView") -> Iterator[Any]:
    yield from view.source_feature_view_projections.values()


def _source(view: "FeatureView") -> "FileSource":
    from feast import FileSource

    if not isinstance(view.batch_source, FileSource):
        raise FeatureStoreError(f"the source of view {view.name!r} is not a FileSource over the lake")
    return view.batch_source


def _describe_view(view: "FeatureView") -> dict[str, Any]:
    return {
        "name": view.name,
        "keys": sorted(view.join_keys),
        "fields": sorted((f.name, str(f.dtype)) for f in view.schema),
        "seconds": view.ttl.total_seconds() if view.ttl else 0,
        "source": [_source(view).path, _source(view).timestamp_field],
    }


def _describe_on_demand(view: "OnDemandFeatureView") -> dict[str, Any]:
    code = view.feature_transformation.udf_string if view.feature_transformation else ""
    return {
        "name": view.name,
        "code": code,
        "fields": [(f.name, str(f.dtype)) for f in view.features],
        "request": {name: str(t) for name, t in view.get_request_data_schema().items()},
        "inputs": sorted((p.name, sorted(f.name for f in p.features)) for p in _projections(view)),
    }
