"""The components of a use case, from YAML files each of which says one thing."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import dagster as dg
from dagster.components.core.component_tree import ComponentTreeException

from mlops_assets.spec.files import COMPONENT, WORDS
from resources.settings import PROJECT_ROOT
from resources.use_case_folders import COMPONENTS, UseCaseFolder
from resources.yaml_files import YamlError, lines, read_all


def component_trees(folder: UseCaseFolder) -> Iterator[dg.ComponentTree]:
    """One tree for each folder of a use case that has a YAML file of components.

    Not one for all: Dagster would import every Python file that lies between them. And it would take the last of two
    equal keys in a file, so those are refused before.
    """
    for file in folder.component_files:
        try:
            refuse_file(file)
        except YamlError as error:
            raise ComponentTreeException(str(error)) from error
        yield dg.ComponentTree.from_module(_module(folder, file.parent), PROJECT_ROOT)


def _module(folder: UseCaseFolder, path: Path) -> ModuleType:
    """The folder as Dagster takes it, a module with a path, without anything imported."""
    below = path.relative_to(folder.path).parts
    module = ModuleType(".".join([folder.package, *below]))
    module.__file__, module.__path__ = str(path / "__init__.py"), [str(path)]
    return module


def refuse_files(folder: Path) -> None:
    """Raise YamlError for the first component's file in a folder that says two things or names no class."""
    for name in COMPONENTS:
        if (folder / name).exists():
            refuse_file(folder / name)


def refuse_file(file: Path) -> None:
    """Raise YamlError for a component's file that says two things or names no class."""
    text = file.read_text(encoding="utf-8")
    for content in read_all(text, file, WORDS):
        kind = content.get("type") if isinstance(content, dict) else None
        if not _is_there(kind):
            line = lines(text).get(("type",), 1)
            raise YamlError(
                f"{file}:{line}: type: {kind!r} is no component: name its class, for example {COMPONENT}"
            )


def _is_there(path: object) -> bool:
    module, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    try:
        return hasattr(import_module(module), name)
    except (ImportError, ValueError):
        return False
