"""Feast, imported in a third of the time: two things that its modules do when they are imported wait until they are used.

Its classes are decorated by typeguard, which parses a whole module anew for every method; here the constructors are
checked, where a definition with a wrong type is told, and no other method. And torch, where it is installed, is
imported by the call that asks for it.
"""

import sys
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

FEAST, TORCH = "feast", "feast.torch_wrapper"


class Importer(MetaPathFinder):
    """Stands before the import of Feast, and is passed by everything else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Feast's own spec with a loader around its own; none for other modules."""
        if fullname != FEAST:
            return None
        module_spec = PathFinder.find_spec(fullname, path)
        if module_spec and module_spec.loader:
            module_spec.loader = _Quick(module_spec.loader)
        return module_spec


class _Quick(Loader):
    def __init__(self, own: Loader) -> None:
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        sys.modules.setdefault(TORCH, _torch_later())
        with _constructors_checked():
            self._own.exec_module(module)


@contextmanager
def _constructors_checked() -> Iterator[None]:
    import typeguard

    whole = typeguard.typechecked

    def constructor(target: Any = None, **options: Any) -> Any:
        if not isinstance(target, type) or options:
            return whole(target, **options)
        if "__init__" in vars(target):
            setattr(target, "__init__", whole(vars(target)["__init__"]))  # noqa: B010
        return target

    typeguard.typechecked = typing.cast(Any, constructor)
    try:
        yield
    finally:
        typeguard.typechecked = whole


def _torch_later() -> ModuleType:
    """Feast's module of that name, but for when it imports torch."""
    module = ModuleType(TORCH, "What asks for torch imports it.")

    def get_torch() -> ModuleType:
        import torch

        return torch

    setattr(module, "get_torch", get_torch)  # noqa: B010
    return module


def install() -> None:
    """Have the next import of Feast in this process be a quick one; once it is imported this changes nothing."""
    if not any(isinstance(finder, Importer) for finder in sys.meta_path):
        sys.meta_path.insert(0, Importer())
