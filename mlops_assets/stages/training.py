"""Training: a challenger fitted on everything but the newest days, logged and registered in MLflow."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from mlops_assets.ml.judging.leaks import SingleFeature, refuse_leaks, strongest
from mlops_assets.ml.provenance.digest import Fingerprint
from mlops_assets.ml.training.fit import Fit, Scorer, fit
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.ml.training.recalibrated import FILE_PREFIX
from mlops_assets.ml.training.shards import Files
from mlops_assets.promotion.records import record_trained
from mlops_assets.spec.columns import apart
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.maturity import days_of_waiting, held_out_from, matured_until, window_start
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.errors import NotReadyError
from mlops_assets.stages.fingerprints import of_challenger
from mlops_assets.stages.identity import code_version, recalibration_of, version_identity
from mlops_assets.stages.lineage import lineage_of
from mlops_assets.stages.search_results import PARAMETERS, parameters_in, training_spec
from mlops_assets.stages.training_set import (
    TrainingData,
    newest_partition,
    refuse_late_labels,
    training_data,
)
from resources.lake.lake import Lake
from resources.records.attempts import Challenger
from resources.records.documents import load_record, save_record
from resources.records.lineage import FILE, Lineage
from resources.systems import Systems
from resources.tracking.tracking import Kind, Tracking, TrackingError, Version
from resources.tracking.versions import LINEAGE


def challenger_decided_by(spec: ModelSpec, lake: Lake) -> Fingerprint:
    """What decides a challenger trained now: the partitions it may use, the rules of its fit, and the code."""
    data = training_data(spec, lake, newest_partition(spec, lake))
    rules = spec_digest(training_spec(spec, lake, data.partition)[0])
    return of_challenger(spec, data.hashes, data.feature_definitions, rules)


def train(
    spec: ModelSpec,
    systems: Systems,
    lineage: Mapping[str, str],
    hear: Callable[[Sequence[SingleFeature]], Any] | None = None,
) -> tuple[Version, Fit, TrainingData]:
    """Train a challenger and put the training on record in the audit log."""
    version, fitted, data = train_challenger(spec, systems, lineage, hear)
    record_trained(systems.audit, spec, version, data.hashes, data.now)
    return version, fitted, data


def is_challenger(spec: ModelSpec, lake: Lake, tracking: Tracking, sha256: str) -> bool:
    """Whether the challenger on record is a version with this hash, and its model file is there with it."""
    record = load_record(lake, Challenger, challenger_name(spec))
    if record is None:
        return False
    with suppress(TrackingError):
        version = tracking.version(spec.name, record.version)
        return version.sha256 == sha256 and bool(tracking.load(version))
    return False


def train_challenger(
    spec: ModelSpec,
    systems: Systems,
    lineage: Mapping[str, str],
    hear: Callable[[Sequence[SingleFeature]], Any] | None = None,
) -> tuple[Version, Fit, TrainingData]:
    """Fit, log and register a challenger at the end of the newest partition, and keep what its evaluation needs.

    `hear` is told what each feature alone tells of the label; LeakError, before anything is fitted, where that is too much.
    """
    lake, tracking = systems.lake, systems.tracking
    data = training_data(spec, lake, newest_partition(spec, lake))
    enough_history(spec, data)
    refuse_late_labels(spec, lake, data)
    spec, origin = training_spec(spec, lake, data.partition)
    rows = training_files(spec, data)
    strengths = strongest(rows, spec, data.features)
    if hear:
        hear(strengths)
    refuse_leaks(strengths, spec)
    identity = version_identity(spec, data, "challenger")
    fitted = fit(rows, spec, data.features, reach=systems.compute or None, identity=identity)
    example = rows.head(spec, 5)
    version = log_fit(spec, tracking, data, fitted, example, "challenger", {**lineage, **origin}).register(
        spec, tracking
    )
    tracking.set_alias(spec.name, "challenger", version.number)
    save_record(lake, challenger_name(spec), challenger_record(data, fitted, version, origin))
    return version, fitted, data


def enough_history(spec: ModelSpec, data: TrainingData) -> None:
    """Raise where fewer days are joined, less those that labels take, than `window.minimum_days`."""
    first = spec.calendar.partition(min(data.hashes)).start
    days, young = spec.calendar.days_between(first, data.now), days_of_waiting(spec)
    if days - young < spec.window.minimum_days:
        waiting = f", of which the newest {young} wait for their labels" if young else ""
        raise NotReadyError(
            f"{spec.name}: {days:g} days are joined ({min(data.hashes)} to {data.partition}){waiting}, "
            f"window.minimum_days={spec.window.minimum_days}: materialize more partitions of {spec.name}/training_set"
        )


def training_files(spec: ModelSpec, data: TrainingData, hold_out: bool = True) -> Files:
    """Labelled rows inside the window, of which every worker of a fit reads its share.

    With `hold_out`, only what was known when the held-out days began; where labels have a horizon, what was predicted
    before they began, and whose label is known by now.
    """
    since, start = window_start(spec, data.now), hold_out_start(spec, data)
    if not hold_out:
        return Files(data.paths, data.now, since)
    late = spec.label.waits is not None
    return Files(data.paths, data.now, since, start) if late else Files(data.paths, start, since)


def hold_out_start(spec: ModelSpec, data: TrainingData) -> datetime:
    """The moment from which rows are kept from the challenger."""
    return held_out_from(spec, data.now)


@dataclass(frozen=True)
class Logged:
    """An MLflow run that holds a fit, with what makes it the same fit when it is made again."""

    run_id: str
    identity: str
    tags: dict[str, str]

    def register(self, spec: ModelSpec, tracking: Tracking) -> Version:
        """The version of this fit: found if it is registered already, else made."""
        return tracking.register(spec.name, self.run_id, self.identity, self.tags)


def log_fit(
    spec: ModelSpec,
    tracking: Tracking,
    data: TrainingData,
    fitted: Fit,
    rows: pl.DataFrame,
    kind: Kind,
    lineage: Mapping[str, str],
    metrics: Mapping[str, float | None] | None = None,
) -> Logged:
    """Log a fit once; one that is there under the same identity is found, not made again."""
    one = fitted.recalibration
    named = recalibration_of(one["of"], one["curve"]) if one else ""
    identity = version_identity(spec, data, kind, named)
    document = lineage_of(spec, data, fitted, kind, parameters_in(lineage, spec.name))
    tags = {**version_tags(spec, data, fitted, kind), **lineage_tags(document), **lineage}
    own = {"rounds": fitted.rounds, "rows": fitted.rows, "seed": spec.trainer.seed}
    measured = {"fit_seconds": fitted.seconds, **fitted.cost.rounded(), **(metrics or {})}
    run_id = tracking.log_fit(
        spec.name,
        fitted.model,
        kind=kind,
        identity=identity,
        params={**apart(spec.trainer.hyperparameters(), own), **own},
        history=apart(fitted.history, measured),
        metrics=measured,
        tags=tags,
        example=Scorer(fitted.model, code=spec.code).encoding.coded(rows.select(data.features).head(5)),
        artifacts={FILE: document.to_bytes()},
        file=(FILE_PREFIX if one else "") + trainer_kind(spec.trainer.kind).file,
    )
    return Logged(run_id, identity, tags)


def version_tags(spec: ModelSpec, data: TrainingData, fitted: Fit, kind: Kind) -> dict[str, str]:
    """What a version says of itself: its rows, its rules, its code, and what it cost."""
    trained_until = matured_until(spec, data.now) if kind == "refit" else hold_out_start(spec, data)
    return {
        "kind": kind,
        "rounds": str(fitted.rounds),
        "rows": str(fitted.rows),
        "week": data.partition,
        "trained_until": trained_until.isoformat(),
        "training_set": data.digest,
        "feature_service": spec.feature_service,
        "feature_definitions": data.feature_definitions,
        "code_version": code_version(spec),
        "spec": spec_digest(spec),
        "owner": spec.owner,
        "trainer": spec.trainer.kind,
        "compute": fitted.compute,
        **({"recalibrates": str(fitted.recalibration["version"])} if fitted.recalibration else {}),
        **{name: str(value) for name, value in fitted.cost.rounded().items()},
    }


def lineage_tags(document: Lineage) -> dict[str, str]:
    """Which lineage is the version's, by its hash, and the revision of the code, which people know it by."""
    clean = {True: "clean", False: "changed", None: "unknown"}[document.code["clean"]]
    return {LINEAGE: document.sha256, "revision": document.code["revision"], "tree": clean}


def challenger_record(
    data: TrainingData, fitted: Fit, version: Version, origin: Mapping[str, str]
) -> Challenger:
    """What the evaluation and the refit need to know of the newest challenger."""
    parameters = parameters_in(origin, "the newest search")
    return Challenger(
        **({} if parameters is None else {PARAMETERS: parameters}),
        partition=data.partition,
        now=data.now.isoformat(),
        version=version.number,
        rounds=fitted.rounds,
        rows=fitted.rows,
        training_set=data.digest,
        importance=fitted.importance,
    )


def challenger_name(spec: ModelSpec) -> str:
    """Where the record of the newest challenger lies in the lake."""
    return f"{spec.name}/challenger"
