"""What decides the content of each stage of a model, by partition: its code, its rules, and what it is made from.

Of data only hashes in manifests are read, so that a fingerprint costs milliseconds. Descriptions, owners, automation
and the ends of the calendar decide nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from mlops_assets.ml.provenance.code_digest import code_digest
from mlops_assets.ml.provenance.digest import Fingerprint, digest
from mlops_assets.ml.training.kinds import readers, trainer_kind
from mlops_assets.spec.decides import CODE, code_of, of_a_stage, of_a_training_set
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.held import reaching
from mlops_assets.stages.label_state import label_state
from mlops_assets.stages.online import basis
from mlops_assets.stages.outcomes import OUTCOMES, outcome_parts
from mlops_assets.stages.partition_labels import rows_sha256
from mlops_assets.stages.served import SCORER
from resources.clock import Clock
from resources.features.store import FeatureStoreResource, ViewSource
from resources.lake.briefs import hashes_of
from resources.lake.lake import Lake
from resources.lake.names import PUSHED
from resources.lake.pushed_span import part_now
from resources.records.deployment import Deployment
from resources.serving.log import REQUEST, REQUESTED_AT, SERVICE
from resources.systems import Systems
from resources.tracking.tracking import Version

NOTHING = "none"


def join_code(spec: ModelSpec) -> str:
    """Digest of what joins a partition: the join, the offline store, and the function that makes the entity rows."""
    return code_digest(code_of("training_set", spec))


def fit_code(spec: ModelSpec) -> str:
    """Digest of what turns a training set into a model: the fit, the spec's trainer, and a loop of the user's own."""
    return code_digest([*code_of("fit", spec), *trainer_kind(spec.trainer.kind).fit_code])


def recalibration_code() -> str:
    """Digest of what recalibrates a champion's scores."""
    return code_digest(CODE["recalibration"])


def judge_code(spec: ModelSpec) -> str:
    """Digest of what judges a challenger."""
    return code_digest([*code_of("evaluation", spec), *_scoring(spec, [])])


def score_code(spec: ModelSpec, versions: Iterable[Version] = ()) -> str:
    """Digest of what scores a partition with these versions."""
    return code_digest([*code_of("predictions", spec), *_scoring(spec, versions)])


def batch_code(spec: ModelSpec, versions: Iterable[Version] = ()) -> str:
    """Digest of what scores rows in batches with these versions."""
    return code_digest([*code_of("batch", spec), *_scoring(spec, versions)])


def report_code(report: str) -> str:
    """Digest of what writes a partition's `performance` or `drift`."""
    return code_digest(CODE[report])


def skew_code() -> str:
    """Digest of what replays logged requests and compares them."""
    return code_digest(CODE["skew"])


def of_training_partition(
    spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, name: str
) -> Fingerprint:
    """The partition's rows of the prediction table, and of every view what may have been known of them within its life."""
    time = spec.prediction.time
    moments = lake.read(spec.prediction.table, [name], [time])[time]
    span = spec.calendar.partition(name)
    first, last = moments.min() or span.start, moments.max() or span.end
    assert isinstance(first, datetime) and isinstance(last, datetime)
    views = feature_store.view_tables(spec.feature_service)
    rules = [of_a_training_set(spec.model_dump(mode="json")), (span.start, span.end)]
    return {
        "code": join_code(spec),
        "rules": digest(rules),
        "feature definitions": feature_store.definition_version(spec.feature_service),
        spec.prediction.table: lake.manifest(spec.prediction.table, name).sha256,
        **({OUTCOMES: digest(outcome_parts(spec, lake).get(name, {}))} if spec.label.table else {}),
        **{view.table: digest(_reach(spec, lake, view, first, last)) for view in views},
    }


def of_challenger(spec: ModelSpec, hashes: dict[str, str], definitions: str, rules: str) -> Fingerprint:
    """All partitions that a training at the end of the newest of them uses."""
    return {
        "code": fit_code(spec),
        "rules": rules,
        "feature definitions": definitions,
        **{f"{spec.name}/training_set {partition}": sha256 for partition, sha256 in hashes.items()},
    }


def of_deployment(
    spec: ModelSpec, hashes: dict[str, str], definitions: str, rules: str, evaluation: str
) -> Fingerprint:
    """What the refit is made from, the evidence that allows it, and what the endpoint and the drift reports need of it."""
    return {
        **of_challenger(spec, hashes, definitions, rules),
        "evaluation": evaluation,
        "endpoint": _rules(spec, None, "deployment"),
    }


def of_evaluation(
    spec: ModelSpec, challenger: Version, champion: Version | None, anchor: str | None, training_set: str
) -> Fingerprint:
    """The models, and the rows they are judged on."""
    return {
        "code": judge_code(spec),
        "rules": _rules(spec, None, "evaluation"),
        "challenger": f"{challenger.number} {challenger.sha256}",
        "champion": f"{champion.number} {champion.sha256}" if champion else NOTHING,
        "anchor": anchor or NOTHING,
        f"{spec.name}/training_set": training_set,
    }


def of_predictions(spec: ModelSpec, lake: Lake, versions: Sequence[Version], name: str) -> Fingerprint:
    """The partition's rows, and every version that was champion by the last of them, since when."""
    table, time = f"{spec.name}/training_set", spec.prediction.time
    last = lake.read(table, [name], [time])[time].max()
    promoted = [(at, v.number, v.sha256) for v in versions for at in v.promotions]
    champions = sorted(one for one in promoted if isinstance(last, datetime) and one[0] <= last)
    used = {number for _, number, _ in champions}
    return {
        "code": score_code(spec, [v for v in versions if v.number in used]),
        "rules": _rules(spec, name, "predictions"),
        table: rows_sha256(lake.manifest(table, name)),
        "champions": digest(champions),
    }


def of_batch(
    spec: ModelSpec, systems: Systems, scored_by: Deployment, as_of: datetime, rows: Mapping[str, str]
) -> Fingerprint:
    """The rows, the version that scores them, and of every view what may have been known of them by then."""
    lake, feature_store = systems.lake, systems.feature_store
    version = systems.tracking.version(spec.name, int(scored_by.version))
    views = feature_store.view_tables(spec.feature_service)
    return {
        "code": batch_code(spec, [version]),
        "rules": _rules(spec, None, "batch"),
        "as of": str(as_of),
        "version": f"{scored_by.version} {scored_by.model_sha256}",
        "rows": digest(dict(rows)),
        "feature definitions": feature_store.definition_version(spec.feature_service),
        **{view.table: digest(_reach(spec, lake, view, as_of, as_of)) for view in views},
    }


def of_report(
    spec: ModelSpec,
    lake: Lake,
    report: str,
    name: str,
    reference: Any = None,
    clock: Clock | None = None,
) -> Fingerprint:
    """The partition's rows and predictions, which features were online, for performance its labels, for drift what it is compared with."""
    manifests = {table: lake.manifest(table, name) for table in _reported_on(spec)}
    return {
        "code": report_code(report),
        "rules": _rules(spec, name, report),
        **{table: rows_sha256(manifest) for table, manifest in manifests.items()},
        **({"labels": label_state(spec, lake, name, clock).content} if report == "performance" else {}),
        **{key: str(value) for key, value in basis(spec, lake, name).items()},
        "reference": digest(reference),
    }


def _reported_on(spec: ModelSpec) -> list[str]:
    return [f"{spec.name}/{part}" for part in ("training_set", "predictions")]


def of_skew(
    spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, log: pl.DataFrame
) -> Fingerprint:
    """The logged requests by their ids, the definitions of now, and of every view what the replay may read."""
    decides = {"code": skew_code(), "requests": digest(log[REQUEST].to_list() if log.width else NOTHING)}
    if log.is_empty():
        return decides
    first, last = log[REQUESTED_AT].min(), log[REQUESTED_AT].max()
    assert isinstance(first, datetime) and isinstance(last, datetime)
    served = log[SERVICE].unique().to_list()
    defined = [name for name in feature_store.services() if name in served]
    views = {view.table: view for name in defined for view in feature_store.view_tables(name)}
    versions = {name: feature_store.definition_version(name) for name in defined}
    tables = {table: digest(_reach(spec, lake, view, first, last)) for table, view in views.items()}
    return {**decides, "feature definitions": digest(versions), **tables}


def _rules(spec: ModelSpec, partition: str | None, stage: str) -> str:
    """Digest of what decides a stage of the spec, and of the moments that a partition lies between."""
    span = spec.calendar.partition(partition) if partition else None
    bounds = (span.start, span.end) if span else spec.calendar.timezone
    return digest([of_a_stage(stage, spec.model_dump(mode="json")), bounds])


def _reach(spec: ModelSpec, lake: Lake, view: ViewSource, first: datetime, last: datetime) -> dict[str, str]:
    """Partitions and pushed files of a view that may hold the value of a row between two moments, with their hashes."""
    since = first - view.ttl if view.ttl else None
    names, known = reaching(lake, view.table, spec.calendar, since, last), hashes_of(lake, view.table)
    hashes = {name: known[name] for name in names}
    pushed = part_now(lake.folder(view.table), since, last)
    return hashes | ({PUSHED: pushed.sha256} if pushed else {})


def _scoring(spec: ModelSpec, versions: Iterable[Version]) -> list[str]:
    kinds = {spec.trainer.kind, *(version.tags.get("trainer", spec.trainer.kind) for version in versions)}
    known = readers(spec.code)
    told_apart = [recognises for kind in known for recognises in kind.scoring_code[:1]]
    used = [kind.reader for kind in known if kind.name in kinds]
    return [SCORER, *told_apart, *used, *spec.trainer.scoring_code]
