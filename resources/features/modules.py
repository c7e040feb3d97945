"""The modules of a package, found without running any of them."""

from collections.abc import Iterator, Mapping
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def packages_around(package: str, name: str) -> Iterator[str]:
    """The package and those below it that a module lies in, the outermost first."""
    parts = name.split(".")
    depth = package.count(".") + 1
    if f"{name}.".startswith(f"{package}."):
        yield from (".".join(parts[:count]) for count in range(depth, len(parts)))


def top_level(space: Mapping[str, Any]) -> Iterator[Any]:
    """The values of a module, and those in its lists, tuples and dictionaries."""
    for name, value in list(space.items()):
        if name.startswith("__"):
            continue
        yield value
        if isinstance(value, list | tuple | set | frozenset):
            yield from value
        elif isinstance(value, dict):
            yield from value.values()


def modules_of(package: str) -> list[str]:
    """Names of a package and of every module below it, sorted; raises ImportError where it is none."""
    return [] if not package else [package, *_inside(package)]


def _inside(package: str) -> list[str]:
    folder = folder_of(package)
    names_inside = []
    for path in files_of(package):
        parts = path.relative_to(folder).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        if names and all(part.isidentifier() for part in names):
            names_inside.append(".".join([package, *names]))
    return sorted(names_inside)


def folder_of(package: str) -> Path:
    """The folder of an importable package; raises ImportError where it is none."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package!r} is not an importable package")
    return Path(next(iter(spec.submodule_search_locations)))


def files_of(package: str) -> list[Path]:
    """Every Python file of a package."""
    return sorted(path for path in folder_of(package).rglob("*.py") if "__pycache__" not in path.parts)


def spec_of(name: str, package: str) -> ModuleSpec | None:
    """Where a module lies, without running the packages around it as Python's own search does."""
    if not package or name == package or not name.startswith(f"{package}."):
        return find_spec(name)
    around = name.removeprefix(f"{package}.").split(".")[:-1]
    folder = folder_of(package).joinpath(*around)
    return FileFinder(str(folder), (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
