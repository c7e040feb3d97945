"""What is known of each feature of a use case: its meaning, origin, spread, age, and the models that read it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.reports.distributions import BARS, histogram
from mlops_assets.ml.tables import Column
from mlops_assets.ml.values import TEXTS, canonical, kind_of
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import feature_table, use_case_of
from mlops_assets.spec.table_features import CONTENT_KNOWN_AT
from mlops_assets.stages.tables import EVENT_TIME, Table
from resources.features.catalogue import described_features
from resources.features.inputs import read, service_inputs
from resources.features.repository import Given
from resources.lake.lake import Lake

BLOCKS = "▁▂▃▄▅▆▇█"
TOP = 5


@dataclass(frozen=True)
class Spread:
    """How the values of the newest partition lie: numbers in bars of equal width, of texts the most frequent."""

    rows: int
    missing: float
    smallest: float | None = None
    median: float | None = None
    largest: float | None = None
    bars: list[int] = field(default_factory=list)
    most_frequent: dict[str, int] = field(default_factory=dict)

    @property
    def picture(self) -> str:
        """The bars as a line of text."""
        highest = max(self.bars, default=0)
        return "".join(BLOCKS[-(-count * 7 // highest)] if count else " " for count in self.bars)


@dataclass(frozen=True)
class CataloguedFeature:
    """One feature; `spread` and `newest` are None where its table holds nothing, or where it is computed for each request.

    `newest` is None too where all rows are known all along: a moment would say nothing.
    """

    name: str
    view: str
    meaning: str
    unit: str
    made_of: list[str]
    models: list[str]
    partition: str | None = None
    newest: datetime | None = None
    all_along: bool = False
    behind_hours: float | None = None
    spread: Spread | None = None

    @property
    def used(self) -> bool:
        return bool(self.models)

    def to_json(self) -> dict[str, Any]:
        """As values that JSON has."""
        return {**asdict(self), "newest": self.newest.isoformat() if self.newest else None, "used": self.used}


def feature_catalogue(
    use_case: str, tables: Sequence[Table], specs: Sequence[ModelSpec], lake: Lake, repository: Given
) -> list[CataloguedFeature]:
    """Every feature of a use case, those that are stored in the order of their tables, then those computed for a request."""
    readers = models_by_feature(specs, repository)
    ours = feature_table(use_case, "")
    stored = [table for table in tables if table.key.startswith(ours) and EVENT_TIME in table.expected.schema]
    by_key = {table.key: table for table in tables}
    now = max((end for table in tables if (end := _end(table, lake))), default=None)
    rows = [one for table in stored for one in _stored(table, repository, by_key, readers, lake, now)]
    return [*rows, *_computed(specs, repository, readers, {_view(table) for table in stored})]


def feature_names(table: Table, repository: Given | None) -> list[str]:
    """The columns of a feature table that are features, in its order: neither keys nor what is noted of a row beside them.

    Without definitions, as of a table that belongs to no folder, all others are.
    """
    noted = (*table.expected.keys, EVENT_TIME, CONTENT_KNOWN_AT)
    names = [name for name in table.expected.schema if name not in noted]
    defined = read(repository).views.get(_view(table), names) if repository else names
    return [name for name in names if name in defined]


def models_by_feature(specs: Sequence[ModelSpec], repository: Given) -> dict[tuple[str, str], list[str]]:
    """View and feature -> names of the models that read it, by itself or in a feature that is computed from it."""
    readers: dict[tuple[str, str], list[str]] = {}
    for spec in specs:
        inputs = service_inputs(spec.feature_service, repository)
        for views in (inputs.features, inputs.behind):
            for place in ((view, name) for view, names in views.items() for name in names):
                if spec.name not in readers.setdefault(place, []):
                    readers[place].append(spec.name)
    return readers


def is_known_all_along(table: Table, frame: pl.DataFrame) -> bool:
    """Whether the rows of a feature table never become known: it is written whole, and all have one moment, or none has any."""
    if EVENT_TIME not in frame.columns:
        return True
    return table.calendar is None and frame.height > 0 and frame[EVENT_TIME].min() == frame[EVENT_TIME].max()


def meaning_of(column: Column, sources: Sequence[str]) -> str:
    """What a feature is in words: its description, or of which column it is the value; empty where nothing says."""
    copied = f"The value of {sources[0]}, as it was known." if len(sources) == 1 else ""
    return column.description or copied


def spread_of(values: pl.Series) -> Spread:
    """How the values of a column lie."""
    values = values.fill_nan(None) if values.dtype.is_float() else values
    there, missing = values.drop_nulls(), values.null_count() / len(values) if len(values) else 0.0
    if not len(there):
        return Spread(len(values), missing)
    if kind_of(values.dtype) == "number":
        ordered = np.sort(there.cast(pl.Float64).to_numpy())
        ordered = ordered[np.isfinite(ordered)]
        ends = (float(ordered[0]), float(np.median(ordered)), float(ordered[-1])) if len(ordered) else ()
        return Spread(
            len(values), missing, *ends, bars=histogram(ordered).tolist()[:BARS] if len(ordered) else []
        )
    if kind_of(values.dtype) == "text" and values.dtype not in TEXTS:
        return Spread(len(values), missing)
    counts = (
        canonical(there)
        .alias("value")
        .value_counts(name="rows")
        .sort("rows", "value", descending=[True, False])
    )
    return Spread(len(values), missing, most_frequent={f"{v}": n for v, n in counts.head(TOP).iter_rows()})


def origins(table: Table, column: str, by_key: Mapping[str, Table]) -> list[str]:
    """The columns of raw tables that a column is made of, through all tables in between, as `table.column`."""
    columns: dict[str, None] = {}
    for source, name in table.columns[column].made_of if column in table.columns else ():
        behind = origins(by_key[source], name, by_key) if source in by_key else []
        columns.update(dict.fromkeys(behind or [f"{source}.{name}"]))
    return list(columns)


def _view(table: Table) -> str:
    return table.key.removeprefix(feature_table(use_case_of(table.key), ""))


def _stored(
    table: Table,
    repository: Given,
    by_key: Mapping[str, Table],
    readers: Mapping[tuple[str, str], list[str]],
    lake: Lake,
    now: datetime | None,
) -> Iterator[CataloguedFeature]:
    view = _view(table)
    partition = max(lake.partitions(table.key), default=None)
    frame = lake.read(table.key, [partition]) if partition else None
    all_along = frame is not None and is_known_all_along(table, frame)
    newest = frame[EVENT_TIME].max() if frame is not None and frame.height and not all_along else None
    end = _end(table, lake)
    behind = (now - end).total_seconds() / 3600 if now and end else None
    for name in feature_names(table, repository):
        column, sources = table.columns.get(name, Column()), origins(table, name, by_key)
        yield CataloguedFeature(
            name,
            view,
            meaning_of(column, sources),
            column.unit or "",
            sources,
            readers.get((view, name), []),
            partition,
            newest,  # type: ignore[arg-type]
            all_along,
            behind,
            spread_of(frame[name]) if frame is not None else None,
        )


def _computed(
    specs: Sequence[ModelSpec],
    repository: Given,
    readers: Mapping[tuple[str, str], list[str]],
    stored: set[str],
) -> Iterator[CataloguedFeature]:
    views = {view: names for view, names in read(repository).views.items() if view not in stored}
    described = {}
    if views:
        for service in dict.fromkeys(spec.feature_service for spec in specs):
            described |= described_features(service, repository)
    for view, names in views.items():
        for name in names:
            said = described.get(name)
            meaning, unit, inputs = (said.description, said.unit, [*said.inputs]) if said else ("", "", [])
            yield CataloguedFeature(name, view, meaning, unit, inputs, readers.get((view, name), []))


def _end(table: Table, lake: Lake) -> datetime | None:
    """The end of a table's newest partition; None of a table that is written whole."""
    newest = max(lake.partitions(table.key), default=None) if table.calendar else None
    return table.span(newest).end if newest else None
