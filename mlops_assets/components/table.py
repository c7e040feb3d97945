"""A defs.yaml becomes a lake table: its spec checked, its asset built, and that of its features."""

from pathlib import Path
from typing import Any, Self

import dagster as dg
import pydantic

from mlops_assets.components.tree import refuse_files
from mlops_assets.kit.tables import table_asset
from mlops_assets.ml.aggregates.versions import refuse_unfit_sql
from mlops_assets.ml.following import outcome_kind
from mlops_assets.spec.aggregates import Aggregates
from mlops_assets.spec.names import features_group, ingest_group
from mlops_assets.spec.outcomes import Outcome
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.use_case import UseCase, current_use_case
from mlops_assets.stages.declared_aggregates import aggregate_table
from mlops_assets.stages.declared_outcomes import outcome_table
from mlops_assets.stages.declared_tables import feature_table, raw_table
from mlops_assets.stages.tables import Table
from resources.use_case_folders import FILE


class TableComponent(dg.Component):
    """A table of the lake from files or a function, and the feature table of its values where it is a feature view."""

    def __init__(self, spec: TableSpec, use_case: UseCase, folder: Path):
        self.spec = spec
        self.tables = declared_tables(spec, use_case, folder)

    @classmethod
    def get_model_cls(cls) -> type[pydantic.BaseModel]:
        return DeclaredTable

    @classmethod
    def load(cls, attributes: Any, context: dg.ComponentLoadContext) -> Self:
        refuse_files(context.path)
        use_case = current_use_case()
        if use_case is None:
            raise ValueError(f"table {attributes.name!r} belongs to no use case: put its folder below one's")
        return cls(attributes, use_case, folder_of(context.path))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return dg.Definitions(assets=[table_asset(table) for table in self.tables])


class DeclaredTable(TableSpec):
    """A spec that also agrees with its use case; Dagster reports a violation with file and line."""

    @pydantic.field_validator("cadence")
    @classmethod
    def _is_coarser(cls, value: str | None) -> str | None:
        if value and (use_case := current_use_case()):
            use_case.calendar.coarser(value)
        return value

    @pydantic.field_validator("aggregates")
    @classmethod
    def _is_sql(cls, value: dict[str, Aggregates], info: pydantic.ValidationInfo) -> dict[str, Aggregates]:
        for view, aggregate in value.items() if "columns" in info.data else ():
            refuse_unfit_sql(view, aggregate, info.data["columns"])
        return value

    @pydantic.field_validator("outcomes")
    @classmethod
    def _outcomes_are_sql(
        cls, value: dict[str, Outcome], info: pydantic.ValidationInfo
    ) -> dict[str, Outcome]:
        for name, outcome in value.items() if "columns" in info.data else ():
            try:
                outcome_kind(outcome, info.data["columns"])
            except ValueError as error:
                raise ValueError(f"outcomes.{name}: {error}") from error
        return value


def declared_tables(spec: TableSpec, use_case: UseCase, folder: Path) -> list[Table]:
    """The raw table that a spec asks for, and after it those of its outcomes, its features and its aggregates."""
    calendar = use_case.calendar.coarser(spec.cadence) if spec.cadence else use_case.calendar
    said = {"owners": [use_case.owner], "tags": {"domain": use_case.name}}
    look = {"group_name": ingest_group(use_case.name), "kinds": {"polars", spec.source.kind}}
    raw = raw_table(spec, use_case.name, folder, calendar, **look, **said)
    look = {"group_name": ingest_group(use_case.name), "kinds": {"polars", "parquet"}}
    outcomes = [outcome_table(spec, name, use_case.name, calendar, **look, **said) for name in spec.outcomes]
    look = {"group_name": features_group(use_case.name), "kinds": {"polars", "parquet"}}
    features = [feature_table(spec, use_case.name, calendar, **look, **said)] if spec.features else []
    aggregates = [
        aggregate_table(spec, view, use_case.name, calendar, **look, **said) for view in spec.aggregates
    ]
    return [raw, *outcomes, *features, *aggregates]


def folder_of(path: Path) -> Path:
    """The folder of the use case that a component's folder lies in: the nearest above it with a use_case.yaml."""
    for folder in (path, *path.parents):
        if (folder / FILE).is_file():
            return folder
    raise ValueError(f"{path} lies in no use case: no folder above it has a {FILE}")
