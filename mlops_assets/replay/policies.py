"""Whether retraining paid: the policy that ran beside never retraining and retraining every four weeks."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from mlops_assets.ml.monitoring.backtest import Backtest, HistoryWeek, backtest
from mlops_assets.project import Project
from mlops_assets.replay.clock import Progress
from mlops_assets.replay.fits import Fits
from mlops_assets.replay.tables import text_table, totals
from mlops_assets.spec.model import ModelSpec, Retrain
from mlops_assets.stages.judging import hold_out
from mlops_assets.stages.training_set import training_data
from resources.lake.lake import Lake
from resources.records.attempts import Attempt
from resources.records.documents import load_record

FOUR_WEEKS = 28
PERIODS = {"March to June": ("2013-03-04", "2013-06-24"), "July to December": ("2013-07-01", "2013-12-30")}


def compare_policies(project: Project, spec: ModelSpec, progress: Progress) -> str:
    """The comparison as text; the simulated policies go through the same rule, gate, hold-out and refit."""
    started = time.monotonic()
    weeks = project.lake.partitions(f"{spec.name}/drift")
    train = Fits(project, spec, progress, expected_trainings(spec, weeks))
    progress.stage(
        "now", f"comparison with never and every four weeks: about {len(train.ahead)} fits to make"
    )
    history = history_of(spec, project.lake)
    never = backtest(spec, Retrain(cool_down_days=spec.window.hold_out_days), history, train)
    monthly = Retrain(cool_down_days=spec.window.hold_out_days, max_age_days=FOUR_WEEKS)
    every_four = backtest(spec, monthly, history, train)
    attempts = [w for w in weeks if load_record(project.lake, Attempt, f"{spec.name}/attempts/{w}")]
    ours = Backtest(project.lake.read(f"{spec.name}/predictions"), attempts, attempts)
    policies = {"this policy": ours, "never retrained": never, "every four weeks": every_four}
    rows = [policy_row(spec, project.lake, name, result, weeks) for name, result in policies.items()]
    project.lake.write_json(f"{spec.name}/comparison", {"policies": rows})
    progress.seconds["comparison of policies"] += time.monotonic() - started
    title = "Did retraining pay? Every scored flight, each label counted whenever it arrived.\n"
    return title + text_table(rows) + "".join(refusals(policies))


def expected_trainings(spec: ModelSpec, weeks: Sequence[str]) -> list[str]:
    """The weeks at which the policy of every four weeks trains, if no training is refused."""
    asked: list[str] = []
    last, days = spec.calendar.first.start, spec.window.minimum_days
    for week in weeks:
        end = spec.calendar.partition(week).end
        if spec.calendar.days_between(last, end) >= days:
            asked, last, days = [*asked, week], end, FOUR_WEEKS
    return asked


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
        week, spec.calendar.partition(week).end, lake.read(f"{spec.name}/training_set", [week]), held_out
    )


def policy_row(spec: ModelSpec, lake: Lake, name: str, result: Backtest, weeks: list[str]) -> dict[str, Any]:
    """What a policy came to in each period: trainings, log loss and AUC over every scored row."""
    row: dict[str, Any] = {"policy": name, "trainings": len(result.retrained)}
    for period, (first, last) in PERIODS.items():
        inside = [week for week in weeks if first <= week <= last]
        found = totals(spec, result.scored, inside, lake) if inside else {}
        row |= {f"log loss {period}": found.get("log_loss"), f"AUC {period}": found.get("auc")}
    return row
