"""Fits as MLflow runs, found again by their identity: kind and identity name one run, complete or not."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, TypeGuard

import polars as pl

from resources.tracking.model_folder import write_model
from resources.tracking.versions import FILE, IDENTITY, SHA256, DeletedError, TrackingError, sha256

KIND, MODEL_ID, COMPLETE = "kind", "model_id", "complete"
Kind = Literal["challenger", "refit", "trial"]


@dataclass(frozen=True)
class FitRecord:
    """All that is logged of one fit; `logged_at` in milliseconds, the moment it bears whenever it is delivered."""

    kind: Kind
    identity: str
    model: bytes
    params: Mapping[str, Any]
    history: Mapping[str, Sequence[float]]
    metrics: Mapping[str, float | None]
    tags: Mapping[str, str]
    example: pl.DataFrame
    artifacts: Mapping[str, bytes]
    logged_at: int
    file: str

    def plain(self) -> "FitRecord":
        """The same record with texts and numbers alone, as MLflow keeps it."""
        return replace(
            self,
            params={key: str(value) for key, value in self.params.items()},
            history={key: [float(value) for value in values] for key, values in self.history.items()},
            metrics={key: float(value) for key, value in self.metrics.items() if is_number(value)},
            tags={key: str(value) for key, value in self.tags.items()},
            artifacts=dict(self.artifacts),
        )

    @property
    def labels(self) -> dict[str, str]:
        ours = {IDENTITY: self.identity, KIND: self.kind, SHA256: sha256(self.model), FILE: self.file}
        return {**self.tags, **ours}


def in_use(experiment: Any) -> str:
    """The experiment's id; DeletedError where it was deleted, because MLflow takes no run for it then."""
    if experiment.lifecycle_stage == "deleted":
        raise DeletedError("experiment", repr(experiment.name), experiment.experiment_id)
    return experiment.experiment_id


def find_run(client: Any, experiment: str, kind: str, identity: str) -> str | None:
    """Id of the completely logged run of this kind and identity, or None."""
    runs = runs_of(client, experiment, kind, identity)
    return next((r.info.run_id for r in runs if is_complete(r)), None)


def is_complete(run: Any) -> bool:
    """Whether everything of the run was logged: its last tag is there."""
    return run.data.tags.get(COMPLETE) == "true"


def sweep(client: Any, experiment: str, kind: str, identity: str) -> None:
    """Delete what a killed process left half logged; call it only under the model's lock."""
    for run in runs_of(client, experiment, kind, identity):
        for model in client.search_logged_models([experiment], f"source_run_id = '{run.info.run_id}'"):
            client.delete_logged_model(model.model_id)
        client.delete_run(run.info.run_id)


def log(client: Any, experiment: str, record: FitRecord) -> str:
    """Log a fit and return the run's id; the mark of completion is written last."""
    name = f"{record.kind} {record.identity}"[:100]
    run = client.create_run(experiment, start_time=record.logged_at, tags=record.labels, run_name=name)
    run_id = run.info.run_id
    model_id = _log_model(client, experiment, run_id, record)
    _log_numbers(client, run_id, model_id, record)
    attach(client, run_id, record.artifacts)
    client.set_terminated(run_id)
    client.set_tag(run_id, COMPLETE, "true")
    return run_id


def is_number(value: float | None) -> TypeGuard[float]:
    """Whether a metric is defined; MLflow would show infinity as the largest number there is."""
    return value is not None and math.isfinite(value)


def quotable(text: str) -> str:
    """The text, refused where it would end the quotation in one of MLflow's search strings."""
    if "'" in text or '"' in text:
        raise TrackingError(
            f"{text!r} holds a quotation mark, which MLflow's search cannot take: leave it out"
        )
    return text


def runs_of(client: Any, experiment: str, kind: str, identity: str) -> list[Any]:
    """All runs of this kind and identity, completely logged or not."""
    query = f"tags.{IDENTITY} = '{quotable(identity)}' and tags.{KIND} = '{kind}'"
    return list(client.search_runs([experiment], query))


def _log_model(client: Any, experiment: str, run_id: str, record: FitRecord) -> str:
    from mlflow.entities import LoggedModelOutput

    params = {key: value[:500] for key, value in record.params.items()}
    logged = client.create_logged_model(
        experiment, name="model", source_run_id=run_id, tags=record.labels, params=params
    )
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "model", record.file, record.model, record.example, logged, run_id)
        client.log_model_artifacts(logged.model_id, f"{folder}/model")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    client.set_tag(run_id, MODEL_ID, logged.model_id)
    client.finalize_logged_model(logged.model_id, "READY")
    return logged.model_id


def _log_numbers(client: Any, run_id: str, model_id: str, record: FitRecord) -> None:
    from mlflow.entities import Metric, Param

    now = record.logged_at
    rows = [
        Metric(k, v, now, step)
        for k, vs in record.history.items()
        for step, v in enumerate(vs)
        if is_number(v)
    ]
    rows += [
        Metric(k, v, now, 0, model_id=model_id, run_id=run_id)
        for k, v in record.metrics.items()
        if is_number(v)
    ]
    params = [Param(key, value[:6000]) for key, value in record.params.items()]
    for metrics, few in zip_longest(_chunks(rows, 900), _chunks(params, 100), fillvalue=()):
        client.log_batch(run_id, metrics=metrics, params=few)


def attach(client: Any, run_id: str, files: Mapping[str, bytes]) -> None:
    """Log files, by name, as a run's artifacts."""
    if not files:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        client.log_artifacts(run_id, folder)


def _chunks(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
