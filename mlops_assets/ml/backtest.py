"""A retraining policy tried on history, with the functions that run live."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from mlops_assets.ml.policy import decide
from mlops_assets.ml.promotion import judge
from mlops_assets.ml.training import Scorer
from mlops_assets.spec import ModelSpec, Retrain

Train = Callable[[str, datetime, bool, int | None], tuple[bytes, int]]
"""(week, now, hold out, rounds) -> model bytes and rounds."""


@dataclass(frozen=True)
class HistoryWeek:
    """One week of history: its rows with features, and the labelled rows of the held-out days at its end."""

    name: str
    end: datetime
    rows: pl.DataFrame
    hold_out: Callable[[], pl.DataFrame]


@dataclass(frozen=True)
class Backtest:
    """What a policy would have done: scores of every row that had a champion, and the weeks it trained at."""

    scored: pl.DataFrame
    retrained: list[str]
    promoted: list[str]


def backtest(spec: ModelSpec, policy: Retrain, weeks: Sequence[HistoryWeek], train: Train) -> Backtest:
    """Live through the weeks under a policy that needs no reports (age alone, or never).

    At each week's end `decide` is asked; a challenger is judged on the held-out days and, if it passes, refitted on
    everything: the same steps, gate and hold-out as in the live pipeline. Returns key columns, time and `score`.
    """
    spec = spec.model_copy(update={"retrain": policy, "automation": "on"})
    champion: bytes | None = None
    last: datetime | None = None
    scores, retrained, promoted = [], [], []
    for week in weeks:
        if champion is not None:
            scores.append(_score(spec, champion, week.rows))
        if not decide([], last, spec, week.end).retrain:
            continue
        challenger, rounds = train(week.name, week.end, True, None)
        verdict = judge(week.hold_out(), Scorer(challenger), Scorer(champion) if champion else None, spec)
        last = week.end
        retrained.append(week.name)
        if verdict.promote:
            champion, _ = train(week.name, week.end, False, rounds)
            promoted.append(week.name)
    return Backtest(pl.concat(scores) if scores else pl.DataFrame(), retrained, promoted)


def _score(spec: ModelSpec, model: bytes, rows: pl.DataFrame) -> pl.DataFrame:
    kept = rows.select(*spec.prediction.key, spec.prediction.time)
    return kept.with_columns(pl.Series("score", Scorer(model).predict(rows)))
