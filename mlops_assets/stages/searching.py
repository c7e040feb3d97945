"""Searching: trials on the newest rows that a challenger may see, each kept, and the result."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_assets.ml.tuning.plot import search_plot
from mlops_assets.ml.tuning.proposals import importances
from mlops_assets.ml.tuning.search import search_parameters
from mlops_assets.ml.tuning.trials import Trial, better, metric_of, parameters_hash
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.search import own_values, space_of
from mlops_assets.stages.identity import code_version
from mlops_assets.stages.search_results import search_folder
from mlops_assets.stages.training import enough_history, hold_out_start, training_files
from mlops_assets.stages.training_set import (
    TrainingData,
    newest_partition,
    refuse_late_labels,
    training_data,
)
from resources.lake.lake import Lake
from resources.records.documents import load_record, save_record
from resources.records.searches import SearchResult, TrialOutcome
from resources.systems import Systems
from resources.tracking.tracking import Tracking, TrialRecord

BUDGET = {"trials", "minutes", "concurrent", "apply"}
"""What may change while a search stays the same one, which then goes on."""


@dataclass(frozen=True)
class SearchOutcome:
    """A search that ended: its record in the lake, all trials by number, and the picture (PNG)."""

    record: dict[str, Any]
    trials: list[Trial]
    plot: bytes


def run_search(
    spec: ModelSpec,
    systems: Systems,
    lineage: Mapping[str, str],
    say: Callable[[str], None],
) -> SearchOutcome:
    """Search at the end of the newest partition, from where it was broken off; keep every trial, and the result."""
    lake, tracking = systems.lake, systems.tracking
    data = training_data(spec, lake, newest_partition(spec, lake))
    enough_history(spec, data)
    refuse_late_labels(spec, lake, data)
    identity = search_identity(spec, data)
    folder = f"{search_folder(spec)}/{identity[:16]}"
    parent = tracking.open_search(spec.name, identity, search_params(spec), search_tags(spec, data, lineage))
    done = [*trials_done(lake, folder)]
    if done:
        say(f"{len(done)} trials are done already: the search goes on behind them")
    for trial in done:
        tracking.log_trial(spec.name, parent, trial_record(spec, identity, trial))
    seen = list(done)

    def heard(trial: Trial) -> None:
        save_record(lake, f"{folder}/{trial.number:05d}", TrialOutcome.model_validate(trial.record()))
        tracking.log_trial(spec.name, parent, trial_record(spec, identity, trial))
        seen.append(trial)
        say(progress(spec, seen, trial))

    rows, name = training_files(spec, data), f"search-{identity[:16]}"
    trials = search_parameters(rows, spec, data.features, systems.compute, done, heard, name)
    search = result(spec, data, identity, parent, trials)
    keep(spec, lake, tracking, search)
    return search


def trials_done(lake: Lake, folder: str) -> Iterator[Trial]:
    """The trials of a search that is going on, as they were kept, by number."""
    for name in lake.records(folder):
        if outcome := load_record(lake, TrialOutcome, f"{folder}/{name}"):
            yield Trial(**outcome.model_dump())


def search_identity(spec: ModelSpec, data: TrainingData) -> str:
    """What makes a search the same search: spec, rows, code and space, whatever its budget."""
    assert spec.search is not None
    rules = spec.search.model_dump(mode="json", exclude=BUDGET | {"space"})
    space = {n: d.model_dump() for n, d in space_of(spec.search, spec.trainer).items()}
    parts = [spec.name, spec_digest(spec), json.dumps([rules, space], sort_keys=True)]
    parts += [data.partition, data.learnt_from, code_version(spec)]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def search_params(spec: ModelSpec) -> dict[str, Any]:
    """The space, as the parent run's parameters."""
    assert spec.search is not None
    return {
        name: json.dumps(d.model_dump(exclude_defaults=True)) if d else ""
        for name, d in space_of(spec.search, spec.trainer).items()
    }


def search_tags(spec: ModelSpec, data: TrainingData, lineage: Mapping[str, str]) -> dict[str, str]:
    """What a search was made from."""
    assert spec.search is not None
    return {
        "week": data.partition,
        "training_set": data.digest,
        "feature_definitions": data.feature_definitions,
        "spec": spec_digest(spec),
        "code_version": code_version(spec),
        "seed": str(spec.search.seed),
        "trainer": spec.trainer.kind,
        "metric": metric_of(spec),
        **lineage,
    }


def trial_record(spec: ModelSpec, identity: str, trial: Trial) -> TrialRecord:
    """A trial as its nested MLflow run."""
    score = {} if trial.score is None else {metric_of(spec): trial.score}
    problem = {"problem": trial.problem} if trial.problem else {}
    return TrialRecord(
        identity=f"{identity}-{trial.number}",
        name=f"trial {trial.number}" + (" (the spec as it stands)" if trial.number == 0 else ""),
        params=trial.parameters,
        metrics={**score, "rounds": trial.rounds, "cpu_seconds": round(trial.cpu_seconds, 3)},
        tags={"trial": str(trial.number), "state": trial.state, "sha256": trial.sha256, **problem},
        curve=trial.rungs,
        metric=metric_of(spec),
        failed=trial.state == "failed",
        seconds=trial.seconds,
    )


def progress(spec: ModelSpec, seen: Sequence[Trial], trial: Trial) -> str:
    """One line for the log: how many trials, what this one scored, which is best."""
    assert spec.search is not None
    of = f" of {spec.search.trials}" if spec.search.trials else ""
    score = trial.problem if trial.score is None else f"{metric_of(spec)} {trial.score:.4f}"
    first = next(iter(better(metric_of(spec), seen)), None)
    best = f"; best {first.score:.4f} by number {first.number}" if first else ""
    return f"trial {len(seen)}{of} (number {trial.number}) {trial.state} after {trial.rounds} rounds: {score}{best}"


def result(
    spec: ModelSpec, data: TrainingData, identity: str, parent: str, trials: list[Trial]
) -> SearchOutcome:
    """The winner and where it came from, as data."""
    assert spec.search is not None
    metric, winner, own = metric_of(spec), better(metric_of(spec), trials)[0], trials[0]
    space = space_of(spec.search, spec.trainer)
    count = {state: sum(t.state == state for t in trials) for state in ("finished", "stopped", "failed")}
    record: dict[str, Any] = {
        "week": data.partition,
        "now": data.now.isoformat(),
        "known_by": hold_out_start(spec, data).isoformat(),
        "parameters": winner.parameters,
        "sha256": parameters_hash(winner.parameters),
        "trainer": spec.trainer.kind,
        "trial": winner.number,
        "trials": len(trials),
        **count,
        "metric": metric,
        "score": winner.score,
        "rounds": winner.rounds,
        "model_sha256": winner.sha256,
        "spec_parameters": own_values(spec.trainer, space),
        "spec_score": own.score,
        "importance": importances(space, metric, trials),
        "training_set": data.digest,
        "feature_definitions": data.feature_definitions,
        "spec": spec_digest(spec),
        "code_version": code_version(spec),
        "seed": spec.search.seed,
        "identity": identity,
        "mlflow_run": parent,
    }
    return SearchOutcome(record, trials, search_plot(trials, metric, space, record["importance"]))


def keep(spec: ModelSpec, lake: Lake, tracking: Tracking, outcome: SearchOutcome) -> None:
    """End the parent run, then write the record that trainings read."""
    record = outcome.record
    numbers = {f"best_{record['metric']}": record["score"], "trials": record["trials"]}
    tags = {"sha256": record["sha256"], "best_trial": str(record["trial"])}
    files = {
        "search.png": outcome.plot,
        "parameters.json": json.dumps(record["parameters"], indent=1).encode(),
    }
    tracking.close_search(record["mlflow_run"], numbers, tags, files)
    save_record(lake, f"{search_folder(spec)}/{record['week']}", SearchResult.model_validate(record))
