"""Use cases and the specs of their models and tables, read from YAML without Dagster, for processes that only serve or score."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pydantic

from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.use_case import UseCase, reading
from resources.use_case_folders import UseCaseFolder, use_case_folders
from resources.yaml_files import (
    Place,
    YamlError,
    complaint,
    lines,
    lines_of_all,
    read_all,
    read_yaml,
    told_below,
)

COMPONENT = "mlops_assets.components.model.ModelComponent"
TABLE = "mlops_assets.components.table.TableComponent"
DBT = "mlops_assets.components.dbt.DbtComponent"
ATTRIBUTES = "attributes"
WORDS = frozenset({(ATTRIBUTES, "automation")})
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
        raise YamlError(complaint(error, text, folder.file, content)) from error


@cache
def declared_specs() -> dict[str, ModelSpec]:
    """The checked spec of every model of every use case, by name; read once in a process."""
    return read_specs()


def read_specs() -> dict[str, ModelSpec]:
    """What `declared_specs` gives, from the files as they are now."""
    return {spec.name: spec for folder in use_case_folders() for spec in specs_in(folder)}


def readable_specs() -> tuple[dict[str, ModelSpec], dict[str, str]]:
    """The specs of the models of every use case that can be read, by name, and of each other use case why it cannot."""
    specs: dict[str, ModelSpec] = {}
    broken: dict[str, str] = {}
    for folder in use_case_folders():
        try:
            specs |= {spec.name: spec for spec in specs_in(folder)}
        except (YamlError, pydantic.ValidationError) as error:
            broken[folder.name] = str(error)
    return specs, broken


@dataclass(frozen=True)
class Document:
    """One component of a file: what it says, and the lines of its fields."""

    file: Path
    kind: str
    attributes: Mapping[str, Any]
    lines: Mapping[Place, int]

    def at(self, *place: str | int) -> str:
        """File and line of a field, or of the nearest above it that is written."""
        full: Place = (ATTRIBUTES, *place)
        while full and full not in self.lines:
            full = full[:-1]
        return f"{self.file}:{self.lines.get(full, 1)}"

    def table(self) -> TableSpec:
        """The table that it declares. Raises YamlError with file and line where it is not as it must be."""
        try:
            return TableSpec.model_validate(self.attributes)
        except pydantic.ValidationError as error:
            raise YamlError(told_below(error, self.lines, self.file, (ATTRIBUTES,))) from error


def specs_in(folder: UseCaseFolder) -> list[ModelSpec]:
    """The specs of the models of one use case."""
    with reading(read_use_case(folder)):
        return [
            ModelSpec.model_validate(one.attributes) for one in documents(folder) if one.kind == COMPONENT
        ]


def specs_that_choose(use_case: UseCase, written: Iterable[Document]) -> list[ModelSpec]:
    """Of what is written in a use case, the models that name their features.

    One that is not as it must be is left out: it is told where it is read itself, with file and line.
    """
    specs = []
    with reading(use_case):
        for document in written:
            if document.kind == COMPONENT and "features" in document.attributes:
                with suppress(pydantic.ValidationError):
                    specs.append(ModelSpec.model_validate(document.attributes))
    return specs


def table_specs_in(folder: UseCaseFolder) -> list[TableSpec]:
    """The specs of the tables that the YAML of one use case declares. Raises YamlError with file and line."""
    return [one.table() for one in documents(folder) if one.kind == TABLE]


def declared_code() -> frozenset[str]:
    """Every import path that a model of any use case vouches for."""
    return frozenset().union(*(spec.code for spec in declared_specs().values()))


def documents(folder: UseCaseFolder) -> Iterator[Document]:
    """The tables, models and dbt projects that the YAML files of a use case declare, in order of the files."""
    for file in folder.component_files:
        text = file.read_text(encoding="utf-8")
        for content, places in zip(read_all(text, file, WORDS), lines_of_all(text), strict=True):
            if isinstance(content, dict) and content.get("type") in (COMPONENT, TABLE, DBT):
                yield Document(file, content["type"], content.get(ATTRIBUTES) or {}, places)
