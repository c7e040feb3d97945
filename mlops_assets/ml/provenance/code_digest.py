"""A digest of code that says the same as long as the code does the same: comments, docstrings and layout left out.

It covers a function or a class and, transitively, whatever of the project it names: constants, helpers, bases, also
in other modules; and of each class that a parameter, a result or a field is annotated with, the methods and fields that
are asked for somewhere in that code, by their names. What is looked up at run time (`getattr`, `import_module`) is not
seen and must be named beside it. Of the libraries that compute, their versions count. Sources are parsed, never
imported or run.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from mlops_assets.ml.provenance.code_parts import RUNS, Module, parse
from mlops_assets.ml.provenance.parsed_modules import parsed
from mlops_assets.spec.trainers import spec_kinds

ReadSource = Callable[[str], str | None]
"""Module name -> its source text, None for a module that is not the project's."""

ParseSource = Callable[[str, str], Module]
"""Module name and its source text -> its parts."""

PROJECT = ("mlops_assets", "feature_repo", "resources")
COMPUTES = {
    "sklearn": ("scikit-learn",),
    **{name: (name,) for name in ("polars", "numpy", "scipy", "pandas", "pyarrow", "feast", "evidently")},
}
"""Libraries whose version may change what comes out, and the names they are installed under; trainers have more."""


class CodeDigestError(Exception):
    """Code that is to be digested cannot be found under its name."""


def code_digest(roots: Sequence[str], read: ReadSource | None = None) -> str:
    """SHA-256 of the code behind `package.module:name` (or `package.module`, all of it), and of all it uses.

    Raises CodeDigestError for a root that does not exist.
    """
    if read is None:
        return _of_the_project(tuple(sorted(set(roots))))
    return _digest(tuple(sorted(set(roots))), read, _parsed)


def parts_of(roots: Sequence[str], read: ReadSource | None = None) -> set[str]:
    """Names of all that a digest covers: `package.module:name`, of a class that is not whole `package.module:Class.member`."""
    return {*_walked(roots, read or project_source, _parsed).parts}


def project_source(module: str, packages: Sequence[str] = PROJECT) -> str | None:
    """The source of one of the project's modules, found beside its package without importing it."""
    path = _path(module) if module.split(".")[0] in packages else None
    return path.read_text(encoding="utf-8") if path else None


@cache
def _of_the_project(roots: tuple[str, ...]) -> str:
    packages = (*PROJECT, *(root.split(".")[0].split(":")[0] for root in roots))

    def read(module: str) -> str | None:
        return project_source(module, packages)

    return _digest(roots, read, _parsed_there)


def _digest(roots: Sequence[str], read: ReadSource, parse: ParseSource) -> str:
    walk = _walked(roots, read, parse)
    parts = {f"{name} {sha256}" for name, sha256 in walk.parts.items()}
    computing = _computing({root.partition(":")[0] for root in roots})
    used = walk.libraries & computing.keys()
    lines = sorted(parts | {f"{name}=={_version(computing[name])}" for name in used})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _walked(roots: Sequence[str], read: ReadSource, parse: ParseSource) -> "_Walk":
    walk = _Walk(read, parse)
    for root in roots:
        module, _, name = root.partition(":")
        walk.follow(module, name or None, root)
    return walk


@dataclass
class _Walk:
    """Everything that was taken in so far, and of which classes objects may be: their methods wait to be asked for."""

    read: ReadSource
    parse: ParseSource
    parts: dict[str, str] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    _aliases: set[tuple[str, str]] = field(default_factory=set)
    _classes: dict[tuple[str, str], Module] = field(default_factory=dict)
    _modules: dict[str, Module | None] = field(default_factory=dict)

    def follow(self, module: str, name: str | None, root: str = "") -> None:
        """Take in one name of a module, or all of it, and what that uses."""
        source = self._module(module)
        if source is None:
            if root:
                raise CodeDigestError(f"{root}: there is no module {module} among the project's")
            self.libraries.add(module.split(".")[0])
            return
        if name is not None and name not in {*source.parts, *source.imported}:
            if self._module(f"{module}.{name}") is not None:
                self.follow(f"{module}.{name}", None)
            elif root:
                raise CodeDigestError(f"{root}: the module {module} has no {name!r}")
            return
        for part in [*source.parts] if name is None else [name, RUNS]:
            self._take(source, part)

    def _take(self, module: Module, name: str) -> None:
        """A function, a constant, or a class with all of its members."""
        self._take_part(module, name)
        for member in module.members.get(name, ()):
            self._take_part(module, f"{name}.{member}")

    def _take_part(self, module: Module, name: str) -> None:
        if (module.name, name) in self._seen:
            return None
        self._seen.add((module.name, name))
        if name in module.imported and name not in module.parts:
            return self.follow(*module.imported[name])
        if name not in module.parts:
            return None
        part = module.parts[name]
        self.parts[f"{module.name}:{name}"] = part.sha256
        for used in sorted(part.uses):
            self._use(module, used)
        for known in sorted(part.types):
            self._know(module, known)
        for attribute in part.asks - self._names:
            self._ask(attribute)
        return None

    def _use(self, module: Module, used: str) -> None:
        """`name`, or `alias.name` where the alias is an imported module."""
        first, _, rest = used.partition(".")
        if first in module.parts:
            self._take(module, first)
        elif first in module.imported:
            where, name = module.imported[first]
            inner = f"{where}.{name}" if name else where
            if self._module(where) is None:
                self.parts[f"{module.name}:{first} is {inner}"] = ""
            if rest and self._module(inner) is not None:
                self.follow(inner, rest.split(".")[0])
            else:
                self.follow(where, name)

    def _know(self, module: Module, name: str) -> None:
        """Some object is of this type: of a class the methods count that are asked for somewhere, by their names."""
        first, _, rest = name.partition(".")
        if first in module.members:
            self._know_class(module, first)
        elif first in module.parts and (module.name, first) not in self._aliases:
            self._aliases.add((module.name, first))
            for one in module.parts[first].stands_for:
                self._know(module, one)
        elif first in module.imported:
            where, inner = module.imported[first]
            whole = self._module(f"{where}.{inner}" if inner else where)
            if whole is not None and rest:
                self._know(whole, rest)
            elif inner and (there := self._module(where)) is not None:
                self._know(there, inner)

    def _know_class(self, module: Module, name: str) -> None:
        if (module.name, name) in self._classes:
            return
        self._classes[module.name, name] = module
        for base in module.bases[name]:
            self._know(module, base)
        for member in module.members[name]:
            if member in self._names or member.startswith("__"):
                self._take_part(module, f"{name}.{member}")

    def _ask(self, attribute: str) -> None:
        self._names.add(attribute)
        for (_, name), module in [*self._classes.items()]:
            if attribute in module.members[name]:
                self._take_part(module, f"{name}.{attribute}")

    def _module(self, name: str) -> Module | None:
        if name not in self._modules:
            source = self.read(name)
            self._modules[name] = None if source is None else self.parse(name, source)
        return self._modules[name]


@cache
def _parsed(name: str, source: str) -> Module:
    return parse(name, source)


@cache
def _parsed_there(name: str, source: str) -> Module:
    """The same for a source that lies in the module's own file."""
    path = _path(name)
    assert path is not None, f"{name} was read from no file"
    return parsed(name, source, path)


@cache
def _path(module: str) -> Path | None:
    package, *inner = module.split(".")
    spec = find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place, *inner)
        for path in (folder.with_suffix(".py"), folder / "__init__.py"):
            if path.is_file():
                return path
    if spec and spec.origin and not inner and not spec.submodule_search_locations:
        return Path(spec.origin)
    return None


def _computing(modules: set[str]) -> dict[str, tuple[str, ...]]:
    """Libraries that count: the trainers' of the platform too, and those of a trainer from elsewhere that is digested."""
    kinds = [kind for kind in spec_kinds().values() if kind.is_ours or kind.scorer.__module__ in modules]
    return COMPUTES | {library: names for kind in kinds for library, names in kind.libraries.items()}


@cache
def _version(names: tuple[str, ...]) -> str:
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "not installed"
