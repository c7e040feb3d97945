"""Use cases and the specs of their models and tables, read from YAML without Dagster, for processes that only serve or score."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pydantic

from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.use_case import UseCase, reading
from resources.use_case_folders import UseCaseFolder, use_case_folders
from resources.yaml_files import YamlError, lines, read_all, read_yaml, told

COMPONENT = "mlops_assets.components.model.ModelComponent"
TABLE = "mlops_assets.components.table.TableComponent"
WORDS = frozenset({("attributes", "automation")})
"""Where `on` is a word of the spec, which takes it back from YAML's true."""


def read_use_case(folder: UseCaseFolder) -> UseCase:
    """What the folder's use_case.yaml says.

    Raises YamlError with file and line where it is not as it must be.
    """
    text = folder.file.read_text(encoding="utf-8")
    content = read_yaml(text, folder.file)
    if not isinstance(content, dict):
        raise YamlError(f"{folder.file}:1: holds {content!r}: give at least owner and calendar")
    if "name" in content:
        line = lines(text).get(("name",), 1)
        raise YamlError(f"{folder.file}:{line}: name: the folder's name is the use case's: leave it out")
    try:
        return UseCase.model_validate(content | {"name": folder.name})
    except pydantic.ValidationError as error:
        raise YamlError(told(error, text, folder.file, content)) from error


@cache
def declared_specs() -> dict[str, ModelSpec]:
    """The checked spec of every model of every use case, by name; read once in a process."""
    return read_specs()


def read_specs() -> dict[str, ModelSpec]:
    """What `declared_specs` gives, from the files as they are now."""
    return {spec.name: spec for folder in use_case_folders() for spec in specs_in(folder)}


def specs_in(folder: UseCaseFolder) -> list[ModelSpec]:
    """The specs of the models of one use case."""
    with reading(read_use_case(folder)):
        return [ModelSpec.model_validate(one["attributes"]) for one in _all_documents(folder, COMPONENT)]


def specs_that_choose(folder: UseCaseFolder) -> list[ModelSpec]:
    """The models of one use case that name their features.

    One that is not as it must be is left out: it is told where it is read itself, with file and line.
    """
    found = []
    with reading(read_use_case(folder)):
        for document in _all_documents(folder, COMPONENT):
            if "features" in document["attributes"]:
                with suppress(pydantic.ValidationError):
                    found.append(ModelSpec.model_validate(document["attributes"]))
    return found


def table_specs_in(folder: UseCaseFolder) -> list[TableSpec]:
    """The specs of the tables that the YAML of one use case declares."""
    return [TableSpec.model_validate(one["attributes"]) for one in _all_documents(folder, TABLE)]


def declared_code() -> frozenset[str]:
    """Every import path that a model of any use case vouches for."""
    return frozenset().union(*(spec.code for spec in declared_specs().values()))


def _all_documents(folder: UseCaseFolder, component: str) -> Iterator[dict[str, Any]]:
    return (document for file in folder.component_files for document in _documents(file, component))


def _documents(file: Path, component: str) -> Iterator[dict[str, Any]]:
    """Those of a file that are of one component."""
    for document in read_all(file.read_text(encoding="utf-8"), file, WORDS):
        if document and document.get("type") == component:
            yield document
