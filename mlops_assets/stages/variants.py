"""A variant of a model, fitted and put through the gate against the champion on the same held-out rows.

Nothing is logged, registered or written to the lake: who wants to keep a variant logs its fit, or writes it into the spec.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.contender import Contender, PromotionError
from mlops_assets.ml.judging.gate import Verdict, judge
from mlops_assets.ml.judging.leaks import LeakError, refuse_leaks, strongest
from mlops_assets.ml.training.fit import Fit, fit
from mlops_assets.ml.training.shards import Files
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import AnyTrainer, spec_kind
from mlops_assets.stages.entity_rows import entity_rows
from mlops_assets.stages.errors import StageError
from mlops_assets.stages.judging import anchor_on_trial, hold_out, seen_until
from mlops_assets.stages.opponents import opponents
from mlops_assets.stages.search_results import training_spec
from mlops_assets.stages.training import hold_out_start, training_files
from mlops_assets.stages.training_set import TrainingData, newest_partition, training_data
from resources.features.store import FeatureStoreResource
from resources.lake.lake import Lake
from resources.systems import Systems
from resources.tracking.tracking import Version

SHARED = frozenset(AnyTrainer.model_fields) - {"kind"}
"""Fields of a trainer that mean the same to every kind."""


class VariantError(StageError):
    """The variant that was asked for cannot be tried."""


@dataclass(frozen=True)
class Variant:
    """A variant that can be fitted: its spec, the data of the model that it varies, and the rows that it may learn from."""

    spec: ModelSpec
    data: TrainingData
    rows: Files


@dataclass(frozen=True)
class Tried:
    """A variant's fit, the champion's fit that it met (None: there is no champion), the held-out rows, and the verdict."""

    fitted: Fit
    champion: Version | None
    rows: pl.DataFrame
    verdict: Verdict


def variant(spec: ModelSpec, lake: Lake, trainer: Mapping[str, Any], said: str = "") -> Variant:
    """The variant with other trainer settings, at the newest joined partition; `said` is how the user wrote them.

    What a search found counts, where the spec says so, and the changes come on top of it.
    """
    with_trainer(spec, trainer, said)
    if not lake.partitions(f"{spec.name}/training_set"):
        raise VariantError(
            f"{spec.name} has no training set yet: `make run`, or materialize {spec.name}/training_set"
        )
    partition = newest_partition(spec, lake)
    varied = with_trainer(training_spec(spec, lake, partition)[0], trainer, said)
    data = training_data(varied, lake, partition)
    return Variant(varied, data, training_files(varied, data))


def tried(one: Variant, systems: Systems) -> Tried:
    """Fit the variant and judge it; raises VariantError where a feature tells the label, or nothing could be shown."""
    spec, data = one.spec, one.data
    try:
        refuse_leaks(strongest(one.rows, spec, data.features), spec)
        fitted = fit(one.rows, spec, data.features, reach=systems.compute or None)
        against = opponents(spec, systems.tracking, systems.audit, data, attempt=False)
        champion, beaten = against.champion, None
        if champion:
            content = systems.tracking.load(champion)
            beaten = Contender.of(f"version {champion.number}", content, spec, seen_until(champion))
        ours = Contender.of("the variant", fitted.model, spec, hold_out_start(spec, data))
        rows = hold_out(spec, data)
        verdict = judge(rows, ours, beaten, spec, anchor_on_trial(spec, against.anchor))
    except (LeakError, PromotionError, DatasetError) as error:
        raise VariantError(str(error)) from error
    return Tried(fitted, champion, rows, verdict)


def with_trainer(spec: ModelSpec, changes: Mapping[str, Any], said: str = "") -> ModelSpec:
    """The spec with other settings of its trainer: a field of the trainer where there is one, else a parameter of its library.

    Another `kind` takes over what all kinds share, such as categories and rounds, and begins with its own parameters.
    """
    before = spec.trainer.model_dump()
    try:
        kind = spec_kind(changes.get("kind", before["kind"]))
        same, fields = kind.name == before["kind"], kind.spec.model_fields
        trainer = before if same else {name: before[name] for name in SHARED}
        parameters = dict(trainer.pop("parameters", {}))
        for name, value in changes.items():
            if name == "parameters":
                parameters |= _mapping(value)
            else:
                (trainer if name in fields else parameters)[name] = value
        trainer |= {"parameters": parameters} if "parameters" in fields else parameters
        return ModelSpec.model_validate(spec.model_dump() | {"trainer": trainer})
    except ValueError as error:
        raise VariantError(f"{said or dict(changes)}: {error}") from error


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"parameters={value!r} is no mapping: give names and values")


def with_features(
    one: Variant, lake: Lake, store: FeatureStoreResource, service: str, folder: Path
) -> Variant:
    """The variant given the features of another service, joined for the same rows by the platform's own join.

    The training set with them beside the model's own features is written below `folder`, so that the champion scores the
    very rows that the variant is judged on. Raises VariantError where a feature has the name of another column.
    """
    spec, data, scratch = one.spec, one.data, Lake(root=str(folder))
    if store.definition_version(spec.feature_service) != data.feature_definitions:
        raise VariantError(
            f"{data.table} was joined by other definitions of {spec.feature_service} than the code has now: materialize it again"
        )
    own, given = store.inputs(spec.feature_service).features, store.inputs(service).features
    same = {name for view, names in given.items() for name in names if name in own.get(view, ())}
    names = store.feature_columns(service)
    for partition in data.hashes:
        rows = lake.read(data.table, [partition])
        if meeting := sorted(({*names} - same) & {*rows.columns}):
            raise VariantError(
                f"{', '.join(meeting)} of {service} would stand for another column of {data.table}: leave it out"
            )
        questions = entity_rows(spec, lake.read(spec.prediction.table, [partition]))
        joined = store.historical(service, questions, spec.prediction.time)
        more = joined.select(*spec.prediction.key, *(name for name in names if name not in same))
        if joined.height != rows.height or more.join(rows, on=spec.prediction.key, how="anti").height:
            raise VariantError(
                f"{data.table}@{partition} has other rows than {spec.prediction.table} by now: materialize it again"
            )
        scratch.write(
            data.table, rows.join(more, on=spec.prediction.key, how="left", maintain_order="left"), partition
        )
    data = replace(data, lake=scratch, features=list(dict.fromkeys([*spec.row_columns, *names])))
    return Variant(spec, data, training_files(spec, data))
