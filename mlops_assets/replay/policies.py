"""Whether retraining paid: the policy that ran beside never retraining and retraining every four weeks."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from mlops_assets.ml.monitoring.backtest import Backtest, HistoryPartition, backtest
from mlops_assets.project import Project
from mlops_assets.replay.clock import Progress
from mlops_assets.replay.fits import Fits
from mlops_assets.replay.naive import by_naive_rule, refuse_unknown
from mlops_assets.replay.tables import text_table, totals
from mlops_assets.spec.maturity import days_of_waiting
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.retrain import Retrain
from mlops_assets.stages.judging import hold_out
from mlops_assets.stages.training_set import training_data
from resources.lake.lake import Lake
from resources.records.attempts import Attempt
from resources.records.documents import load_record

FOUR_WEEKS = 28
COMPARED = {"classification": ("log_loss", "auc"), "regression": ("mae", "rmse")}
WHOLE = "over all"
Periods = Mapping[str, tuple[date, date]]
"""Name -> first and last day."""


def compare_policies(
    project: Project, spec: ModelSpec, periods: Periods, progress: Progress, naive: Sequence[str] = ()
) -> str:
    """The comparison as text; the simulated policies go through the same rule, gate, hold-out and refit.

    With features of a `naive` rule, its line stands below them.
    """
    started = time.monotonic()
    partitions = project.lake.partitions(f"{spec.name}/drift")
    refuse_unknown(spec, project.lake, naive)
    train = Fits(project, spec, progress, expected_trainings(spec, partitions))
    progress.stage(
        "now", f"comparison with never and every four weeks: about {len(train.ahead)} fits to make"
    )
    history = history_of(spec, project.lake)
    never_again = backtest(spec, Retrain(cool_down_days=spec.window.hold_out_days), history, train)
    monthly = Retrain(cool_down_days=spec.window.hold_out_days, max_age_days=FOUR_WEEKS)
    every_four = backtest(spec, monthly, history, train)
    attempts = [w for w in partitions if load_record(project.lake, Attempt, f"{spec.name}/attempts/{w}")]
    ours = Backtest(project.lake.read(f"{spec.name}/predictions"), attempts, attempts)
    policies = {"this policy": ours, "never retrained": never_again, "every four weeks": every_four}
    if naive:
        policies[f"naive rule of {', '.join(naive)}"] = by_naive_rule(spec, project.lake, ours, naive)
    spans = inside(periods, partitions)
    rows = [policy_row(spec, project.lake, name, result, spans) for name, result in policies.items()]
    project.lake.write_json(f"{spec.name}/comparison", {"policies": rows})
    progress.seconds["comparison of policies"] += time.monotonic() - started
    title = "Did retraining pay? Every scored row, each label counted whenever it arrived.\n"
    return title + text_table(rows) + "".join(refusals(policies))


def expected_trainings(spec: ModelSpec, partitions: Sequence[str]) -> list[str]:
    """The partitions at which the policy of every four weeks trains, if no training is refused."""
    trainings: list[str] = []
    last, days = spec.calendar.first.start, spec.window.minimum_days + days_of_waiting(spec)
    for partition in partitions:
        end = spec.calendar.partition(partition).end
        if spec.calendar.days_between(last, end) >= days:
            trainings, last, days = [*trainings, partition], end, FOUR_WEEKS
    return trainings


def refusals(policies: Mapping[str, Backtest]) -> Iterator[str]:
    """A line for each policy whose trainings were refused, with the first reason."""
    for name, result in policies.items():
        for partition, reason in list(result.refused.items())[:1]:
            yield f"\n{name}: {len(result.refused)} trainings were refused, the first at {partition}: {reason}"


def history_of(spec: ModelSpec, lake: Lake) -> list[HistoryPartition]:
    """Every partition that was reported on, as the back-test lives through it."""
    return [_history(spec, lake, partition) for partition in lake.partitions(f"{spec.name}/drift")]


def _history(spec: ModelSpec, lake: Lake, partition: str) -> HistoryPartition:
    def held_out() -> pl.DataFrame:
        return hold_out(spec, training_data(spec, lake, partition))

    return HistoryPartition(
        partition,
        spec.calendar.partition(partition).end,
        lake.read(f"{spec.name}/training_set", [partition]),
        held_out,
    )


def inside(periods: Periods, partitions: Sequence[str]) -> dict[str, list[str]]:
    """The partitions that begin in each period; all of them under one name where no period is given."""
    if not periods:
        return {WHOLE: list(partitions)}
    return {
        name: [
            partition for partition in partitions if first.isoformat() <= partition[:10] <= last.isoformat()
        ]
        for name, (first, last) in periods.items()
    }


def policy_row(
    spec: ModelSpec, lake: Lake, name: str, result: Backtest, spans: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """What a policy came to in each span of partitions: trainings, and two metrics over every scored row."""
    row: dict[str, Any] = {"policy": name, "trainings": len(result.retrained)}
    for span, partitions in spans.items():
        figures = totals(spec, result.scored, partitions, lake) if partitions else {}
        row |= {f"{in_a_heading(metric)} {span}": figures.get(metric) for metric in COMPARED[spec.task]}
    return row


def in_a_heading(metric: str) -> str:
    """A metric's name as people write it."""
    return metric.upper() if metric in ("auc", "mae", "rmse") else metric.replace("_", " ")
