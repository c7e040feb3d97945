"""A small state with registered versions, made by the functions that the assets call: four weeks of thinned flights."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.ml.training.fit import fit
from mlops_assets.promotion.records import record_trained
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.tables import build_partition
from mlops_assets.stages.training import log_fit, train_challenger, training_files
from mlops_assets.stages.training_set import join_partition, training_data
from mlops_assets.use_cases.flights.tables import all_tables
from resources.compute.compute import Compute
from resources.lake.lake import Lake
from resources.lake.pushed_files import fold
from resources.local import local_resources
from resources.settings import Settings
from resources.systems import Systems
from resources.tracking.tracking import Version
from resources.tracking.versions import sha256
from tests.flights.shortened import short_spec
from tests.lake_files import path_of

SPEC = short_spec()
WEEKS = SPEC.calendar.names()[:4]
PUSHED_INTO = WEEKS[2]


def two_workers() -> ModelSpec:
    """The same model on two workers of a local Ray."""
    trainer = SPEC.trainer.model_dump() | {"workers": 2, "threads": 1, "compute": "local"}
    return short_spec(trainer=trainer)


@dataclass
class Registered:
    """Systems over one state folder, and its versions: a challenger, its refit, and one of two workers."""

    parts: dict[str, Any]
    challenger: Version
    refit: Version
    of_two_workers: Version

    @property
    def lake(self) -> Any:
        return self.parts["lake"]


def registered(where: Settings) -> Registered:
    """Ingest, build, join and train; rows are pushed before the third week is joined, corrected later, and folded."""
    parts = local_resources(where)
    parts["feature_store"].of("flights").apply()
    for week in WEEKS:
        ingest(parts["lake"], week)
        if week == PUSHED_INTO:
            push(parts["lake"], week, 40.0, received=timedelta(minutes=1))
        assert join_partition(SPEC, parts["lake"], parts["feature_store"].of("flights"), week).manifest
    push(parts["lake"], PUSHED_INTO, 80.0, received=timedelta(days=30))
    compute = Compute(folder=str(where.training), cpus=4)
    versions = [challenger(parts, SPEC), refit(parts), challenger(parts, two_workers(), compute)]
    return Registered(parts, *versions)


def ingest(lake: Lake, week: str) -> None:
    for table in all_tables():
        if table.calendar is not None or not lake.partitions(table.key):
            _, manifest = build_partition(lake, table, week if table.calendar else None)
            assert manifest, table.key


def push(lake: Lake, week: str, temperature: float, received: timedelta) -> None:
    """Weather between two observations of a week, as the offline store writes pushed rows, all of them in one file."""
    rows = lake.read("flights/features/weather", [week]).with_columns(
        pl.col("event_timestamp") + timedelta(minutes=20), pl.lit(temperature, pl.Float32).alias("temp")
    )
    rows = rows.with_columns(created=pl.col("event_timestamp") + received)
    rows.write_parquet(path_of(lake, "flights/features/weather", f"pushed-{week}-{temperature:g}"))
    assert fold(lake.folder("flights/features/weather"), ("origin", "event_timestamp")) == 1


def challenger(parts: dict[str, Any], spec: ModelSpec, compute: Compute | None = None) -> Version:
    systems = Systems.of(
        {"lake": parts["lake"], "tracking": parts["tracking"]} | ({"compute": compute} if compute else {})
    )
    version, _, data = train_challenger(spec, systems, {})
    record_trained(parts["audit"], spec, version, data.hashes, data.now)
    return version


def refit(parts: dict[str, Any]) -> Version:
    """The same parameters on everything, for a number of rounds that is given: what a deployment registers."""
    data = training_data(SPEC, parts["lake"], WEEKS[-1])
    files = training_files(SPEC, data, hold_out=False)
    fitted = fit(files, SPEC, data.features, rounds=7)
    logged = log_fit(SPEC, parts["tracking"], data, fitted, files.head(SPEC, 5), "refit", {})
    version = logged.register(SPEC, parts["tracking"])
    record_trained(parts["audit"], SPEC, version, data.hashes, data.now)
    return version


def model_file(where: Settings, version: Version) -> Path:
    files = where.mlflow_artifacts.rglob("model.ubj")
    (found,) = (path for path in files if sha256(path.read_bytes()) == version.sha256)
    return found
