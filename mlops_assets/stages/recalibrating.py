"""Recalibrating: a challenger that is the champion's own bytes, its scores moved by what labels since its training show.

It learns from rows that the champion has not seen and that the gate does not judge by: those whose labels were known when the
held-out days began. Once it passed, the same curve is fitted again on all rows since the champion's training. Its trees, and
so the features that drift is measured against, stay the champion's.
"""

import time
from collections.abc import Mapping
from typing import Any, cast

import polars as pl

from mlops_assets.ml.cost import measured
from mlops_assets.ml.labels import known_at
from mlops_assets.ml.monitoring.recalibration import Curve, CurveError, in_words, needed_curve, recalibration
from mlops_assets.ml.provenance.digest import Fingerprint
from mlops_assets.ml.training.fit import Fit, Scorer
from mlops_assets.ml.training.recalibrated import wrapped
from mlops_assets.ml.training.shards import Files
from mlops_assets.ml.tuning.trials import with_found
from mlops_assets.promotion.records import record_trained
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.calibrating import prediction_days
from mlops_assets.stages.errors import NotReadyError, OtherRulesError, RecalibrationError
from mlops_assets.stages.fingerprints import recalibration_code
from mlops_assets.stages.reference import keep_reference, reference_name
from mlops_assets.stages.search_results import origin_of, parameters_in
from mlops_assets.stages.training import (
    challenger_name,
    challenger_record,
    hold_out_start,
    log_fit,
    training_files,
)
from mlops_assets.stages.training_set import (
    TrainingData,
    newest_partition,
    refuse_late_labels,
    training_data,
)
from resources.lake.lake import Lake
from resources.records.attempts import Attempt, Challenger, Recalibrates
from resources.records.documents import load_record, save_record
from resources.records.references import Reference
from resources.systems import Systems
from resources.tracking.tracking import Tracking, Version

ORDER_ALONE = {"auc"}
"""Metrics that a recalibration leaves exactly as they are."""


def recalibrate(
    spec: ModelSpec, systems: Systems, lineage: Mapping[str, str]
) -> tuple[Version, Fit, TrainingData]:
    """Make the champion's recalibration the challenger, and put it on record in the audit log.

    Raises RecalibrationError where labels do not ask for one, or nobody could tell by the gate that it is better;
    NotReadyError where there is no champion or no row since its training; OtherRulesError where it follows other rules.
    """
    lake, tracking = systems.lake, systems.tracking
    champion = champion_to_mend(spec, lake, tracking)
    spec = as_fitted(spec, champion)
    data = training_data(spec, lake, newest_partition(spec, lake))
    refuse_late_labels(spec, lake, data)
    _refuse_other_features(spec, data, champion)
    content = tracking.load(champion)
    fitted = recalibrated_fit(spec, data, champion, content)
    version = log_recalibration(spec, tracking, data, fitted, champion, "challenger", lineage)
    tracking.set_alias(spec.name, "challenger", version.number)
    save_record(lake, challenger_name(spec), _record(data, fitted, version, champion))
    record_trained(systems.audit, spec, version, data.hashes, data.now)
    return version, fitted, data


def recalibration_decided_by(spec: ModelSpec, systems: Systems) -> Fingerprint:
    """What decides a recalibration made now: the champion, the rows since its training, and the code."""
    lake = systems.lake
    champion = champion_to_mend(spec, lake, systems.tracking)
    data = training_data(spec, lake, newest_partition(spec, lake))
    return {
        "code": recalibration_code(),
        "recalibrates": champion.sha256,
        "level": str(spec.gate.alpha),
        "rules": spec_digest(as_fitted(spec, champion)),
        **{f"{spec.name}/training_set {partition}": sha256 for partition, sha256 in data.hashes.items()},
    }


def champion_to_mend(spec: ModelSpec, lake: Lake, tracking: Tracking) -> Version:
    """The champion, or the one before where the champion is what came of this very recalibration.

    Raises where there is none, or where a recalibration of it could never pass or means nothing.
    """
    if spec.task != "classification":
        raise RecalibrationError(
            f"{spec.name} predicts by {spec.task}, and only a classifier's scores are chances: there is nothing to recalibrate; train again"
        )
    if spec.gate.metric in ORDER_ALONE and spec.gate.evidence == "superiority":
        raise RecalibrationError(
            f"{spec.name}: gate.metric={spec.gate.metric} with gate.evidence=superiority sees the order of scores alone, which a "
            "recalibration leaves as it is, so that it could never pass: set gate.metric to log_loss or brier, or train again"
        )
    champion = tracking.champion(spec.name)
    if champion is None:
        raise NotReadyError(
            f"{spec.name} has no champion to recalibrate: materialize {spec.name}/model first"
        )
    candidate = load_record(lake, Challenger, challenger_name(spec))
    if candidate is None or candidate.recalibrates is None:
        return champion
    is_of_it = champion.tags.get("challenger") == str(candidate.version)
    repeated = is_of_it and candidate.partition == newest_partition(spec, lake)
    return tracking.version(spec.name, candidate.recalibrates.version) if repeated else champion


def as_fitted(spec: ModelSpec, champion: Version) -> ModelSpec:
    """The spec with the champion's own parameters; raises OtherRulesError where it was fitted by other rules than the spec has now."""
    parameters = parameters_in(champion.tags, f"{spec.name} version {champion.number}")
    now = with_found(spec, parameters) if parameters else spec
    if champion.tags.get("spec") != spec_digest(now):
        raise OtherRulesError(
            f"{spec.name}: the spec changed since champion {champion.number} was fitted, and a recalibration would keep the model "
            f"of before: train by the spec of now, materialize {spec.name}/model"
        )
    return now


def recalibrated_fit(
    spec: ModelSpec,
    data: TrainingData,
    champion: Version,
    content: bytes,
    curve: Curve | None = None,
) -> Fit:
    """The champion's bytes, `content`, with a recalibration in front, as a fit; nothing of them is fitted again.

    Without `curve` the labels decide which it takes, on rows that the gate will not judge by; with one it is fitted on all rows.
    """
    started = time.perf_counter()
    with measured() as cost:
        rows = rows_since(spec, data, champion, hold_out=curve is None)
        name = f"version {champion.number}"
        score = Scorer(content, code=spec.code, kind=champion.trainer, name=name).predict(rows)
        label, day = rows[LABEL].to_numpy(), prediction_days(spec, rows).to_numpy()
        try:
            curve = curve or needed_curve(label, score, day, spec.gate.alpha)
            one = recalibration(label, score, day, curve)
        except CurveError as error:
            raise RecalibrationError(f"{spec.name} {name} is not recalibrated: {error}") from error
    source = {"version": champion.number, "of": champion.sha256, "curve": curve}
    return Fit(
        model=wrapped(content, one),
        rounds=int(champion.tags["rounds"]),
        history={},
        importance={},
        rows=rows.height,
        seconds=time.perf_counter() - started,
        compute=f"version {champion.number} recalibrated: {in_words(one)}",
        cost=cost,
        layout={"workers": 1, "threads": 1},
        recalibration={**source, "slope": one.slope, "intercept": one.intercept, "rows": rows.height},
    )


def rows_since(spec: ModelSpec, data: TrainingData, champion: Version, hold_out: bool) -> pl.DataFrame:
    """Labelled rows that the champion has not seen; with `hold_out`, of those only what was known when the held-out days began.

    Where labels have a horizon, what was predicted before these days, and whose label is known by now.
    """
    since, start, late = champion.trained_until, hold_out_start(spec, data), spec.label.waits is not None
    if since is None or (hold_out and since >= start):
        raise NotReadyError(
            f"{spec.name}: champion {champion.number} was trained until {since}, and the held-out days begin {start}: there is no row "
            "between them to recalibrate by; wait for more partitions"
        )
    names = [name for name in data.hashes if spec.calendar.partition(name).end > since]
    paths = tuple(data.lake.address(data.table, name) for name in names)
    known_by = start if hold_out and not late else data.now
    rows = Files(paths, known_by, since, start if hold_out and late else None).read(spec)
    return rows if late else rows.filter(known_at(spec) > since)


def log_recalibration(
    spec: ModelSpec,
    tracking: Tracking,
    data: TrainingData,
    fitted: Fit,
    champion: Version,
    kind: Any,
    lineage: Mapping[str, str],
) -> Version:
    """Log a recalibration once and register it, as a fit is."""
    example = training_files(spec, data).head(spec, 5)
    tags = {**lineage, **origin_of(champion)}
    return log_fit(spec, tracking, data, fitted, example, kind, tags).register(spec, tracking)


def refitted(spec: ModelSpec, tracking: Tracking, data: TrainingData, of: Recalibrates) -> Fit:
    """The curve of a challenger that passed, fitted on all rows since the training of the version that it recalibrates."""
    version = tracking.version(spec.name, of.version)
    return recalibrated_fit(spec, data, version, tracking.load(version), cast("Curve", of.curve))


def inherit_reference(
    spec: ModelSpec, lake: Lake, data: TrainingData, files: Files, version: Version, attempt: Attempt
) -> None:
    """Keep what the recalibrated version was trained on as the reference of this one, with the scores that it gives now."""
    before = int(version.tags["recalibrates"])
    profile, table = load_record(lake, Reference, reference_name(spec, before)), f"{spec.name}/reference"
    if profile is None or not lake.exists(table, f"{before:06d}"):
        return keep_reference(spec, lake, data, files, version, attempt)
    scores = {"scores": attempt.hold_out_scores, "metrics": attempt.challenger.metrics}
    lake.write(table, lake.read(table, [f"{before:06d}"]), f"{version.number:06d}")
    ours = Reference.model_validate({**profile.content(), **scores})
    save_record(lake, reference_name(spec, version.number), ours)
    return None


def _record(data: TrainingData, fitted: Fit, version: Version, champion: Version) -> Challenger:
    of = Recalibrates(
        version=champion.number, sha256=champion.sha256, curve=str(fitted.recalibration["curve"])
    )
    record = challenger_record(data, fitted, version, origin_of(champion))
    return Challenger.model_validate({**record.content(), "recalibrates": of.content()})


def _refuse_other_features(spec: ModelSpec, data: TrainingData, champion: Version) -> None:
    if champion.tags.get("feature_definitions") != data.feature_definitions:
        raise OtherRulesError(
            f"{spec.name}: {spec.feature_service} is defined otherwise than when champion {champion.number} was fitted: train by the "
            f"definitions of now, materialize {spec.name}/model"
        )
