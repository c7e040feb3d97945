"""The names that feature services read and give, without Feast, which takes six seconds to import.

The repository's modules are run against a stand-in that writes down what is made of Feast's classes. It belongs to
this reading alone: nothing is registered, replaced or left behind among Python's modules. What a stand-in cannot tell
(a repository that computes with Feast's objects) is None here, and told by Feast itself before the first join.
"""

import ast
import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from resources.settings import settings

STOOD_IN = {"feast", "pandas", "ray", "torch", "sklearn"}
"""Packages that are heavy, and whose objects no name depends on."""


UNTOLD = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError),
    *(OSError, RuntimeError, StopIteration, SyntaxError, TypeError, ValueError),
)
"""What a module raises that does more with Feast's objects than a stand-in can."""


@dataclass(frozen=True)
class ServiceInputs:
    """Names of one service: features by view, those that its on-demand features read, join keys, request columns.

    `columns` has by view, for columns that its source calls otherwise, the source's name; `stored` the views that are tables.
    """

    features: dict[str, list[str]]
    behind: dict[str, list[str]]
    keys: list[str]
    requests: list[str]
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    stored: list[str] = field(default_factory=list)


def inputs_without_feast(service: str, repository: str | None = None) -> ServiceInputs | None:
    """The names of a service as its repository's source gives them; None where only Feast can tell."""
    name = repository or settings().feature_repository
    return _read(service, name, _stamp(name))


def inputs_by_feast(service: str, repository: str) -> ServiceInputs:
    """The same from Feast's own objects."""
    from resources.features import feature_repository

    wanted = feature_repository.service(repository, service)
    on_demand = feature_repository.on_demand_of(wanted, repository)
    stored = feature_repository.views_of(wanted, repository)
    read = [p for view in on_demand for p in view.source_feature_view_projections.values()]
    return ServiceInputs(
        features={p.name: [f.name for f in p.features] for p in wanted.feature_view_projections},
        behind={p.name: [f.name for f in p.features] for p in read},
        keys=list(dict.fromkeys(key for view in stored for key in view.join_keys)),
        requests=list(dict.fromkeys(name for view in on_demand for name in view.get_request_data_schema())),
        columns={
            view.name: _renamed(view.batch_source.field_mapping or {}) for view in stored if view.batch_source
        },
        stored=[view.name for view in stored],
    )


@lru_cache(maxsize=64)
def _read(service: str, repository: str, stamp: tuple[tuple[str, int], ...]) -> ServiceInputs | None:
    try:
        made = _Reading(repository).objects()
        found = next(m for m in made if m.kind == "FeatureService" and m.name == service)
        return _inputs(found)
    except UNTOLD:
        return None


def _stamp(repository: str) -> tuple[tuple[str, int], ...]:
    return tuple((str(path), path.stat().st_mtime_ns) for path in _files(repository))


def _files(repository: str) -> list[Path]:
    spec = find_spec(repository)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return sorted(path for folder in folders for path in Path(folder).glob("*.py") if path.stem != "__init__")


class _Class(type):
    """A class of which any constant may be asked for, as of `ValueType.STRING`."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls(name)


class _Made(metaclass=_Class):
    """What was made of one of Feast's classes: its class, and what it was given."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self.kind, self.given, self.named = type(self).__name__, given, named
        self.only: list[str] | None = None
        self.aliases: dict[str, str] = {}

    @property
    def name(self) -> str:
        return self.named.get("name", self.given[0] if self.given else "")

    @property
    def features(self) -> list["_Made"]:
        """The fields that are features: all of the schema but the join keys, or some of them."""
        keys = set(self.keys)
        fields = [f for f in self.named.get("schema", []) if f.name not in keys]
        by_name = {field.name: field for field in fields}
        return fields if self.only is None else [by_name[name] for name in self.only]

    @property
    def keys(self) -> list[str]:
        return [key for entity in self.named.get("entities") or [] for key in _join_keys(entity)]

    @property
    def asked(self) -> list[str]:
        """The join keys by the names that a request has them under."""
        return [self.aliases.get(key, key) for key in self.keys]

    def __getitem__(self, names: Any) -> "_Made":
        part = type(self)(*self.given, **self.named)
        part.only, part.aliases = list(names), self.aliases
        return part

    def with_join_key_map(self, names: Mapping[str, str]) -> "_Made":
        part = type(self)(*self.given, **self.named)
        part.only, part.aliases = self.only, dict(names)
        return part

    def with_name(self, name: str) -> "_Made":
        part = type(self)(*self.given, **{**self.named, "name": name})
        part.only, part.aliases = self.only, self.aliases
        return part


class _StandIn(ModuleType):
    """A module in which every class and function is a stand-in."""

    def __init__(self, name: str, made: dict[str, type]) -> None:
        super().__init__(name)
        self.__dict__["_made"] = made

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "on_demand_feature_view":
            return _decorator(_class_of(self._made, "OnDemandFeatureView"))
        return _class_of(self._made, name)


def _class_of(made: dict[str, type], name: str) -> type:
    return made.setdefault(name, type(name, (_Made,), {}))


def _decorator(kind: type) -> Any:

    def decorate(**named: Any) -> Any:
        return lambda function: kind(**{"name": function.__name__, **named})

    return decorate


class _Reading:
    """One run of a repository's modules, which see each other and stand-ins."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        self.modules: dict[str, ModuleType] = {}
        self.made: dict[str, type] = {}

    def objects(self) -> list[_Made]:
        """Everything made of Feast's classes that stands at the top level of a module."""
        modules = [self.module(f"{self.repository}.{path.stem}") for path in _files(self.repository)]
        return [value for module in modules for value in vars(module).values() if isinstance(value, _Made)]

    def module(self, name: str) -> ModuleType:
        """A module of the repository, run once in this reading."""
        if name not in self.modules:
            spec = find_spec(name)
            if spec is None or spec.origin is None:
                raise ImportError(name)
            module = self.modules[name] = ModuleType(name)
            module.__dict__.update(
                __file__=spec.origin,
                __package__=name if spec.submodule_search_locations else name.rpartition(".")[0],
                __builtins__={**vars(builtins), "__import__": self._import},
            )
            code = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
            exec(compile(code, spec.origin, "exec"), module.__dict__)
        return self.modules[name]

    def _import(
        self, name: str, space: Any = None, local: Any = None, wanted: Any = (), level: int = 0
    ) -> Any:
        if level:
            parts = str((space or {}).get("__package__", "")).split(".")
            name = ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])
        top = name.partition(".")[0]
        if top in STOOD_IN:
            return _StandIn(name, self.made)
        if name == self.repository or name.startswith(f"{self.repository}."):
            return self._ours(name, wanted or ())
        return builtins.__import__(name, space, local, wanted, 0)

    def _ours(self, name: str, wanted: Iterable[str]) -> ModuleType:
        module = self.module(name)
        for part in wanted:
            if not hasattr(module, part) and find_spec(f"{name}.{part}"):
                setattr(module, part, self.module(f"{name}.{part}"))
        return module if wanted else self.module(name.partition(".")[0])


def _join_keys(entity: Any) -> list[str]:
    named = entity.named.get("join_keys") or (
        [entity.named["join_key"]] if "join_key" in entity.named else []
    )
    return list(named) or [entity.name]


def _inputs(service: _Made) -> ServiceInputs:
    views = list(service.named["features"])
    on_demand = [view for view in views if view.kind == "OnDemandFeatureView"]
    sources = [source for view in on_demand for source in _listed(view.named["sources"])]
    behind = [source for source in sources if source.kind != "RequestSource"]
    stored = [view for view in (*views, *behind) if view.kind != "OnDemandFeatureView"]
    requests = [f.name for s in sources if s.kind == "RequestSource" for f in s.named["schema"]]
    return ServiceInputs(
        features={view.name: [f.name for f in view.features] for view in views},
        behind={view.name: [f.name for f in view.features] for view in behind},
        keys=list(dict.fromkeys(key for view in stored for key in view.asked)),
        requests=list(dict.fromkeys(requests)),
        columns={view.name: _renamed(_mapping(view)) for view in stored},
        stored=list(dict.fromkeys(view.name for view in stored)),
    )


def _listed(sources: Any) -> list[Any]:
    return list(sources.values()) if isinstance(sources, dict) else list(sources)


def _renamed(mapping: Mapping[str, str]) -> dict[str, str]:
    """Source column by the view's name of it."""
    return {new: old for old, new in mapping.items()}


def _mapping(view: _Made) -> Mapping[str, str]:
    source = view.named.get("source") or view.named.get("batch_source")
    source = source.named.get("batch_source", source) if isinstance(source, _Made) else None
    return (source.named.get("field_mapping") or {}) if source else {}
