"""The training set: every row of the prediction table beside the features that were known at its prediction time."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.kit.catalogue import newest_metadata
from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.costs import costed
from mlops_assets.kit.partitions import Week, week, week_bounds, weekly, weeks_back
from mlops_assets.kit.reuse import Reuse
from mlops_assets.kit.tables import materialized, upstream
from mlops_assets.ml.dataset import label_counts
from mlops_assets.ml.skew.brute_force import ViewTable, cells_that_differ
from mlops_assets.ml.tables import Expectation
from mlops_assets.spec.columns import FEATURE_TABLE
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.entity_rows import entity_rows, imported, refuse_names_that_meet
from mlops_assets.stages.fingerprints import join_code, of_training_week
from mlops_assets.stages.joined_from import joined_from
from mlops_assets.stages.training_columns import training_columns
from resources.features.inputs import inputs_by_feast
from resources.features.store import FeatureStoreResource, service_views
from resources.lake.lake import Lake, Manifest

PROBE_ROWS = 256
PROBE_WEEKS = 5
PROBED = (
    "A sample of each week, joined a second time by brute force, has the same cells. It trusts the event timestamps: one "
    "that is earlier than when a value was really known is not seen."
)
LEARNT = "learnt from"
"""The note of a week that has the hash of what a fit reads of it, without columns that only a judge splits by."""


class MixedFeatureDefinitionsError(Exception):
    """Weeks that were joined under different feature definitions must not train one model."""


def training_set(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/training_set`, one partition a week, joined once by Feast."""
    path = [spec.name, "training_set"]
    views = [upstream(f"features/{view}", 1) for view in service_views(spec.feature_service)]

    @dg.asset(
        key=path,
        deps=[upstream(spec.prediction.table, None), *views, dg.AssetKey(["features", "registry"])],
        partitions_def=weekly(spec.weeks),
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version=join_code(spec)[:12],
        check_specs=[
            check_spec(path, "rows_out_equal_rows_in", True),
            check_spec(path, "keys_are_unique", True),
            check_spec(path, "features_known_at_prediction_time", True, PROBED),
        ],
        group_name=spec.name,
        kinds={"feast", "polars", "parquet"},
        owners=[spec.owner],
        tags={"feature_service": spec.feature_service},
        description=f"Rows of `{spec.prediction.table}` joined point in time with the feature service "
        f"`{spec.feature_service}`; rows without a label stay in and are counted.",
    )
    @costed
    def training_set_(
        context: dg.AssetExecutionContext, lake: Lake, feature_store: FeatureStoreResource
    ) -> Iterator[Any]:
        written, lost, wrong, twice = {}, {}, {}, {}
        reuse = Reuse.of(context, lake, f"{spec.name}/training_set")
        for name in context.partition_keys:
            if reuse.unchanged(name, of_training_week(spec, lake, feature_store, name)) is not None:
                written[name] = lake.manifest(reuse.table, name)
                continue
            joined = join_week(spec, lake, feature_store, name)
            lost |= {name: joined.lost} if joined.lost else {}
            wrong |= {name: joined.differ} if joined.differ else {}
            twice |= {name: joined.duplicates} if joined.duplicates else {}
            if joined.manifest:
                written[name] = joined.manifest
                reuse.made(name, joined.manifest.sha256)
        yield check_result(
            "rows_out_equal_rows_in",
            not lost,
            True,
            {"rows lost": lost, "weeks": len(context.partition_keys)},
        )
        yield check_result(
            "keys_are_unique", not twice, True, {"keys": ", ".join(spec.prediction.key), "duplicates": twice}
        )
        yield check_result(
            "features_known_at_prediction_time",
            not wrong,
            True,
            {"rows probed a week": PROBE_ROWS, "cells that differ from what was known": wrong},
        )

        def page(manifest: Manifest) -> dict[str, Any]:
            return newest_page(spec, lake, feature_store, manifest)

        yield from materialized(context, written, len(context.partition_keys), page, reuse=reuse)

    return training_set_


def newest_page(
    spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, manifest: Manifest
) -> dict[str, Any]:
    """What the catalogue shows of the newest week: described columns, their lineage, and distributions."""
    frame = lake.read(manifest.table, [manifest.partition])
    given = lake.manifest(spec.prediction.table, manifest.partition).columns
    function = imported(spec.prediction.rows) if spec.prediction.rows else None
    known = training_columns(spec, feature_store.repository, function, list(given))
    columns = {name: known[name] for name in frame.columns if name in known}
    return newest_metadata(frame, Expectation(frame.schema, spec.prediction.key), columns)


@dataclass(frozen=True)
class Joined:
    """What became of one week's join: written, or refused for rows lost or doubled, or for cells not known in time."""

    manifest: Manifest | None
    lost: int
    duplicates: int
    differ: dict[str, dict[str, int]]


def join_week(spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, name: str) -> Joined:
    """Join one week through Feast, check the join against the feature tables, and write it if it holds."""
    refuse_names_that_meet(spec, feature_store)
    rows = entity_rows(spec, lake.read(spec.prediction.table, [name]))
    joined = feature_store.historical(spec.feature_service, rows, spec.prediction.time)
    lost, span = rows.height - joined.height, week(spec.weeks, name)
    duplicates = rows.height - rows.select(spec.prediction.key).n_unique()
    differ = {} if lost else differing_cells(spec, lake, feature_store, span, rows, joined)
    refused = lost or duplicates or differ
    manifest = None if refused else _write(spec, lake, feature_store, span, joined)
    return Joined(manifest, lost, duplicates, differ)


def differing_cells(
    spec: ModelSpec,
    lake: Lake,
    feature_store: FeatureStoreResource,
    span: Week,
    rows: pl.DataFrame,
    joined: pl.DataFrame,
) -> dict[str, dict[str, int]]:
    """Views with cells that are not what was known at prediction time, on a seeded sample of the week's rows.

    The questions are the rows as they went into the join, so that no feature stands in the place of a key or a moment.
    """
    chosen = pl.int_range(rows.height, eager=True).sample(min(PROBE_ROWS, rows.height), seed=0)
    questions, sample = rows[chosen], joined[chosen]
    served = set(feature_store.feature_columns(spec.feature_service))
    sources = inputs_by_feast(spec.feature_service, feature_store.repository).columns
    differ = {}
    for view in feature_store.view_tables(spec.feature_service):
        weeks = [
            w for w in weeks_back(spec.weeks, span.name, PROBE_WEEKS) if w in lake.partitions(view.table)
        ]
        partitions = weeks or lake.partitions(view.table)
        features = [name for name in view.features if name in served]
        known = lake.read(view.table, partitions, pushed=True)
        stamps = [name for name in FEATURE_TABLE if name in known.columns]
        source = sources.get(view.name, {})
        wanted = dict.fromkeys([*view.keys, *features, *stamps])
        named = known.select(pl.col(source.get(name, name)).alias(name) for name in wanted)
        table = ViewTable(view.name, named, view.keys, features, view.ttl)
        if found := cells_that_differ(questions, sample, spec.prediction.time, table):
            differ[view.name] = found
    return differ


def _write(
    spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, span: Week, joined: pl.DataFrame
) -> Manifest:
    features = feature_store.feature_columns(spec.feature_service)
    facts = [*spec.prediction.key, spec.prediction.time, spec.label.column, spec.label.known_at]
    split_by, learnt = [*spec.slices, *spec.gate.cluster_columns], [*spec.trainer.categories, *features]
    notes = {
        "feature service": spec.feature_service,
        "feature definitions": feature_store.definition_version(spec.feature_service),
        "features": features,
        LEARNT: content_sha256(joined.select(*dict.fromkeys([*facts, *learnt]))),
        **label_counts(joined, spec, span.end),
    }
    return lake.write(
        f"{spec.name}/training_set",
        joined.select(*dict.fromkeys([*facts, *split_by, *learnt])),
        span.name,
        spec.prediction.key,
        notes,
        joined_from(spec, lake, feature_store, span, joined),
    )


def newest_week(spec: ModelSpec, lake: Lake) -> str:
    """The newest joined week; its end is "now", the only clock that decides what data is used."""
    there = lake.partitions(f"{spec.name}/training_set")
    if not there:
        raise dg.Failure(f"{spec.name}/training_set has no partition yet: materialize it first")
    return there[-1]


@dataclass(frozen=True)
class TrainingData:
    """Every row that a training at the end of `week` may use, and where the rows came from."""

    lake: Lake
    table: str
    features: list[str]
    week: str
    now: datetime
    hashes: dict[str, str]
    feature_definitions: str
    learnt: dict[str, str]

    @property
    def paths(self) -> tuple[str, ...]:
        """The weeks' files, oldest first."""
        return tuple(str(self.lake.path(self.table, name)) for name in self.hashes)

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
    """Rows of the weeks a training at the end of the week `newest` may use, or of `only` these.

    Raises MixedFeatureDefinitionsError where the weeks were joined under different feature definitions.
    """
    table = f"{spec.name}/training_set"
    there = set(lake.partitions(table) if only is None else only)
    weeks = [name for name in weeks_back(spec.weeks, newest, _weeks_needed(spec, newest)) if name in there]
    manifests = {name: lake.manifest(table, name) for name in weeks}
    refuse_mixed_definitions(spec.name, manifests)
    notes = manifests[newest].notes or {}
    return TrainingData(
        lake=lake,
        table=table,
        features=list(dict.fromkeys([*spec.trainer.categories, *notes["features"]])),
        week=newest,
        now=week_bounds(spec.weeks, newest)[1],
        hashes={name: manifest.sha256 for name, manifest in manifests.items()},
        feature_definitions=notes["feature definitions"],
        learnt={name: (one.notes or {}).get(LEARNT, one.sha256) for name, one in manifests.items()},
    )


def content_sha256(frame: pl.DataFrame) -> str:
    """The SHA-256 of a frame as parquet; polars writes the same bytes for the same frame."""
    frame.write_parquet(content := io.BytesIO())
    return hashlib.sha256(content.getvalue()).hexdigest()


def _digest(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def refuse_mixed_definitions(model: str, manifests: Mapping[str, Manifest]) -> None:
    """Raise where the weeks do not share one version of the feature definitions, naming the weeks of each."""
    versions: dict[str, list[str]] = {}
    for name, manifest in manifests.items():
        versions.setdefault((manifest.notes or {})["feature definitions"], []).append(name)
    if len(versions) > 1:
        parts = "; ".join(f"{version[:12]}: {_span(weeks)}" for version, weeks in versions.items())
        raise MixedFeatureDefinitionsError(
            f"{model}/training_set mixes feature definitions ({parts}): a model must be trained on one. "
            f"Materialize the weeks of the older definitions again."
        )


def _span(weeks: Sequence[str]) -> str:
    return ", ".join(weeks) if len(weeks) <= 6 else f"{weeks[0]} to {weeks[-1]} ({len(weeks)} weeks)"


def _weeks_needed(spec: ModelSpec, newest: str) -> int:
    everything = (date.fromisoformat(newest) - spec.weeks.start).days // 7
    return everything if spec.window.days is None else -(-spec.window.days // 7)
