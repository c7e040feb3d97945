"""The training set: every row of the prediction table beside the features that were known at its prediction time."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.kit.catalogue import newest_metadata
from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.kit.tables import materialized, upstream
from mlops_assets.ml.tables import Expectation
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import feature_table, registry_key
from mlops_assets.stages.entity_rows import imported
from mlops_assets.stages.fingerprints import join_code, of_training_partition
from mlops_assets.stages.outcomes import LabelTable
from mlops_assets.stages.partition_labels import relabel_partition, relabels
from mlops_assets.stages.training_columns import training_columns
from mlops_assets.stages.training_set import PROBE_ROWS, Joined, join_partitions, together
from resources.features.inputs import service_views
from resources.features.store import FeatureStoreResource
from resources.features.stores import repository_of
from resources.lake.lake import Lake, Manifest

PROBED = (
    "A sample of each partition, joined a second time by brute force, has the same cells. It trusts the event timestamps: one "
    "that is earlier than when a value was really known is not seen."
)


VIEWS_BACK = timedelta(days=7)
"""How long before a partition its rows may have features from, as the lineage shows it."""


def training_set(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/training_set`, cut as its use case's calendar cuts time, joined once by Feast."""
    path = [spec.name, "training_set"]
    views = [
        upstream(feature_table(spec.use_case, view), spec.calendar, VIEWS_BACK)
        for view in service_views(spec.feature_service, repository_of(spec.use_case))
    ]

    labels = [upstream(spec.label.table, spec.calendar)] if spec.label.table else []

    @model_stage(
        spec,
        "training_set",
        after=[upstream(spec.prediction.table, spec.calendar), *labels, *views, registry_key(spec.use_case)],
        uses=["feature_store"],
        calendar=spec.calendar,
        kinds={"feast", "polars", "parquet"},
        code_version=join_code(spec)[:12],
        check_specs=[
            check_spec(path, "rows_out_equal_rows_in", True),
            check_spec(path, "keys_are_unique", True),
            check_spec(path, "features_known_at_prediction_time", True, PROBED),
        ],
        tags={"feature_service": spec.feature_service},
        description=f"Rows of `{spec.prediction.table}` joined point in time with the feature service "
        f"`{spec.feature_service}`; rows without a label stay in and are counted.",
    )
    def training_set_(run: Run) -> Iterator[Any]:
        lake, feature_store = run.systems.lake, run.systems.feature_store
        joins = _joined(run, spec)
        yield from join_checks(spec, joins)
        written = {name: joined.manifest for name, joined in joins.items() if joined.manifest}
        yield from materialized(run, written, len(joins), partial(newest_page, spec, lake, feature_store))

    return training_set_


def _joined(run: Run, spec: ModelSpec) -> dict[str, Joined]:
    """What became of each partition of the run: as it was, given its labels alone, or joined with those that it shares a question with."""
    lake, feature_store = run.systems.lake, run.systems.feature_store
    joins, labels = dict[str, Joined](), LabelTable(spec, lake)
    for name in run.partitions:
        decides = of_training_partition(spec, lake, feature_store, name)
        if run.reuse.unchanged(name, decides) is not None:
            joins[name] = Joined(lake.manifest(run.reuse.table, name), 0, 0, {})
        elif not run.reuse.forced and relabels(spec, lake, name, decides):
            joins[name] = _noted(run, name, Joined(relabel_partition(spec, lake, name, labels), 0, 0, {}))
    fresh = [name for name in run.partitions if name not in joins]
    for some in together(spec, lake, feature_store, fresh):
        results = join_partitions(spec, lake, feature_store, some)
        joins |= {name: _noted(run, name, joined) for name, joined in results.items()}
    return {name: joins[name] for name in run.partitions}


def _noted(run: Run, name: str, joined: Joined) -> Joined:
    """What became of a partition, noted where it was written, so that it is not made again."""
    if joined.manifest:
        run.reuse.note(name, joined.manifest.sha256)
    return joined


def join_checks(spec: ModelSpec, joins: Mapping[str, Joined]) -> Iterator[dg.AssetCheckResult]:
    """The claims about the partitions of a run; a partition that breaks one is named with its numbers."""
    lost = {name: joined.lost for name, joined in joins.items() if joined.lost}
    yield check_result(
        "rows_out_equal_rows_in", not lost, True, {"rows lost": lost, "partitions": len(joins)}
    )
    twice = {name: joined.duplicates for name, joined in joins.items() if joined.duplicates}
    keys = ", ".join(spec.prediction.key)
    yield check_result("keys_are_unique", not twice, True, {"keys": keys, "duplicates": twice})
    wrong = {name: joined.differ for name, joined in joins.items() if joined.differ}
    numbers = {"rows probed a partition": PROBE_ROWS, "cells that differ from what was known": wrong}
    yield check_result("features_known_at_prediction_time", not wrong, True, numbers)


def newest_page(
    spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, manifest: Manifest
) -> dict[str, Any]:
    """What the catalogue shows of the newest partition: described columns, their lineage, and distributions."""
    frame = lake.read(manifest.table, [manifest.partition])
    given = lake.manifest(spec.prediction.table, manifest.partition).columns
    function = imported(spec.prediction.rows) if spec.prediction.rows else None
    known = training_columns(spec, feature_store.repository, function, list(given))
    columns = {name: known[name] for name in frame.columns if name in known}
    return newest_metadata(frame, Expectation(frame.schema, spec.prediction.key), columns)
