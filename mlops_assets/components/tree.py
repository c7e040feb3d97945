"""The components of a package, from YAML files each of which says one thing."""

from pathlib import Path
from types import ModuleType

import dagster as dg
from dagster.components.core.component_tree import ComponentTreeException

from resources.yaml_files import YamlError, refuse_two_readings

FILES = ("defs.yaml", "defs.yml", "component.yaml")
WORDS = frozenset({("attributes", "automation")})
"""Where `on` is a word of the spec, which takes it back from YAML's true."""


def component_tree(package: ModuleType, root: Path) -> dg.ComponentTree:
    """Every folder of a package that has a YAML file; Dagster would take the last of two equal keys in it."""
    for folder in package.__path__:
        try:
            refuse_files(Path(folder))
        except YamlError as error:
            raise ComponentTreeException(str(error)) from error
    return dg.ComponentTree.from_module(defs_module=package, project_root=root)


def refuse_files(folder: Path) -> None:
    """Raise YamlError for the first component's file in a folder, or below it, that could be read in two ways."""
    for file in sorted(file for name in FILES for file in folder.rglob(name)):
        refuse_two_readings(file.read_text(encoding="utf-8"), file, WORDS)
