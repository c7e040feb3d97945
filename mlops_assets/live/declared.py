"""Declared tables held back: a copy of the use case's folder, in which every source is a folder that fills as time goes."""

import os
import shutil
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from mlops_assets.live.order import LiveError
from mlops_assets.replay.reach import partitions_to_replay
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.files import ATTRIBUTES, TABLE, specs_in, table_specs_in
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.sources import AssetSource
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.use_case import UseCase, reading
from mlops_assets.stages.errors import NotYetThereError
from mlops_assets.stages.sources import read_rows
from mlops_assets.stages.tables import WHOLE_TABLE
from resources.clock import wall
from resources.lake.lake import parquet
from resources.storage.durable import write_bytes
from resources.use_case_folders import VARIABLE, UseCaseFolder


class DeclaredSource:
    """The tables that YAML declares; rows are read of their own sources by the platform's reader, as they come."""

    def __init__(self, folder: UseCaseFolder, use_case: UseCase, state: Path) -> None:
        self._folder, self._use_case = folder, use_case
        self._files, self._copy = state / "source", state / "use_cases" / folder.name
        with reading(use_case):
            self._tables = table_specs_in(folder)
        self._models = specs_in(folder)
        self.lateness = max((spec.lateness for spec in self._tables), default=timedelta())
        for spec in self._tables:
            self._refuse(spec)

    def _refuse(self, spec: TableSpec) -> None:
        if isinstance(spec.source, AssetSource):
            raise LiveError(
                f"the table {spec.name!r} is written by the asset {spec.source.asset}, which live cannot hold back: give it a file"
            )
        if spec.cadence and spec.cadence != self._use_case.calendar.cadence:
            raise LiveError(
                f"the table {spec.name!r} has the cadence {spec.cadence!r}, and live brings rows by the use case's own "
                f"({self._use_case.calendar.cadence!r}): leave `cadence` out"
            )

    @property
    def variables(self) -> Mapping[str, str]:
        """The copy stands in the place of the use case's own folder."""
        given = os.environ.get(VARIABLE, "").split(os.pathsep)
        others = [
            path for path in given if path.strip() and Path(path).expanduser().resolve() != self._folder.path
        ]
        return {VARIABLE: os.pathsep.join([*others, str(self._copy)])}

    def open(self) -> None:
        """Copy the folder, and put in the tables that have no time."""
        shutil.copytree(self._folder.path, self._copy, dirs_exist_ok=True)
        for file in UseCaseFolder(self._copy, self._copy.name).component_files:
            written = [self._exchanged(one) for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
            file.write_text(
                yaml.safe_dump_all(written, sort_keys=False, allow_unicode=True), encoding="utf-8"
            )
        for spec in self._tables:
            if spec.static:
                self._write(spec, "whole", read_rows(spec, self._folder.path, WHOLE_TABLE).frame)

    def _exchanged(self, document: Any) -> Any:
        if isinstance(document, dict) and document.get("type") == TABLE:
            fields = document[ATTRIBUTES]
            fields["source"] = {"kind": "parquet", "path": str(self._files / fields["name"] / "*.parquet")}
        return document

    def names(self) -> list[str]:
        """The partitions up to the newest row of the table that has come the least far."""
        return partitions_to_replay(self._folder, wall())

    def rows(self, name: str) -> pl.DataFrame:
        """The rows of the first model's prediction table."""
        spec = self._prediction_table
        return self._read(spec, name) if spec else pl.DataFrame()

    @cached_property
    def _prediction_table(self) -> TableSpec | None:
        """The declared table whose rows the models predict; None where it is made of others."""
        predicted = {model.prediction.table.rpartition("/")[2] for model in self._models}
        return next((spec for spec in self._tables if spec.name in predicted), None)

    def bring(self, name: str, change: str = "") -> int:
        """Put in the rows of every table with a time; how many the first has."""
        count = None
        for spec in filter(lambda each: each.time, self._tables):
            rows = self._read(spec, name)
            self._write(spec, name, self._changed(spec, rows, change))
            count = rows.height if count is None else count
        return count or 0

    def spoil(self, name: str) -> str:
        """Put in half a file of the first table with a time, and those of the others whole."""
        self.bring(name)
        spec = next(each for each in self._tables if each.time)
        path = self._files / spec.name / f"{name}.parquet"
        write_bytes(path, path.read_bytes()[: path.stat().st_size // 2])
        return path.name

    def _read(self, spec: TableSpec, name: str) -> pl.DataFrame:
        try:
            return read_rows(spec, self._folder.path, self._use_case.calendar.partition(name)).frame
        except NotYetThereError as error:
            raise LiveError(f"{spec.name} {name} has no rows to bring: {error}") from error

    def _changed(self, spec: TableSpec, rows: pl.DataFrame, change: str) -> pl.DataFrame:
        labels = [model.label.column for model in self._models]
        fixed = {*spec.key, spec.time, spec.known_at, *labels, LABEL}
        if change == "drift":
            floats = [name for name, kind in rows.schema.items() if kind.is_float() and name not in fixed]
            return rows.with_columns(pl.col(name) * 2 + pl.col(name).std().fill_null(1) for name in floats)
        if change == "bad-labels":
            turned = [_turned(model, rows) for model in self._models if model.label.column in rows.columns]
            return rows.with_columns(turned)
        return rows

    def _write(self, spec: TableSpec, stem: str, rows: pl.DataFrame) -> None:
        write_bytes(self._files / spec.name / f"{stem}.parquet", parquet(rows))


def _turned(model: ModelSpec, rows: pl.DataFrame) -> pl.Expr:
    """The other class, or of a number the other side of the mean."""
    label = pl.col(model.label.column)
    kind = rows.schema[model.label.column]
    if kind == pl.Boolean:
        return ~label
    if model.label.above is not None:
        return (2 * model.label.above - label).cast(kind)
    return (1 - label if model.task == "classification" else 2 * label.mean() - label).cast(kind)
