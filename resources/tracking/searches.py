"""A hyperparameter search as MLflow runs: a parent that says what was searched, and a nested run for each trial.

Parent and trials are found again by their identity, so a search that was killed goes on under the parent it had, and a
trial that was half logged is logged anew.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resources.tracking.fits import COMPLETE, KIND, attach, find_run, is_number, runs_of
from resources.tracking.versions import IDENTITY

SEARCH, SEARCH_TRIAL = "search", "search_trial"
PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class TrialRecord:
    """All that is logged of one trial; `curve` is the metric after so many rounds."""

    identity: str
    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    curve: Sequence[tuple[int, float]] = ()
    metric: str = ""
    failed: bool = False
    seconds: float = 0.0


def open_search(
    client: Any, experiment: str, identity: str, params: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    """Id of the parent run of a search: the one that is there, or a new one."""
    from mlflow.entities import Param

    runs = runs_of(client, experiment, SEARCH, identity)
    if runs:
        return runs[0].info.run_id
    labels = {**{k: str(v) for k, v in tags.items()}, IDENTITY: identity, KIND: SEARCH}
    run_id = client.create_run(experiment, tags=labels, run_name=f"search {identity}"[:100]).info.run_id
    client.log_batch(run_id, params=[Param(k, str(v)[:6000]) for k, v in params.items()])
    return run_id


def log_trial(client: Any, experiment: str, parent: str, record: TrialRecord) -> str:
    """Log one trial below its parent, once, and return its run's id."""
    run_before = find_run(client, experiment, SEARCH_TRIAL, record.identity)
    if run_before:
        return run_before
    for half in runs_of(client, experiment, SEARCH_TRIAL, record.identity):
        client.delete_run(half.info.run_id)
    labels = {k: str(v) for k, v in record.tags.items()}
    labels |= {IDENTITY: record.identity, KIND: SEARCH_TRIAL, PARENT: parent}
    now = int(time.time() * 1000)
    began = now - int(1000 * record.seconds)
    run = client.create_run(experiment, start_time=began, tags=labels, run_name=record.name)
    _log_numbers(client, run.info.run_id, record, now)
    client.set_terminated(run.info.run_id, "FAILED" if record.failed else "FINISHED", end_time=now)
    client.set_tag(run.info.run_id, COMPLETE, "true")
    return run.info.run_id


def close_search(
    client: Any,
    run_id: str,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    artifacts: Mapping[str, bytes],
) -> None:
    """End the parent run with what the search found; a search that goes on with more budget ends again."""
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(k, float(v), now, 0) for k, v in metrics.items() if is_number(v)],
        tags=[RunTag(k, str(v)) for k, v in tags.items()],
    )
    attach(client, run_id, artifacts)
    client.set_terminated(run_id)
    client.set_tag(run_id, COMPLETE, "true")


def _log_numbers(client: Any, run_id: str, record: TrialRecord, now: int) -> None:
    from mlflow.entities import Metric, Param

    rows = [Metric(record.metric, score, now, rounds) for rounds, score in record.curve if is_number(score)]
    last = record.curve[-1][0] + 1 if record.curve else 0
    rows += [Metric(k, float(v), now, last) for k, v in record.metrics.items() if is_number(v)]
    client.log_batch(run_id, metrics=rows, params=[Param(k, str(v)[:6000]) for k, v in record.params.items()])
