"""Partitions joined through Feast, and the rows that a training may use of them."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import accumulate, pairwise

import polars as pl

from mlops_assets.errors import WorkError
from mlops_assets.ml.skew.brute_force import ViewTable, differing
from mlops_assets.spec.calendar import Partition
from mlops_assets.spec.columns import FEATURE_TABLE
from mlops_assets.spec.maturity import days_of_waiting
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.entity_rows import entity_rows, refuse_names_that_meet
from mlops_assets.stages.errors import NotReadyError
from mlops_assets.stages.held import reaching
from mlops_assets.stages.joined_from import joined_from
from mlops_assets.stages.outcomes import (
    LabelTable,
    arrived,
    events_missing,
    made_of_outcomes,
    outcome_parts,
    refuse_values,
    with_outcomes,
)
from mlops_assets.stages.partition_labels import LEARNT, label_notes, stored
from resources.features.store import FeatureStoreResource
from resources.features.view_source import ViewSource
from resources.lake.lake import Lake, Manifest

PROBE_ROWS = 256


PROBED_DAYS = 35

TOGETHER = 50_000
"""Rows that are joined in one question at most: more partitions are joined in the next."""


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
    return join_partitions(spec, lake, feature_store, [name])[name]


def join_partitions(
    spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, names: Sequence[str]
) -> dict[str, Joined]:
    """The same of several that are joined in one question, as `together` has them: what lies behind them is read once."""
    refuse_names_that_meet(spec, feature_store)
    rows = [entity_rows(spec, lake.read(spec.prediction.table, [name])) for name in names]
    questions = rows[0] if len(rows) == 1 else pl.concat(rows)
    answered = feature_store.historical(spec.feature_service, questions, spec.prediction.time)
    begins = [0, *accumulate(frame.height for frame in rows)]
    joined = [answered[begin:end] for begin, end in pairwise(begins)]
    spans = [spec.calendar.partition(name) for name in names]
    whole = answered.height == questions.height
    probed = differing_cells(spec, lake, feature_store, spans, rows, joined) if whole else [{} for _ in spans]
    content, labels = cache(lake.hash), LabelTable(spec, lake)
    by_partition = {}
    for span, asked_for, frame, cells in zip(spans, rows, joined, probed, strict=True):
        lost = asked_for.height - frame.height
        duplicates = asked_for.height - asked_for.select(spec.prediction.key).n_unique()
        refused = lost or duplicates or cells
        manifest = None if refused else _write(spec, lake, feature_store, span, frame, content, labels)
        by_partition[span.name] = Joined(manifest, lost, duplicates, cells)
    return by_partition


def together(
    spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, names: Sequence[str]
) -> Iterator[list[str]]:
    """Partitions in the groups that are joined at once: each alone where something is computed on demand, of all rows it is given."""
    inputs = feature_store.inputs(spec.feature_service)
    alone = bool(spec.prediction.rows) or not {*inputs.features} <= {*inputs.stored}
    group, rows, columns = list[str](), 0, None
    for name in names:
        manifest = lake.manifest(spec.prediction.table, name)
        full = alone or rows + manifest.rows > TOGETHER or manifest.columns != columns
        if group and full:
            yield group
            group, rows = [], 0
        group, rows, columns = [*group, name], rows + manifest.rows, manifest.columns
    if group:
        yield group


def differing_cells(
    spec: ModelSpec,
    lake: Lake,
    feature_store: FeatureStoreResource,
    spans: Sequence[Partition],
    rows: Sequence[pl.DataFrame],
    joined: Sequence[pl.DataFrame],
) -> list[dict[str, dict[str, int]]]:
    """For each partition the views with cells that are not what was known at prediction time, on a seeded sample of its rows.

    The questions are the rows as they went into the join, so that no feature stands in the place of a key or a moment. Of
    values that live longer than what is read again, those that are older are not judged.
    """
    chosen = [
        pl.int_range(one.height, eager=True).sample(min(PROBE_ROWS, one.height), seed=0) for one in rows
    ]
    questions, sample = (
        pl.concat([frame[which] for frame, which in zip(frames, chosen, strict=True)])
        for frames in (rows, joined)
    )
    parts = [which.len() for which in chosen]
    counts: list[dict[str, dict[str, int]]] = [{} for _ in spans]
    for view in feature_store.view_tables(spec.feature_service):
        table, whole = _probed(spec, lake, feature_store, view, spans)
        for feature, cells in differing(questions, sample, spec.prediction.time, table, whole).items():
            for one, begin, count in zip(counts, accumulate([0, *parts]), parts, strict=False):
                if wrong := int(cells.slice(begin, count).sum()):
                    one.setdefault(view.name, {})[feature] = wrong
    return counts


def _probed(
    spec: ModelSpec,
    lake: Lake,
    feature_store: FeatureStoreResource,
    view: ViewSource,
    spans: Sequence[Partition],
) -> tuple[ViewTable, bool]:
    """The rows of a view that a probe of partitions compares with, and whether no older ones may count."""
    served = set(feature_store.feature_columns(spec.feature_service))
    since, until = spec.calendar.days_before(spans[0].start, PROBED_DAYS), spans[-1].start
    all_names = reaching(lake, view.table, spec.calendar, None, until)
    names = reaching(lake, view.table, spec.calendar, since, until)
    if not names:
        names = all_names = lake.partitions(view.table)
    features = [name for name in view.features if name in served]
    known = lake.read(view.table, names, pushed=True)
    stamps = [name for name in FEATURE_TABLE if name in known.columns]
    source = feature_store.inputs(spec.feature_service).columns.get(view.name, {})
    columns = dict.fromkeys([*view.keys, *features, *stamps])
    named = known.select(pl.col(source.get(name, name)).alias(name) for name in columns)
    lives = bool(view.ttl) and view.ttl <= timedelta(days=PROBED_DAYS)
    return ViewTable(view.name, named, view.keys, features, view.ttl), lives or names == all_names


def _write(
    spec: ModelSpec,
    lake: Lake,
    feature_store: FeatureStoreResource,
    span: Partition,
    joined: pl.DataFrame,
    content: Callable[[str, str], str],
    labels: LabelTable,
) -> Manifest:
    features = feature_store.feature_columns(spec.feature_service)
    parts = outcome_parts(spec, lake).get(span.name, {})
    joined = with_outcomes(spec, lake, parts, joined, labels)
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
    made_of = joined_from(spec, lake, feature_store, span, joined, content)
    made_of |= made_of_outcomes(spec, labels, parts)
    return stored(spec, lake, span.name, rows, notes, made_of)


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
