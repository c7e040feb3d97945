"""A folder becomes a use case: its tables, features and models found, and built into one set of definitions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import dagster as dg
import pydantic
from dagster.components.core.component_tree import ComponentTreeException

from mlops_assets.assets.features import registry
from mlops_assets.assets.online import online_store
from mlops_assets.automation.ingesting import ingest_jobs, ingest_sensor
from mlops_assets.components.model import ModelComponent
from mlops_assets.components.table import TableComponent
from mlops_assets.components.tree import component_trees
from mlops_assets.kit.tables import table_asset
from mlops_assets.spec.files import read_use_case
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import feature_table
from mlops_assets.spec.use_case import UseCase, reading
from mlops_assets.stages.tables import Table
from resources.use_case_folders import UseCaseFolder
from resources.yaml_files import YamlError


@dataclass(frozen=True)
class LoadedUseCase:
    """A use case as it was found: what it says of itself, its tables in order of making, its models and definitions."""

    use_case: UseCase
    folder: UseCaseFolder
    tables: list[Table]
    specs: dict[str, ModelSpec]
    defs: dg.Definitions = field(repr=False)


class UseCaseError(Exception):
    """A use case that cannot be loaded; says in which file and line and why."""


def load_use_case(folder: UseCaseFolder) -> LoadedUseCase:
    """Read a use case's folder and build what it declares.

    Raises UseCaseError for what is not as it must be, whichever file it is in.
    """
    try:
        return _loaded(folder)
    except (
        Exception
    ) as error:  # its own Python may raise anything, and the other use cases must load all the same
        raise UseCaseError(_said(error)) from error


def _said(error: Exception) -> str:
    """The error that Dagster wraps, without pydantic's links."""
    cause = error.__cause__ if isinstance(error, ComponentTreeException) and error.__cause__ else error
    said = "\n".join(line for line in str(cause).splitlines() if "errors.pydantic.dev" not in line)
    known = isinstance(cause, YamlError | pydantic.ValidationError | ComponentTreeException)
    return said if known else f"{type(cause).__name__}: {said}"


def _loaded(folder: UseCaseFolder) -> LoadedUseCase:
    use_case = read_use_case(folder)
    with reading(use_case):
        trees = list(component_trees(folder))
        parts = [_alone(tree.build_defs_at_path(Path())) for tree in trees]
        models = [c.spec for tree in trees for c in tree.get_all_components(of_type=ModelComponent)]
        declared = [
            t for tree in trees for c in tree.get_all_components(of_type=TableComponent) for t in c.tables
        ]
    in_python = list(python_tables(use_case))
    specs = {spec.name: spec for spec in models}
    defs = dg.Definitions.merge(definitions_of_tables(use_case, in_python, declared), *parts)
    return LoadedUseCase(use_case, folder, [*in_python, *declared], specs, defs)


def definitions_of_tables(
    use_case: UseCase, by_python: Sequence[Table], declared: Sequence[Table] = ()
) -> dg.Definitions:
    """Tables that Python made as assets, what is made of all tables (registry, online store), and the job that ingests a partition.

    Declared tables are assets of their components.
    """
    ours, tables = feature_table(use_case.name, ""), [*by_python, *declared]
    views = [table.key.removeprefix(ours) for table in tables if table.key.startswith(ours)]
    jobs = ingest_jobs(use_case, tables)
    return dg.Definitions(
        assets=[
            *(table_asset(table) for table in by_python),
            registry(use_case.name),
            online_store(use_case.name, use_case.calendar, views),
        ],
        jobs=jobs,
        sensors=[ingest_sensor(use_case, tables, jobs)] if tables else [],
    )


def _alone(defs: dg.Definitions) -> dg.Definitions:
    """The definitions without their tree, of which Dagster takes one at most when it merges.

    They are asked for by their folder: with a whole tree come the schemas of all components that are installed, which
    takes longer than all else together, for each tree again.
    """
    return dg.Definitions(
        assets=defs.assets,
        asset_checks=defs.asset_checks,
        jobs=defs.jobs,
        schedules=defs.schedules,
        sensors=defs.sensors,
        resources=defs.resources,
    )


def python_tables(use_case: UseCase) -> Iterator[Table]:
    """The tables that the use case's own Python gives, each after those that it is made from."""
    if use_case.tables:
        module, _, name = use_case.tables.partition(":")
        yield from getattr(import_module(module), name)(use_case.calendar)
