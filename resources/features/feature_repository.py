"""What a Feast repository defines, found in its modules: objects, the views behind a service, a content hash.

A repository is a package whose modules hold Feast objects at top level, as `feast apply` expects them, a description
of which objects are made, or both. Sources name their files relative to the lake, so that the same definitions serve every state folder.
"""

import ast
import copy
import glob
import hashlib
import importlib
import json
import textwrap
import traceback
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from feature_repo.forms import Form
from resources.features.errors import FeatureStoreError
from resources.features.meeting import Defined, refuse_meeting
from resources.features.modules import folder_of, modules_of, top_level
from resources.features.needs import Needs
from resources.features.repository import Given, Repository
from resources.features.types import FEATURES, refused_feature

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView, FileSource
    from feast.on_demand_feature_view import OnDemandFeatureView

STAMPS = ("created_timestamp", "last_updated_timestamp")


def definitions(repository: Given) -> tuple[Any, ...]:
    """Entities, feature views, on-demand views and services: those of the package's modules and those described."""
    return _definitions(Repository.of(repository))


@lru_cache
def _definitions(repository: Repository) -> tuple[Any, ...]:
    from feast import Entity, FeatureService, FeatureView
    from feast.on_demand_feature_view import OnDemandFeatureView

    from feature_repo.declared.objects import objects_of

    kinds = (Entity, FeatureView, OnDemandFeatureView, FeatureService)
    modules = _modules(repository.package)
    objects = {(kind(v), v.name): v for m in modules for v in top_level(vars(m)) if isinstance(v, kinds)}
    if repository.declared.views or repository.declared.services:
        refuse_meeting(repository, [_defined(thing, repository) for thing in objects.values()])
        try:
            more = objects_of(repository.declared, objects.values())
        except ValueError as error:
            raise FeatureStoreError(f"{repository}: {error}") from error
        objects |= {(kind(thing), thing.name): thing for thing in more}
    return tuple(objects[name] for name in sorted(objects))


def _defined(thing: Any, repository: Repository) -> Defined:
    from feast.types import from_value_type

    key = (thing.join_key, str(from_value_type(thing.value_type))) if kind(thing) == "Entity" else None
    return Defined(kind(thing), thing.name, f"the package {repository.package}", key)


def _modules(package: str) -> list[ModuleType]:
    """The package and all modules below it; raises FeatureStoreError with the line at which one fails."""
    if not package:
        return []
    folder, name = folder_of_repository(package), package
    modules = []
    try:
        for name in modules_of(package):
            modules.append(importlib.import_module(name))
    except Exception as error:
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(folder)
        ]
        place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        raise FeatureStoreError(
            f"the feature repository's module {name} cannot be imported{place}: {type(error).__name__}: {error}"
        ) from error
    return modules


@lru_cache
def forms(repository: Given) -> dict[str, Form]:
    """By on-demand view, how else its function may be called, as the package's modules say at top level."""
    return {form.view: form for form in _forms(repository).values()}


def form_paths(repository: Given) -> dict[str, str]:
    """By on-demand view, the import path (`package.module:name`) of its form."""
    return {form.view: path for path, form in _forms(repository).items()}


def _forms(repository: Given) -> dict[str, Form]:
    modules = _modules(Repository.of(repository).package)
    ordered = sorted(modules, key=_knows_feast, reverse=True)
    spaces = [(module.__name__, name, value) for module in ordered for name, value in vars(module).items()]
    return {f"{module}:{name}": value for module, name, value in spaces if isinstance(value, Form)}


def _knows_feast(module: ModuleType) -> bool:
    """Whether a module holds something of Feast's: a form is found last where it is free of it."""
    return any(str(getattr(value, "__module__", "")).startswith("feast.") for value in vars(module).values())


def rooted(repository: Given, lake: str) -> list[Any]:
    """The definitions with the files of their sources under `lake`."""
    return [_with_root(thing, lake) for thing in definitions(repository)]


def service(repository: Given, name: str) -> "FeatureService":
    """The service of that name."""
    for thing in definitions(repository):
        if kind(thing) == "FeatureService" and thing.name == name:
            return thing
    names = [thing.name for thing in definitions(repository) if kind(thing) == "FeatureService"]
    known = ", ".join(names) or "none"
    raise FeatureStoreError(
        f"{Repository.of(repository)} defines no feature service {name!r}; there are: {known}"
    )


def views_of(feature_service: "FeatureService", repository: Given) -> list["FeatureView"]:
    """The feature views that a service reads, in its order, then those that only on-demand features read."""
    views = {thing.name: thing for thing in definitions(repository) if kind(thing) == "FeatureView"}
    behind = [p.name for v in on_demand_of(feature_service, repository) for p in _projections(v)]
    names = dict.fromkeys([*(p.name for p in feature_service.feature_view_projections), *behind])
    return [views[name] for name in names if name in views]


def on_demand_of(feature_service: "FeatureService", repository: Given) -> list["OnDemandFeatureView"]:
    """The on-demand views of a service."""
    names = {p.name for p in feature_service.feature_view_projections}
    things = definitions(repository)
    return [thing for thing in things if kind(thing) == "OnDemandFeatureView" and thing.name in names]


@lru_cache(maxsize=64)
def needs(repository: Given, name: str) -> Needs:
    """What a service of that name needs and gives; refused where a feature has a type that no model takes."""
    feature_service = service(repository, name)
    refuse_types(feature_service)
    on_demand = on_demand_of(feature_service, repository)
    keys = [key for view in views_of(feature_service, repository) for key in view.join_keys]
    requested = [column for view in on_demand for column in view.get_request_data_schema()]
    fields = [
        field for projection in feature_service.feature_view_projections for field in projection.features
    ]
    inputs = {
        field.name: [f.name for p in _projections(view) for f in p.features]
        for view in on_demand
        for field in view.features
    }
    types = {field.name: FEATURES[str(field.dtype)] for field in fields}
    return Needs(tuple(dict.fromkeys([*keys, *requested])), types, inputs)


def refuse_types(feature_service: "FeatureService") -> None:
    """Raise FeatureStoreError where a feature of a service has a type that no model takes."""
    for projection in feature_service.feature_view_projections:
        for field in projection.features:
            problem = refused_feature(projection.name, field.name, str(field.dtype), feature_service.name)
            if problem:
                raise FeatureStoreError(problem)


def content_hash(feature_service: "FeatureService", repository: Given) -> str:
    """A hash of all that decides a service's values: features, views, keys, types, lives and on-demand code."""
    described = {
        "service": [(p.name, [f.name for f in p.features]) for p in feature_service.feature_view_projections],
        "views": [describe_view(view) for view in views_of(feature_service, repository)],
        "on_demand": [describe_on_demand(view) for view in on_demand_of(feature_service, repository)],
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


def kind(thing: Any) -> str:
    """The class of a Feast object, by which it is registered."""
    return type(thing).__name__


def folder_of_repository(package: str) -> Path:
    """The folder of a feature repository's package; raises FeatureStoreError where there is none."""
    try:
        return folder_of(package)
    except ImportError as error:
        raise FeatureStoreError(f"the feature repository {error}") from error


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
