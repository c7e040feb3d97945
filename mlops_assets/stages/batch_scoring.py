"""Batch scoring: rows of a table scored by the version that answers now, through the endpoint's own predictor.

Not `stages/scoring.py`, which judges: that scores each labelled row from its training set's features by the champion of the
row's own time, for reports. This is for use: the rows need no label, are asked as requests are, as of one moment, and get the
endpoint's numbers to the last bit.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.ml.training.ladder import place
from mlops_assets.spec.batch import AS_OF, MISSING, REFUSED, Batch
from mlops_assets.spec.columns import STORED_SCORE, STORED_VERSION
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.batch_rows import BatchRows
from mlops_assets.stages.deploying import endpoint_record
from mlops_assets.stages.errors import NotReadyError, StageError
from mlops_assets.stages.served import code_of
from resources.clock import Clock
from resources.compute.over_ray_data import ORDER, mapped
from resources.features.store import FeatureStoreResource
from resources.features.vectors import UTC_TIME
from resources.lake.lake import Manifest
from resources.records.deployment import Deployment
from resources.serving.live_models import LiveModels, Served
from resources.serving.reached import reached
from resources.systems import Systems

PART = 10_000
"""Rows that are in memory as requests at once."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Predictor:
    """A version as the endpoint loads it, and the moment as of which it is asked; can be sent to another process."""

    spec: ModelSpec
    record: Deployment
    folder: Path
    features: FeatureStoreResource
    clock: Clock
    as_of: datetime
    in_the_past: bool = False
    """Whether the online store has left the moment behind, so that features are joined from the offline store."""

    @cached_property
    def model(self) -> Served:
        """The model, loaded when it is first asked for."""
        from resources.serving.in_batches import then

        version = _models(self.spec, self.folder, self.features, self.clock).alone(self.record)
        return then(version) if self.in_the_past else version

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Scores of some rows, as `resources.serving.in_batches.scored` gives them."""
        from resources.serving.in_batches import scored

        return scored(self.model, rows, self.as_of)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "model"}


@dataclass(frozen=True)
class Batched:
    """What a batch came to: what was written, rows without a score, share of features without a value, seconds, and where."""

    manifest: Manifest
    refused: int
    missing: float
    seconds: float
    where: str


def predictor(spec: ModelSpec, systems: Systems, partition: str | None) -> Predictor:
    """What scores a partition, as of its end; without one, as of the endpoint's now.

    Raises NotReadyError where no version answers, the model is retired, or its online store has not come that far.
    """
    folder, clock = systems.endpoint.looked(), systems.clock
    record = _answering(spec, systems)
    until = max((m for m in (reached(folder, spec.use_case), record.moment) if m), default=None)
    end = spec.calendar.partition(partition).end if partition else None
    if until is None or (end and until < end):
        raise NotReadyError(
            f"the online store of {spec.use_case} has {f'come to {until}' if until else 'nothing yet'}, and {spec.name} is to be "
            f"asked as of {end or 'now'}: materialize the asset {spec.use_case}/features/online first"
        )
    models = _models(spec, folder, systems.feature_store, clock)
    now = models.now(models.alone(record))
    past = end is not None and end != now
    return Predictor(spec, record, folder, systems.feature_store, clock, end or now, past)


def score_batch(
    predict: Predictor,
    rows: BatchRows,
    systems: Systems,
    partition: str | None = None,
    progress: Progress | None = None,
) -> Batched:
    """Score the rows and write them as `<model>/batch_predictions`; many are scored over Ray Data, with the same bytes.

    The table has the key's columns, `as_of`, `score` (null where `refused` says why the endpoint would not answer the row) and
    `model_version`, in the rows' order. Raises StageError where a key column is missing or every row is refused.
    """
    started, spec = time.perf_counter(), predict.spec
    batch = batch_of(spec)
    key = batch.key or spec.prediction.key
    over_ray = rows.height >= batch.over_ray_from and place(systems.compute.address) != "kuberay"
    way = _over_ray if over_ray else _here
    parts = list(way(predict, rows, key, systems, progress or _silent))
    rows_out = pl.concat(parts) if parts else _nothing(key)
    refused = rows_out[REFUSED].drop_nulls()
    if refused.len() and refused.len() == rows_out.height:
        raise StageError(
            f"none of the {rows_out.height:,} rows could be asked about, the first: {refused[0]}. Give {batch.table or batch.path} "
            f"the columns of a request, {', '.join(predict.model.request.model_fields)}"
        )
    features = len(predict.model.service.features) + len(predict.record.columns)
    cells = (rows_out.height - refused.len()) * features
    missing = int(rows_out[MISSING].sum() or 0) / cells if cells else 0.0
    notes = {
        "version": int(predict.record.version),
        "as of": predict.as_of.isoformat(),
        "rows refused": refused.len(),
    }
    made_of = {**rows.made_of, f"{spec.name} version {predict.record.version}": predict.record.model_sha256}
    written = systems.lake.write(
        f"{spec.name}/batch_predictions", rows_out.drop(MISSING), partition, notes=notes, made_of=made_of
    )
    seconds = time.perf_counter() - started
    return Batched(written, refused.len(), missing, seconds, "Ray Data" if over_ray else "this process")


def batch_of(spec: ModelSpec) -> Batch:
    """The spec's batch; raises StageError where it has none."""
    if spec.batch is None:
        raise StageError(f"{spec.name} has no batch: say in its spec which rows are scored")
    return spec.batch


def unanswered(spec: ModelSpec, systems: Systems) -> str | None:
    """Why no version answers for the model now; None where one does."""
    notice = systems.endpoint.notice()
    if notice and spec.name in notice.retired:
        return f"model {spec.name!r} is retired. {notice.retired[spec.name]}"
    there = (
        systems.endpoint.published(spec.name)
        if spec.deployment.enabled
        else systems.tracking.champion(spec.name)
    )
    return (
        None if there else f"no version of {spec.name} answers yet: materialize {spec.name}/deployment first"
    )


def _answering(spec: ModelSpec, systems: Systems) -> Deployment:
    """The record that the endpoint answers by; of a model that is not deployed, one for its champion."""
    if why := unanswered(spec, systems):
        raise NotReadyError(why)
    endpoint, tracking = systems.endpoint, systems.tracking
    if spec.deployment.enabled:
        return endpoint.records()[spec.name]
    champion = next(one for one in [tracking.champion(spec.name)] if one)
    path = endpoint.keep(spec.name, champion.number, tracking.load(champion))
    return Deployment.model_validate(endpoint_record(spec, champion, path))


def _models(spec: ModelSpec, folder: Path, features: FeatureStoreResource, clock: Clock) -> LiveModels:
    return LiveModels(folder, features, lambda _: code_of(spec), clock=clock)


def _here(
    predict: Predictor, rows: BatchRows, key: Sequence[str], _: Systems, progress: Progress
) -> Iterator[pl.DataFrame]:
    done = 0
    for part in rows.parts(PART):
        yield _beside_key(predict, part, key, predict(part))
        done += part.height
        progress(done, rows.height)


def _over_ray(
    predict: Predictor, rows: BatchRows, key: Sequence[str], systems: Systems, progress: Progress
) -> Iterator[pl.DataFrame]:
    parts = list(rows.parts(PART))
    compute = systems.compute
    there = compute.connect(place(compute.address))
    workers = max(1, min(int(there.get("CPU", 1)), len(parts)))
    batches, done = [], 0
    for some in mapped(parts, predict, workers):
        batches.append(some)
        done += some.height
        progress(done, rows.height)
    answers = pl.concat(batches).sort(ORDER).drop(ORDER)
    yield _beside_key(predict, pl.concat([part.select(key) for part in parts]), key, answers)


def _beside_key(
    predict: Predictor, rows: pl.DataFrame, key: Sequence[str], answers: pl.DataFrame
) -> pl.DataFrame:
    if lacking := [name for name in key if name not in rows.columns]:
        raise StageError(
            f"the rows to score have no column {lacking[0]!r}, by which a score is named; they have {', '.join(rows.columns)}: "
            "name other columns in batch.key"
        )
    return rows.select(key).with_columns(
        pl.lit(predict.as_of.astimezone(UTC), UTC_TIME).alias(AS_OF),
        answers[STORED_SCORE],
        pl.lit(int(predict.record.version), pl.Int64).alias(STORED_VERSION),
        answers[REFUSED],
        answers[MISSING],
    )


def _nothing(key: Sequence[str]) -> pl.DataFrame:
    own = {
        AS_OF: UTC_TIME,
        STORED_SCORE: pl.Float64,
        STORED_VERSION: pl.Int64,
        REFUSED: pl.String,
        MISSING: pl.UInt32,
    }
    return pl.DataFrame(schema=dict.fromkeys(key, pl.String) | own)


def _silent(_: int, __: int) -> None:
    """For whoever does not want to be told."""
