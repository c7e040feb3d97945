"""How often a roll-out errs: equal challengers looked at after every day, and how soon a planted fault is found.

`python -m benchmarks.rollout` simulates with the product's own decision. False roll-backs are counted over equal
challengers, of drawn days and of recorded ones; delays are those of paired shadow and of a split of a tenth, with their
boundaries moved until both raise as many false alarms.
"""

import argparse
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

import numpy as np
import polars as pl

from benchmarks.report import save
from benchmarks.simulated import SHAPES, Arrays, leading, two_models
from mlops_assets.ml.judging.paired import Effect, compare
from mlops_assets.ml.rollout.decision import Evidence, Standing, decide
from mlops_assets.ml.rollout.sequential import Schedule, Side, compare_split, look_at
from mlops_assets.ml.rollout.steps import metric_schedule, steps_of, stream_alpha
from mlops_assets.ml.rollout.streams import Stream
from mlops_assets.spec.gate import Gate
from mlops_assets.spec.rollout import RolloutPlan

TRIALS, DAYS, REQUESTS, TENTH = 2000, 28, 1000, 0.1
RATE, LIMIT = 0.05, 0.001
GATE = Gate(metric="log_loss", floors={"log_loss": 1e6})
START = datetime(2026, 1, 5, tzinfo=UTC)
BATCH = 150
"""Rows a day in the comparison of paired shadow with a split."""


def plan(spending: str = "pocock", **limits: float | None) -> RolloutPlan:
    """A roll-out of which every day of four weeks is looked at, because its shadow bakes for longer."""
    content = {
        "answers_influence_labels": False,
        "shadow": {"bake": "60d"},
        "canary": [],
        "ask_after": "90d",
        "false_rollbacks": RATE,
        "spending": spending,
        "limits": {"error_rate": LIMIT, **limits},
        "clusters": DAYS,
    }
    return RolloutPlan.model_validate(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS, help="roll-outs for each figure")
    options = parser.parse_args()
    figures = {"trials": options.trials, **rates(options.trials), **delays(max(200, options.trials // 10))}
    for name, table in figures.items():
        print(name if isinstance(table, dict) else f"{name}: {table}")
        for key, value in table.items() if isinstance(table, dict) else ():
            print(f"  {key:<60}{value:.4f}")
    print(save("rollout", figures, ratios(figures)))


def rates(trials: int) -> dict[str, Any]:
    """False roll-backs of equal challengers, and beside them the most that chance allows at the stated rate."""
    both = partial(rolled_back, faults=LIMIT, more=LIMIT)
    found = {
        f"metric and errors, {spending}": share(trials, partial(both, plan(spending), two_models))
        for spending in ("pocock", "obrien_fleming")
    }
    alone = plan(error_rate=None)
    found["metric alone, drawn days"] = share(trials, partial(rolled_back, alone, two_models))
    found["metric alone, recorded days"] = share(trials, partial(rolled_back, alone, recorded))
    for shape in SHAPES:
        shaped = partial(leading, gain=0.0, shape=shape)
        found[f"metric alone, days: {shape}"] = share(
            trials // 4, partial(rolled_back, alone, shaped, metric="mae")
        )
    errors = plan(metric_worse_by=None)
    found["errors alone, at the limit"] = share(
        trials, partial(rolled_back, errors, None, faults=LIMIT, more=LIMIT)
    )
    found["errors alone, an outage of both"] = share(
        trials, partial(rolled_back, errors, None, faults=0.02, more=0.02)
    )
    return {
        "stated rate": RATE,
        "most that chance allows at it, 95%": _most(trials),
        "false roll-backs": found,
    }


def _most(trials: int) -> float:
    from scipy.stats import binom

    return float(binom(trials, RATE).ppf(0.95) / trials)


def share(trials: int, rolls_back: Callable[[np.random.Generator], int | None]) -> float:
    """How many of so many roll-outs are rolled back."""
    dice = np.random.default_rng(2013)
    return sum(rolls_back(dice) is not None for _ in range(trials)) / trials


def rolled_back(
    rules: RolloutPlan,
    draw: Callable[..., Arrays] | None,
    dice: np.random.Generator,
    faults: float = 0.0,
    more: float = 0.0,
    metric: str = "log_loss",
) -> int | None:
    """The day on which a roll-out is rolled back, looked at after each of the days; None where it never is.

    `faults` of the champion's requests fail, and `more` of the challenger's.
    """
    schedule, state = metric_schedule(rules, GATE), Standing(steps_of(rules), 0, START)
    arrays, looks, stream = draw(dice, days=DAYS) if draw else None, (), Stream()
    for day in range(1, DAYS + 1):
        looks, look = schedule.next(looks, day), None
        if arrays is not None and looks and looks[-1] == day:
            look = look_at(_until(arrays, day, metric), schedule, looks)
        ours, theirs = dice.binomial(REQUESTS, (more, faults))
        stream = stream.then(Stream(REQUESTS, int(ours), REQUESTS, int(theirs)), LIMIT)
        evidence = Evidence(START + timedelta(days=day), day * REQUESTS, stream, metric=look)
        if decide(rules, state, evidence).outcome == "roll_back":
            return day
    return None


def _until(arrays: Arrays, last: int, metric: str) -> Effect:
    y, ours, theirs, day = arrays
    there = day < last
    return compare(y[there], ours[there], theirs[there], day[there], metric)


@cache
def _flights() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The flights of January and February, and those after, with whether each was late."""
    from mlops_assets.use_cases.flights.files import read_table

    flights = read_table("flights")
    rows = flights.drop_nulls("arr_delay").select(
        "carrier", "hour", day=pl.date("year", "month", "day"), late=(pl.col("arr_delay") > 15).cast(float)
    )
    return rows.filter(pl.col("day").dt.month() < 3), rows.filter(pl.col("day").dt.month() >= 3)


def recorded(dice: np.random.Generator, days: int = DAYS, rows: int = 60) -> Arrays:
    """Days in a row of real flights, scored by two models of a half of the winter each; a coin says for each day which is which.

    So the sides are equal to the letter, and the rows of a day hang together as they really do.
    """
    learnt, lived = _flights()
    halves = dice.random(learnt.height) < 0.5
    dates = lived["day"].unique().sort()
    first = int(dice.integers(0, len(dates) - days))
    there = lived.filter(pl.col("day").is_in(dates[first : first + days].implode()))
    there = there[np.sort(dice.choice(there.height, days * rows, replace=False))]
    one, other = (_scored(learnt.filter(half), there) for half in (halves, ~halves))
    day = there["day"].rank("dense").to_numpy().astype(int) - 1
    swapped = (dice.random(int(day.max()) + 1) < 0.5)[day]
    ours, theirs = np.where(swapped, other, one), np.where(swapped, one, other)
    return there["late"].to_numpy(), ours, theirs, day


def _scored(learnt: pl.DataFrame, rows: pl.DataFrame) -> np.ndarray:
    """The share that was late of each carrier and hour, drawn towards that of all."""
    overall = float(learnt.select(pl.col("late").mean()).item())
    share = (pl.col("late").sum() + 5 * overall) / (pl.len() + 5)
    by = learnt.group_by("carrier", "hour").agg(share.alias("score"))
    joined = rows.join(by, ["carrier", "hour"], how="left", maintain_order="left")
    return joined["score"].fill_null(overall).to_numpy()


def delays(trials: int) -> dict[str, Any]:
    """Days until a planted loss is found and how often it is within four weeks, by both judges at equal false alarms."""
    schedule = Schedule(DAYS, RATE, "pocock", GATE.minimum_clusters)
    crossed = {
        worse: [paths(dice, worse, schedule) for dice in _dice(trials)] for worse in (0.0, 0.3, 0.5, 0.8)
    }
    moved = {
        judge: float(np.quantile([path[judge].max() for path in crossed[0.0]], 1 - RATE))
        for judge in ("paired shadow", "split of a tenth")
    }
    tables: dict[str, Any] = {"boundaries moved by": moved}
    for worse, found in crossed.items():
        table = {}
        for judge, by in moved.items():
            hits = np.array([path[judge] > by for path in found])
            when = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, DAYS)
            table[f"{judge}: found in four weeks"] = float(hits.any(axis=1).mean())
            table[f"{judge}: mean days, 28 where never"] = float(when.mean())
        loss = float(np.mean([path["loss"] for path in found]))
        tables[f"noise of {worse:g} on the logit, {loss:.4f} of log loss"] = table
    return tables | {"requests until errors are found": _requests_until()}


def _dice(trials: int) -> list[np.random.Generator]:
    return [np.random.default_rng([2013, number]) for number in range(trials)]


def paths(dice: np.random.Generator, worse: float, schedule: Schedule) -> dict[str, Any]:
    """At every day, by how much each judge is over its boundary (1: at it), of a challenger with noise on its logit."""
    y, ours, theirs, day = two_models(dice, days=DAYS, rows=BATCH, luck=0.2)
    logit = np.log(ours / (1 - ours)) + worse * dice.normal(size=len(y))
    ours = 1 / (1 + np.exp(-logit))
    entity, share = dice.integers(0, 32, len(y)), dice.random(len(y)) < TENTH
    sides = [Side(y[of], score[of], day[of], entity[of]) for of, score in ((share, ours), (~share, theirs))]
    judges: dict[str, Callable[[int], Effect]] = {
        "paired shadow": lambda last: _until((y, ours, theirs, day), last, "log_loss"),
        "split of a tenth": lambda last: compare_split(
            _before(sides[0], last), _before(sides[1], last), "log_loss"
        ),
    }
    over: dict[str, Any] = {name: _over(effect_of, schedule) for name, effect_of in judges.items()}
    return over | {"loss": -(compare(y, ours, theirs, day, "log_loss").gain or 0.0)}


def _before(side: Side, last: int) -> Side:
    there = side.cluster < last
    return Side(side.y[there], side.score[there], side.cluster[there], side.group[there])


def _over(effect_of: Callable[[int], Effect], schedule: Schedule) -> np.ndarray:
    from scipy.special import ndtri

    over, looks = np.zeros(DAYS), ()
    for last in range(schedule.first, DAYS + 1):
        looks = schedule.next(looks, last)
        p = effect_of(last).p_below(0)
        if p is not None:
            over[last - 1] = float(-ndtri(max(p, 1e-300))) / float(-ndtri(schedule.levels(looks)[-1]))
    return over


def _requests_until(trials: int = 500) -> dict[str, float]:
    """Median number of the version's requests until it is rolled back, looked at after each fifty, a tenth of the traffic."""
    rules = plan(metric_worse_by=None)
    alpha = stream_alpha(rules, len(steps_of(rules)))
    return {
        f"{rate:g} of requests fail": float(
            np.median([_until_shown(dice, rate, alpha) for dice in _dice(trials)])
        )
        for rate in (0.005, 0.02, 0.1, 1.0)
    }


def _until_shown(dice: np.random.Generator, rate: float, alpha: float) -> float:
    stream = Stream()
    while not stream.shows(LIMIT, alpha):
        if stream.requests >= 50_000:
            return math.inf
        ours, theirs = dice.binomial(50, rate), dice.binomial(450, LIMIT / 10)
        stream = stream.then(Stream(50, int(ours), 450, int(theirs)), LIMIT)
    return stream.requests


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """The figures that are claimed."""
    found = figures["false roll-backs"]
    table = next(table for name, table in figures.items() if name.startswith("noise of 0.5"))
    paired, split = (
        table[f"{judge}: mean days, 28 where never"] for judge in ("paired shadow", "split of a tenth")
    )
    return {
        "false_rollback_rate": found["metric and errors, pocock"],
        "false_rollback_rate_on_recorded_days": found["metric alone, recorded days"],
        "false_rollback_rate_allowed": figures["most that chance allows at it, 95%"],
        "delay_of_a_split_in_that_of_paired_shadow": round(split / paired, 2),
        "power_of_paired_shadow": table["paired shadow: found in four weeks"],
        "power_of_a_split": table["split of a tenth: found in four weeks"],
    }


if __name__ == "__main__":
    main()
