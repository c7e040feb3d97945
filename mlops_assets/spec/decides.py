"""What decides each stage of a model: the fields of a spec, by dotted name, and the code, by import path, listed once.

Identities of versions, fingerprints, what is skipped, lineage and `mlops verify` all read these lists. A field that is not listed
(who approves, how often is retrained, where the calendar ends) makes no other training set, version or report.
Which partitions a model learns from is no rule but data: identities have the hash of every one of them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mlops_assets.spec.earlier import as_now
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import AnyTrainer, spec_kinds, trainer_code

ROWS = (
    *("features", "feature_service", "calendar.timezone"),
    *(f"prediction.{name}" for name in ("table", "key", "time", "rows", "request")),
    *("label.column", "label.table", "label.known_at", "trainer.categories"),
)
"""Which rows and columns there are to learn from."""

TRAINING_SET = (*ROWS, "slices", "gate.cluster")
"""What a joined partition holds: columns that only a judge or a report splits by are in it too."""

TRAINER = (
    *("kind", "rounds", "early_stopping_rounds", "validation_share", "seed"),
    *("threads", "compute", "cells_in_process", "workers", "gpu", "checkpoint_every"),
)
"""Of what all trainers share; threads, workers and checkpoints too, because the same bytes need the same ones.

Of the fields that only one kind has each decides.
"""

FIT = (
    *ROWS,
    *("task", "label.above", "label.delay", "label.within", "label.horizon"),
    *("window.days", "window.hold_out_days"),
    *(f"trainer.{name}" for name in TRAINER),
)
"""What the bytes of a model follow from; a search counts by the parameters it found, which are the trainer's by then."""

COMPARED = ("drift.sample_rows", "drift.psi", "drift.columns")
"""What of `drift` decides beside the drift report itself: when an alarm is raised is no part of a deployment."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "training_set": TRAINING_SET,
    "fit": FIT,
    "evaluation": ("prediction", "label", "slices", "task", "window", "gate", "trainer"),
    "deployment": ("prediction", "deployment", *COMPARED, "features", "feature_service", "owner"),
    "predictions": ("prediction", "task"),
    "batch": ("prediction", "batch.key", "task", "features", "feature_service"),
    "performance": ("prediction", "label", "slices", "task", "gate", *COMPARED, "trainer"),
    "drift": ("prediction", "label", "slices", "task", "gate", "drift", "trainer", "window.days"),
}
"""Stage -> fields, or parts of the spec with all of their fields; a deployment's come on top of its fit's.

The time zone decides all of them, through the moments that a partition lies between.
"""

HASHED_AS = {"calendar": "weeks"}
"""Parts that had another name when the first identities were made, under which they are hashed for ever."""

CODE: Mapping[str, tuple[str, ...]] = {
    "training_set": (
        "mlops_assets.stages.training_set:join_partition",
        "feature_repo.offline_store.store:PolarsOfflineStore",
    ),
    "fit": (
        "mlops_assets.stages.training_set:training_data",
        "mlops_assets.stages.training:training_files",
        "mlops_assets.ml.training.fit:fit",
        "mlops_assets.ml.training.shards:Files",
    ),
    "recalibration": ("mlops_assets.stages.recalibrating:recalibrated_fit",),
    "evaluation": ("mlops_assets.stages.judging:judge_challenger",),
    "predictions": ("mlops_assets.stages.scoring:score_partition",),
    "batch": (
        "mlops_assets.stages.batch_scoring:score_batch",
        "resources.features.store:FeatureStoreResource",
        "feature_repo.offline_store.store:PolarsOfflineStore",
    ),
    "performance": ("mlops_assets.stages.reporting:write_performance",),
    "drift": ("mlops_assets.stages.reporting:write_drift",),
    "skew": (
        "mlops_assets.stages.skew_replay:replay",
        "feature_repo.offline_store.store:PolarsOfflineStore",
    ),
}
"""Stage -> where its code begins; all that it calls counts too, and the trainer and what a spec names (`NAMED`)."""

NAMED: Mapping[str, Callable[[ModelSpec], Sequence[str | None]]] = {
    "training_set": lambda spec: [spec.prediction.rows],
    "fit": lambda spec: spec.trainer.code,
    "batch": lambda spec: [spec.prediction.rows, spec.prediction.request_model],
}
"""Stage -> the functions and classes of one's own that a spec names for it."""

OF_A_VERSION = ("training_set", "fit")
"""The stages that a version's bytes follow from."""


def code_of(stage: str, spec: ModelSpec) -> list[str]:
    """Where the code of a stage begins, of the platform and of one's own."""
    return [*CODE[stage], *named_code(spec, [stage])]


def named_code(spec: ModelSpec, stages: Iterable[str] = OF_A_VERSION) -> list[str]:
    """The functions and classes of one's own that a spec names for these stages, each once."""
    given = (NAMED[stage](spec) for stage in stages if stage in NAMED)
    return list(dict.fromkeys(path for paths in given for path in paths if path))


def version_code(spec: ModelSpec) -> list[str]:
    """What a version's bytes follow from beside the platform: what the spec names, and a trainer from elsewhere."""
    return list(dict.fromkeys([*named_code(spec), *trainer_code(spec.trainer)]))


def of_a_stage(stage: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a spec's content (JSON values) that decides a stage."""
    return _part(spec, FIELDS[stage])


def fit_fields() -> tuple[str, ...]:
    """`FIT`, and the fields of every kind of trainer that is installed."""
    own = {name for kind in spec_kinds().values() for name in _own(kind.spec.model_fields)}
    return (*FIT, *(f"trainer.{name}" for name in sorted(own)))


def of_a_training_set(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a spec's content (JSON values) that decides what a joined partition holds."""
    return _part(spec, TRAINING_SET)


def of_a_fit(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a spec's content (JSON values) that a model's bytes follow from."""
    own = [f"trainer.{name}" for name in _own(spec.get("trainer", {}))]
    return _part(spec, [*FIT, *own])


def spec_digest(spec: ModelSpec) -> str:
    """Hash of the rules that decide a fit."""
    rules = of_a_fit(spec.model_dump(mode="json"))
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """By dotted name, the fields in which two contents of a spec (JSON values) differ: what each was and is."""
    old, new = _flat(as_now(before)), _flat(as_now(now))
    names = sorted({*old, *new})
    return {name: [old.get(name), new.get(name)] for name in names if old.get(name) != new.get(name)}


def _flat(content: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Fields by dotted name, so that a change names exactly what changed."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        inner = isinstance(value, dict) and value
        flat |= _flat(value, f"{above}{name}.") if inner else {f"{above}{name}": value}
    return flat


def _own(fields: Iterable[str]) -> list[str]:
    """Those that only one kind of trainer has."""
    return [name for name in fields if name not in AnyTrainer.model_fields]


def _part(content: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    part: dict[str, Any] = {}
    content = as_now(content)
    for path in paths:
        name, _, below = path.partition(".")
        hashed = HASHED_AS.get(name, name)
        if name not in content:
            continue
        if not below:
            part[hashed] = content[name]
        elif below in content[name] and _decides_a_fit(path, content[name][below]):
            part.setdefault(hashed, {})[below] = content[name][below]
    return part


def _decides_a_fit(path: str, value: Any) -> bool:
    """A request of its own class is only the endpoint's; one of columns says what a model is given."""
    return path != "prediction.request" or isinstance(value, Mapping)
