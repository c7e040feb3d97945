"""Whether retraining paid: the policy that ran beside never retraining and retraining every four weeks."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from mlops_assets.ml.monitoring.backtest import Backtest, HistoryWeek, backtest
from mlops_assets.ml.training.fit import fit
from mlops_assets.project import Project
from mlops_assets.replay.clock import Progress
from mlops_assets.replay.tables import text_table, totals
from mlops_assets.spec.model import ModelSpec, Retrain
from mlops_assets.spec.weeks import week_bounds
from mlops_assets.stages.identity import version_identity
from mlops_assets.stages.judging import hold_out
from mlops_assets.stages.searched import searched
from mlops_assets.stages.training import training_files
from mlops_assets.stages.training_set import TrainingData, training_data
from resources.lake.lake import Lake
from resources.records.attempts import Attempt
from resources.records.documents import load_record

PERIODS = {"March to June": ("2013-03-04", "2013-06-24"), "July to December": ("2013-07-01", "2013-12-30")}


def compare_policies(project: Project, spec: ModelSpec, progress: Progress) -> str:
    """The comparison as text; the simulated policies go through the same rule, gate, hold-out and refit."""
    started = time.monotonic()
    progress.stage("now", "comparison with never and every four weeks")
    weeks = project.lake.partitions(f"{spec.name}/drift")
    history = history_of(spec, project.lake)
    train = trainer(project, spec)
    never = backtest(spec, Retrain(cool_down_days=spec.window.hold_out_days), history, train)
    monthly = Retrain(cool_down_days=spec.window.hold_out_days, max_age_days=28)
    every_four = backtest(spec, monthly, history, train)
    attempts = [w for w in weeks if load_record(project.lake, Attempt, f"{spec.name}/attempts/{w}")]
    ours = Backtest(project.lake.read(f"{spec.name}/predictions"), attempts, attempts)
    policies = {"this policy": ours, "never retrained": never, "every four weeks": every_four}
    rows = [policy_row(spec, project.lake, name, result, weeks) for name, result in policies.items()]
    project.lake.write_json(f"{spec.name}/comparison", {"policies": rows})
    progress.seconds["comparison of policies"] += time.monotonic() - started
    title = "Did retraining pay? Every scored flight, each label counted whenever it arrived.\n"
    return title + text_table(rows) + "".join(refusals(policies))


def refusals(policies: Mapping[str, Backtest]) -> Iterator[str]:
    """A line for each policy whose trainings were refused, with the first reason."""
    for name, result in policies.items():
        for week, reason in list(result.refused.items())[:1]:
            yield f"\n{name}: {len(result.refused)} trainings were refused, the first at {week}: {reason}"


def history_of(spec: ModelSpec, lake: Lake) -> list[HistoryWeek]:
    """Every week that was reported on, as the back-test lives through it."""
    return [_history(spec, lake, week) for week in lake.partitions(f"{spec.name}/drift")]


def _history(spec: ModelSpec, lake: Lake, week: str) -> HistoryWeek:
    def held_out() -> pl.DataFrame:
        return hold_out(spec, training_data(spec, lake, week))

    return HistoryWeek(
        week, week_bounds(spec.weeks, week)[1], lake.read(f"{spec.name}/training_set", [week]), held_out
    )


def trainer(
    project: Project, spec: ModelSpec
) -> Callable[[str, datetime, bool, int | None], tuple[bytes, int]]:
    """Fits as the pipeline fits, taking a version that is registered already instead of fitting it again."""
    known = {version.identity: version for version in project.tracking.versions(spec.name)}
    made: dict[str, tuple[bytes, int]] = {}

    def train(week: str, now: datetime, held: bool, rounds: int | None) -> tuple[bytes, int]:
        followed, _ = searched(spec, project.lake, week)
        data = training_data(followed, project.lake, week)
        identity = version_identity(followed, data, "challenger" if held else "refit")
        if identity not in made:
            made[identity] = _known(project, known.get(identity)) or _fitted(
                project, followed, data, held, rounds
            )
        return made[identity]

    return train


def _known(project: Project, version: Any) -> tuple[bytes, int] | None:
    if version is None:
        return None
    return project.tracking.load(version), int(version.tags["rounds"])


def _fitted(
    project: Project, spec: ModelSpec, data: TrainingData, held: bool, rounds: int | None
) -> tuple[bytes, int]:
    files = training_files(spec, data, hold_out=held)
    fitted = fit(files, spec, data.features, rounds=rounds, reach=project.resources["compute"])
    return fitted.model, fitted.rounds


def policy_row(spec: ModelSpec, lake: Lake, name: str, result: Backtest, weeks: list[str]) -> dict[str, Any]:
    """What a policy came to in each period: trainings, log loss and AUC over every scored row."""
    row: dict[str, Any] = {"policy": name, "trainings": len(result.retrained)}
    for period, (first, last) in PERIODS.items():
        inside = [week for week in weeks if first <= week <= last]
        found = totals(spec, result.scored, inside, lake) if inside else {}
        row |= {f"log loss {period}": found.get("log_loss"), f"AUC {period}": found.get("auc")}
    return row
