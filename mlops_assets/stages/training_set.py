"""Partitions joined through Feast, and the rows that a training may use of them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from mlops_assets.errors import WorkError
from mlops_assets.ml.skew.brute_force import ViewTable, cells_that_differ
from mlops_assets.spec.calendar import Partition
from mlops_assets.spec.columns import FEATURE_TABLE
from mlops_assets.spec.maturity import days_of_waiting
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.entity_rows import entity_rows, refuse_names_that_meet
from mlops_assets.stages.errors import NotReadyError
from mlops_assets.stages.held import reaching
from mlops_assets.stages.joined_from import joined_from
from mlops_assets.stages.outcomes import (
    arrived,
    events_missing,
    outcome_parts,
    refuse_values,
    with_outcomes,
)
from mlops_assets.stages.partition_labels import LEARNT, label_notes, stored
from resources.features.store import FeatureStoreResource
from resources.lake.lake import Lake, Manifest

PROBE_ROWS = 256


PROBED_DAYS = 35


class MixedFeatureDefinitionsError(WorkError):
    """Partitions that were joined under different feature definitions must not train one model."""


@dataclass(frozen=True)
class Joined:
    """What became of one partition's join: written, or refused for rows lost or doubled, or for cells not known in time."""

    manifest: Manifest | None
    lost: int
    duplicates: int
    differ: dict[str, dict[str, int]]


def join_partition(spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, name: str) -> Joined:
    """Join one partition through Feast, check the join against the feature tables, and write it if it holds."""
    refuse_names_that_meet(spec, feature_store)
    rows = entity_rows(spec, lake.read(spec.prediction.table, [name]))
    joined = feature_store.historical(spec.feature_service, rows, spec.prediction.time)
    lost, span = rows.height - joined.height, spec.calendar.partition(name)
    duplicates = rows.height - rows.select(spec.prediction.key).n_unique()
    differ = {} if lost else differing_cells(spec, lake, feature_store, span, rows, joined)
    refused = lost or duplicates or differ
    manifest = None if refused else _write(spec, lake, feature_store, span, joined)
    return Joined(manifest, lost, duplicates, differ)


def differing_cells(
    spec: ModelSpec,
    lake: Lake,
    feature_store: FeatureStoreResource,
    span: Partition,
    rows: pl.DataFrame,
    joined: pl.DataFrame,
) -> dict[str, dict[str, int]]:
    """Views with cells that are not what was known at prediction time, on a seeded sample of the partition's rows.

    The questions are the rows as they went into the join, so that no feature stands in the place of a key or a moment.
    """
    chosen = pl.int_range(rows.height, eager=True).sample(min(PROBE_ROWS, rows.height), seed=0)
    questions, sample = rows[chosen], joined[chosen]
    served = set(feature_store.feature_columns(spec.feature_service))
    sources = feature_store.inputs(spec.feature_service).columns
    differ = {}
    for view in feature_store.view_tables(spec.feature_service):
        since = spec.calendar.days_before(span.start, PROBED_DAYS)
        partitions = reaching(lake, view.table, spec.calendar, since, span.start) or lake.partitions(
            view.table
        )
        features = [name for name in view.features if name in served]
        known = lake.read(view.table, partitions, pushed=True)
        stamps = [name for name in FEATURE_TABLE if name in known.columns]
        source = sources.get(view.name, {})
        columns = dict.fromkeys([*view.keys, *features, *stamps])
        named = known.select(pl.col(source.get(name, name)).alias(name) for name in columns)
        table = ViewTable(view.name, named, view.keys, features, view.ttl)
        if cells := cells_that_differ(questions, sample, spec.prediction.time, table):
            differ[view.name] = cells
    return differ


def _write(
    spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, span: Partition, joined: pl.DataFrame
) -> Manifest:
    features = feature_store.feature_columns(spec.feature_service)
    parts = outcome_parts(spec, lake).get(span.name, {})
    joined = with_outcomes(spec, lake, parts, joined)
    refuse_values(spec, joined[spec.label.column])
    facts = [*spec.prediction.key, spec.prediction.time, *spec.label.facts]
    split_by, learnt = [*spec.slices, *spec.gate.cluster_columns], [*spec.row_columns, *features]
    rows = joined.select(*dict.fromkeys([*facts, *split_by, *learnt]))
    notes = {
        "feature service": spec.feature_service,
        "feature definitions": feature_store.definition_version(spec.feature_service),
        "features": features,
        **label_notes(spec, lake, span, rows, features, parts),
    }
    made_of = joined_from(spec, lake, feature_store, span, joined)
    return stored(spec, lake, span.name, rows, notes, made_of, parts)


def refuse_late_labels(spec: ModelSpec, lake: Lake, data: "TrainingData") -> None:
    """Raise where labels are there that the training set does not have yet, or where nobody can say what did not happen."""
    waiting = sorted(arrived(spec, lake, data.hashes))
    if waiting:
        raise NotReadyError(
            f"{spec.name}: {spec.label.table} has outcomes that {spec.name}/training_set lacks for {_span(waiting)}: "
            "materialize these partitions of it again"
        )
    if why := events_missing(spec, lake, data.now):
        raise NotReadyError(why)


def newest_partition(spec: ModelSpec, lake: Lake) -> str:
    """The newest joined partition; its end is "now", the only clock that decides what data is used."""
    there = lake.partitions(f"{spec.name}/training_set")
    if not there:
        raise NotReadyError(f"{spec.name}/training_set has no partition yet: materialize it first")
    return there[-1]


@dataclass(frozen=True)
class TrainingData:
    """Every row that a training at the end of `partition` may use, and where the rows came from."""

    lake: Lake
    table: str
    features: list[str]
    partition: str
    now: datetime
    hashes: dict[str, str]
    feature_definitions: str
    learnt: dict[str, str]

    @property
    def paths(self) -> tuple[str, ...]:
        """The partitions' files, oldest first."""
        return tuple(self.lake.address(self.table, name) for name in self.hashes)

    @property
    def digest(self) -> str:
        return _digest(self.hashes)

    @property
    def learnt_from(self) -> str:
        """Hash of what a fit reads of these rows, by which it is told from other fits."""
        return _digest(self.learnt)


def training_data(
    spec: ModelSpec, lake: Lake, newest: str, only: Sequence[str] | None = None
) -> TrainingData:
    """Rows of the partitions a training at the end of the partition `newest` may use, or of `only` these.

    Raises MixedFeatureDefinitionsError where the partitions were joined under different feature definitions.
    """
    table = f"{spec.name}/training_set"
    there = set(lake.partitions(table) if only is None else only)
    manifests = {name: lake.manifest(table, name) for name in _needed(spec, newest) if name in there}
    refuse_mixed_definitions(spec.name, manifests)
    notes = manifests[newest].notes or {}
    return TrainingData(
        lake=lake,
        table=table,
        features=list(dict.fromkeys([*spec.row_columns, *notes["features"]])),
        partition=newest,
        now=spec.calendar.partition(newest).end,
        hashes={name: manifest.sha256 for name, manifest in manifests.items()},
        feature_definitions=notes["feature definitions"],
        learnt={name: (one.notes or {}).get(LEARNT, one.sha256) for name, one in manifests.items()},
    )


def _digest(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def refuse_mixed_definitions(model: str, manifests: Mapping[str, Manifest]) -> None:
    """Raise where the partitions do not share one version of the feature definitions, naming the partitions of each."""
    versions: dict[str, list[str]] = {}
    for name, manifest in manifests.items():
        versions.setdefault((manifest.notes or {})["feature definitions"], []).append(name)
    if len(versions) > 1:
        parts = "; ".join(f"{version[:12]}: {_span(partitions)}" for version, partitions in versions.items())
        raise MixedFeatureDefinitionsError(
            f"{model}/training_set mixes feature definitions ({parts}): a model must be trained on one. "
            f"Materialize the partitions of the older definitions again."
        )


def _span(partitions: Sequence[str]) -> str:
    return (
        ", ".join(partitions)
        if len(partitions) <= 6
        else f"{partitions[0]} to {partitions[-1]} ({len(partitions)} partitions)"
    )


def _needed(spec: ModelSpec, newest: str) -> list[str]:
    """Partitions of the window, counted from the start of the newest one: rows are told apart by their moments later."""
    span, days = spec.calendar.partition(newest), spec.window.days
    since = (
        spec.calendar.days_before(span.start, days + days_of_waiting(spec))
        if days
        else spec.calendar.first.start
    )
    return spec.calendar.covering(since, span.end)
