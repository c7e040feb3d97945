"""What a feature repository defines, read without Feast, which takes six seconds to import.

The repository's modules are run against a stand-in that writes down what is made of Feast's classes. It belongs to
this reading alone: nothing is registered, replaced or left behind among Python's modules.
"""

import ast
import builtins
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from resources.features.modules import modules_of, packages_around, spec_of, top_level

STOOD_IN = {"feast", "pandas", "ray", "torch", "sklearn"}
"""Packages that are heavy, and whose objects no name depends on."""

BUILDER = "feature_repo.declared.objects"
"""Makes objects of a description, of the stand-in's classes as of Feast's."""

ALL = {
    "feast": (
        *("Entity", "FeatureService", "FeatureView", "Field", "FileSource", "OnDemandFeatureView"),
        *("PushSource", "RequestSource", "ValueType"),
    ),
    "feast.types": (
        *(
            "Array",
            "Bool",
            "Bytes",
            "Decimal",
            "Float32",
            "Float64",
            "ImageBytes",
            "Int32",
            "Int64",
            "Invalid",
        ),
        *("Json", "Map", "PdfBytes", "ScalarMap", "Set", "String", "Struct", "TimeUuid", "UnixTimestamp"),
        *("Uuid", "ZonedTimestamp"),
    ),
}
"""What `import *` brings of a module of Feast's, as far as a repository is made of it."""

TYPES_OF_MANY = {"Array", "Set"}
VALUE_TYPES = {
    "BOOL": "Bool",
    "INT32": "Int32",
    "INT64": "Int64",
    "FLOAT": "Float32",
    "DOUBLE": "Float64",
    "STRING": "String",
    "BYTES": "Bytes",
    "UNIX_TIMESTAMP": "UnixTimestamp",
}


class UntoldError(Exception):
    """What a stand-in cannot tell; Feast itself has to be asked."""


class _Class(type):
    """A class of which any constant may be asked for, as of `ValueType.STRING`."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls(name)


class FeastObject(metaclass=_Class):
    """What was made of one of Feast's classes: its class, and what it was given."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self.kind, self.given, self.named = type(self).__name__, given, named
        self.only: list[str] | None = None
        self.aliases: dict[str, str] = {}
        frame = sys._getframe(1)
        self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"

    @property
    def name(self) -> str:
        return self.named.get("name", self.given[0] if self.given else "")

    @property
    def projection(self) -> "FeastObject":
        """The view as it stands in a service."""
        return self

    @property
    def fields(self) -> dict[str, "FeastObject"]:
        """Everything in the schema, by name."""
        return {field.name: field for field in self.named.get("schema") or []}

    @property
    def features(self) -> list["FeastObject"]:
        """The fields that are features: all of the schema but the join keys, or some of them."""
        keys, fields = set(self.keys), self.fields
        names = [name for name in fields if name not in keys] if self.only is None else self.only
        return [fields[name] for name in names]

    @property
    def keys(self) -> list[str]:
        return [join_key(entity) for entity in self.named.get("entities") or []]

    @property
    def request_names(self) -> list[str]:
        """The join keys by the names that a request has them under."""
        return [self.aliases.get(key, key) for key in self.keys]

    def __getitem__(self, names: Any) -> "FeastObject":
        part = type(self)(*self.given, **self.named)
        part.only, part.aliases = list(names), self.aliases
        return part

    def with_join_key_map(self, names: Mapping[str, str]) -> "FeastObject":
        part = type(self)(*self.given, **self.named)
        part.only, part.aliases = self.only, dict(names)
        return part

    def with_name(self, name: str) -> "FeastObject":
        part = type(self)(*self.given, **{**self.named, "name": name})
        part.only, part.aliases = self.only, self.aliases
        return part


def join_key(entity: FeastObject) -> str:
    """The column by which an entity is found: its own, or its name."""
    one = entity.named.get("join_key")
    return next(iter(entity.named.get("join_keys") or ([one] if one else [])), entity.name)


def value_type(entity: FeastObject) -> str:
    """The type of an entity's key as Feast prints a field's; Invalid where it is not said."""
    given = entity.named.get("value_type")
    return VALUE_TYPES.get(given.given[0], "Invalid") if isinstance(given, FeastObject) else "Invalid"


def type_text(kind: Any) -> str:
    """A field's type as Feast prints it; raises UntoldError for one that is computed."""
    if isinstance(kind, type) and issubclass(kind, FeastObject):
        return kind.__name__
    inner = [*kind.given, *kind.named.values()] if isinstance(kind, FeastObject) else []
    if isinstance(kind, FeastObject) and kind.kind in TYPES_OF_MANY and len(inner) == 1:
        return f"{kind.kind}({type_text(inner[0])})"
    if (
        isinstance(kind, FeastObject)
        and kind.kind == "Struct"
        and len(inner) == 1
        and isinstance(inner[0], dict)
    ):
        parts = ", ".join(f"{name}: {type_text(part)}" for name, part in inner[0].items())
        return f"Struct({{{parts}}})"
    raise UntoldError(f"a field has the type {kind!r}")


class _StandIn(ModuleType):
    """A module in which every class and function is a stand-in."""

    def __init__(self, name: str, classes: dict[str, type]) -> None:
        super().__init__(name)
        self.__dict__["_made"] = classes

    def __getattr__(self, name: str) -> Any:
        if name == "__all__" and self.__name__ in ALL:
            return ALL[self.__name__]
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == "feast" and name.islower():
            return _StandIn(f"feast.{name}", self._made)
        if name == "on_demand_feature_view":
            return _decorator(_class_of(self._made, "OnDemandFeatureView"))
        return _class_of(self._made, name)


def _class_of(classes: dict[str, type], name: str) -> type:
    return classes.setdefault(name, type(name, (FeastObject,), {}))


def _decorator(kind: type) -> Any:
    """Feast's decorator: what it makes stands where its function does."""

    def decorate(**named: Any) -> Any:
        def view_of(function: Any) -> Any:
            view = kind(**{"name": function.__name__, **named})
            view.place = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
            return view

        return view_of

    return decorate


class Reading:
    """One run of a package's modules, which see each other and stand-ins."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.modules: dict[str, ModuleType] = {}
        self.classes: dict[str, type] = {}

    def objects(self) -> list[FeastObject]:
        """Everything made of Feast's classes at the top level of a module, in lists and dictionaries there too."""
        objects: dict[int, FeastObject] = {}
        for name in modules_of(self.package):
            for value in top_level(vars(self.module(name))):
                if type(value).__module__.partition(".")[0] in STOOD_IN:
                    raise UntoldError(
                        f"{name} has objects that Feast itself made for a module outside of the package"
                    )
                if isinstance(value, FeastObject):
                    objects[id(value)] = value
        return list(objects.values())

    def module(self, name: str) -> ModuleType:
        """A module of the package, run once in this reading."""
        if name not in self.modules:
            spec = spec_of(name, self.package)
            if spec is None:
                raise ImportError(name)
            module = self.modules[name] = ModuleType(name)
            if spec.submodule_search_locations is not None:
                module.__path__ = []
            if spec.origin:
                self._run(module, Path(spec.origin))
            outer, _, own = name.rpartition(".")
            if outer in self.modules:
                setattr(self.modules[outer], own, module)
        return self.modules[name]

    def _run(self, module: ModuleType, file: Path) -> None:
        name = module.__name__
        module.__dict__.update(
            __file__=str(file),
            __package__=name if hasattr(module, "__path__") else name.rpartition(".")[0],
            __builtins__={**vars(builtins), "__import__": self._import},
        )
        code = ast.parse(file.read_text(encoding="utf-8"))
        exec(compile(code, str(file), "exec"), module.__dict__)

    def _import(
        self, name: str, space: Any = None, local: Any = None, names: Any = (), level: int = 0
    ) -> Any:
        if level:
            parts = str((space or {}).get("__package__", "")).split(".")
            name = ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])
        if name.partition(".")[0] in STOOD_IN:
            return _StandIn(name, self.classes)
        if self._is_ours(name):
            return self._ours(name, names or ())
        return builtins.__import__(name, space, local, names, 0)

    def _is_ours(self, name: str) -> bool:
        return name == BUILDER or (bool(self.package) and f"{name}.".startswith(f"{self.package}."))

    def _ours(self, name: str, names: Iterable[str]) -> ModuleType:
        for parent in packages_around(self.package, name):
            self.module(parent)
        module = self.module(name)
        for part in getattr(module, "__all__", ()) if "*" in names else names:
            inner = f"{name}.{part}"
            if not hasattr(module, part) and hasattr(module, "__path__") and spec_of(inner, self.package):
                self.module(inner)
        return module if names else self._outermost(name)

    def _outermost(self, name: str) -> ModuleType:
        """What `import a.b.c` binds: `a`, of which only the way to the module is there."""
        inner = self.modules[name]
        while "." in name:
            name, _, own = name.rpartition(".")
            outer = self.modules.get(name) or ModuleType(name)
            setattr(outer, own, inner)
            inner = outer
        return inner
