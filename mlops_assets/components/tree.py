"""The components of a package, from YAML files each of which says one thing."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import dagster as dg
from dagster.components.core.component_tree import ComponentTreeException

from mlops_assets.spec.files import COMPONENT, WORDS
from resources.yaml_files import YamlError, lines, read_all

FILES = ("defs.yaml", "defs.yml", "component.yaml")


def component_tree(package: ModuleType, root: Path) -> dg.ComponentTree:
    """Every folder of a package that has a YAML file; Dagster would take the last of two equal keys in it."""
    for folder in package.__path__:
        try:
            refuse_files(Path(folder))
        except YamlError as error:
            raise ComponentTreeException(str(error)) from error
    return dg.ComponentTree.from_module(defs_module=package, project_root=root)


def refuse_files(folder: Path) -> None:
    """Raise YamlError for the first component's file in a folder, or below it, that says two things or names no class."""
    for file in sorted(file for name in FILES for file in folder.rglob(name)):
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
