"""What a Feast repository defines, found in its modules: objects, the views behind a service, a content hash.

A repository is a package whose modules hold Feast objects at top level, as `feast apply` expects them. Sources
name their files relative to the lake, so that the same definitions serve every state folder.
"""

import ast
import copy
import glob
import hashlib
import importlib
import json
import string
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from resources.addresses import revealed
from resources.features.source_scan import service_names
from resources.features.types import FEATURES, refused_feature
from resources.yaml_files import YamlError, read_yaml, told

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView, FileSource
    from feast.on_demand_feature_view import OnDemandFeatureView
    from feast.repo_config import RepoConfig

TEMPLATE = "feature_repo"
STAMPS = ("created_timestamp", "last_updated_timestamp")
CONFIGURATION = "feature_store.yaml"
REDIS = "feature_repo.online_store.redis.store.BulkRedisOnlineStore"


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


def rooted(repository: str, lake: str) -> list[Any]:
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


@dataclass(frozen=True)
class Needs:
    """Of a service: columns that rows must have, types of its features, and what on-demand features are made of."""

    columns: tuple[str, ...]
    types: dict[str, Any]
    inputs: dict[str, list[str]]


@lru_cache(maxsize=64)
def needs(repository: str, name: str) -> Needs:
    """What a service of that name needs and gives; refused where a feature has a type that no model takes."""
    wanted = service(repository, name)
    refuse_types(wanted)
    on_demand = on_demand_of(wanted, repository)
    keys = [key for view in views_of(wanted, repository) for key in view.join_keys]
    requested = [column for view in on_demand for column in view.get_request_data_schema()]
    fields = [field for projection in wanted.feature_view_projections for field in projection.features]
    inputs = {
        field.name: [f.name for p in _projections(view) for f in p.features]
        for view in on_demand
        for field in view.features
    }
    types = {field.name: FEATURES[str(field.dtype)] for field in fields}
    return Needs(tuple(dict.fromkeys([*keys, *requested])), types, inputs)


def refuse_types(wanted: "FeatureService") -> None:
    """Raise FeatureStoreError where a feature of a service has a type that no model takes."""
    for projection in wanted.feature_view_projections:
        for field in projection.features:
            problem = refused_feature(projection.name, field.name, str(field.dtype), wanted.name)
            if problem:
                raise FeatureStoreError(problem)


def content_hash(wanted: "FeatureService", repository: str) -> str:
    """A hash of all that decides a service's values: features, views, keys, types, lives and on-demand code."""
    described = {
        "service": [(p.name, [f.name for f in p.features]) for p in wanted.feature_view_projections],
        "views": [describe_view(view) for view in views_of(wanted, repository)],
        "on_demand": [describe_on_demand(view) for view in on_demand_of(wanted, repository)],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def view_hash(view: "FeatureView") -> str:
    """A hash of what decides the values of a view."""
    described = json.dumps(describe_view(view), sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def objects_hash(objects: list[Any]) -> str:
    """A hash of everything that is registered, descriptions and source paths included; not when it was written down."""
    parts = sorted(
        (kind(thing), thing.name, _lasting(thing.to_proto()).SerializeToString(deterministic=True))
        for thing in objects
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _lasting(message: Any) -> Any:
    """The message without what differs from process to process: when an object was made, and functions as bytes beside their text."""
    pickled = {"body"} if getattr(message, "body_text", "") else set()
    for described, value in message.ListFields():
        if described.name in {*STAMPS, *pickled}:
            message.ClearField(described.name)
        elif described.message_type:
            parts = (
                value.values() if hasattr(value, "values") else value if described.is_repeated else [value]
            )
            for part in parts:
                if hasattr(part, "ListFields"):
                    _lasting(part)
    return message


def configuration(
    repository: str, home: str, online_store: str = "", offline_engine: str = "local"
) -> "RepoConfig":
    """The repository's feature_store.yaml with `home` as the folder of registry and online store.

    With `online_store` (`redis://host:port/db`) the online features are in that Redis instead. `offline_engine`
    says where historical features are joined: `local` or `ray`.
    """
    from feast.repo_config import RepoConfig
    from pydantic import ValidationError

    folder = _folder(repository)
    template = folder / CONFIGURATION
    if not template.exists():
        template = _folder(TEMPLATE) / CONFIGURATION
    given = {"MLOPS_FEAST": home, "MLOPS_OFFLINE_ENGINE": offline_engine}
    text = template.read_text(encoding="utf-8")
    content = _filled(_settings(text, template), given)
    if online_store:
        address = connection_string(revealed(online_store))
        content["online_store"] = {"type": REDIS, "connection_string": address}
    try:
        config = RepoConfig(repo_path=folder, **content)
        _ = config.registry, config.offline_store, config.online_store  # read when they are asked for
    except ValidationError as error:
        raise FeatureStoreError(told(error, text, template, content)) from error
    return config


def _settings(text: str, file: Path) -> dict[str, Any]:
    try:
        content = read_yaml(text, file)
    except YamlError as error:
        raise FeatureStoreError(str(error)) from error
    if not isinstance(content, dict):
        raise FeatureStoreError(f"{file}:1: holds {content!r}: give Feast's settings, at least a project")
    return content


def _filled(content: Any, given: Mapping[str, str]) -> Any:
    """The content with its variables filled in, after it was read as YAML, so that a path may have any sign."""
    if isinstance(content, dict):
        return {name: _filled(value, given) for name, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, given) for value in content]
    if not isinstance(content, str):
        return content
    escaped = {name: value.replace("%", "%25").replace("?", "%3F") for name, value in given.items()}
    return string.Template(content).safe_substitute(escaped if "://" in content else given)


def connection_string(address: str) -> str:
    """Feast's way to write a Redis address: `redis://:secret@host:6379/2` is `host:6379,db=2,password=secret`."""
    parts = urlsplit(address)
    extras = {"db": parts.path.strip("/"), "username": parts.username, "password": parts.password}
    given = [f"{name}={unquote(value)}" for name, value in extras.items() if value]
    secured = ["ssl=true"] if parts.scheme == "rediss" else []
    return ",".join([f"{parts.hostname}:{parts.port}", *given, *secured])


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


def _with_root(thing: Any, lake: str) -> Any:
    """A copy, because Feast stamps what it registers with the time."""
    view = copy.copy(thing)
    if kind(thing) != "FeatureView":
        return view
    source = copy.deepcopy(_source(thing))
    source.file_options.uri = f"{glob.escape(lake)}/{source.path}"
    view.batch_source = source
    if view.stream_source is not None:
        view.stream_source = copy.copy(view.stream_source)
        view.stream_source.batch_source = source
    return view


def _projections(view: "OnDemandFeatureView") -> Iterator[Any]:
    yield from view.source_feature_view_projections.values()


def _source(view: "FeatureView") -> "FileSource":
    from feast import FileSource

    if not isinstance(view.batch_source, FileSource):
        raise FeatureStoreError(f"the source of view {view.name!r} is not a FileSource over the lake")
    return view.batch_source


def table_of(view: "FeatureView") -> str:
    """The lake table whose files a view's source names."""
    return _source(view).path.rpartition("/")[0]


def _source_parts(source: "FileSource") -> tuple[str, ...]:
    return source.path, source.timestamp_field, source.created_timestamp_column


def describe_view(view: "FeatureView") -> dict[str, Any]:
    """What decides the values of a view."""
    return {
        "name": view.name,
        "keys": sorted(view.join_keys),
        "fields": sorted((f.name, str(f.dtype)) for f in view.schema),
        "seconds": view.ttl.total_seconds() if view.ttl else 0,
        "source": [part for part in _source_parts(_source(view)) if part],
    }


def describe_on_demand(view: "OnDemandFeatureView") -> dict[str, Any]:
    """What decides the values of an on-demand view."""
    code = view.feature_transformation.udf_string if view.feature_transformation else ""
    return {
        "name": view.name,
        "code": without_words(code),
        "fields": [(f.name, str(f.dtype)) for f in view.features],
        "request": {name: str(t) for name, t in view.get_request_data_schema().items()},
        "inputs": sorted((p.name, sorted(f.name for f in p.features)) for p in _projections(view)),
    }


def without_words(code: str) -> str:
    """Source as its syntax tree in text, without comments, docstrings and layout, which change no value.

    What is no statement by itself, as the line of a lambda, stays as it is.
    """
    try:
        tree = ast.parse(textwrap.dedent(code))
    except SyntaxError:
        return code
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
