"""A retraining policy tried on history, with the functions that run live."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from mlops_assets.ml.dataset import DatasetError, labelled
from mlops_assets.ml.judging.gate import Contender, judge
from mlops_assets.ml.judging.metrics import evaluate
from mlops_assets.ml.monitoring.policy import WeekEvidence, decide
from mlops_assets.spec.columns import LABEL, SCORE, STORED_SCORE
from mlops_assets.spec.maturity import held_out_from, matured_until
from mlops_assets.spec.model import ModelSpec, Retrain

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
class Lived:
    """A week that passed, with the scores of its champion and that champion's metric at its promotion."""

    week: HistoryWeek
    scored: pl.DataFrame | None
    reference: float | None


@dataclass(frozen=True)
class Backtest:
    """What a policy would have done: scores of every row that had a champion, and the weeks it trained at.

    `refused` has the weeks at which a training or its judging was refused, with the reason: it would be asked for again.
    """

    scored: pl.DataFrame
    retrained: list[str]
    promoted: list[str]
    refused: dict[str, str] = field(default_factory=dict)


def backtest(spec: ModelSpec, policy: Retrain, weeks: Sequence[HistoryWeek], train: Train) -> Backtest:
    """Live through the weeks under another retrain policy, with the gate, hold-out and refit of the live pipeline.

    Age and the week's gate metric are seen as they would have been; drift is not simulated, so a policy that
    depends on it only ever sees "not measured". A week without a known label, too, says nothing; a training that has
    no labelled rows to learn from or to be judged on is refused, as it is live. Returns key columns, time and `score`
    of every scored row.
    """
    spec = spec.model_copy(update={"retrain": policy, "automation": "on"})
    champion: Contender | None = None
    anchor: Contender | None = None
    reference: float | None = None
    last: datetime | None = None
    lived: list[Lived] = []
    scores, retrained, promoted, refused = [], [], [], {}
    for week in weeks:
        scored = _score(spec, champion, week.rows) if champion else None
        scores += [] if scored is None else [scored]
        lived.append(Lived(week, scored, reference))
        if not decide(_evidence(spec, lived, last), last, spec, week.end).retrain:
            continue
        try:
            challenger, rounds = train(week.name, week.end, True, None)
            trained = Contender.of(
                f"challenger of {week.name}", challenger, spec, held_out_from(spec, week.end)
            )
            verdict = judge(week.hold_out(), trained, champion, spec, anchor)
        except DatasetError as error:
            refused[week.name] = str(error)
            continue
        last = week.end
        retrained.append(week.name)
        if verdict.promote:
            model, _ = train(week.name, week.end, False, rounds)
            until = matured_until(spec, week.end)
            champion = Contender.of(f"champion of {week.name}", model, spec, until)
            anchor = champion if anchor is None or verdict.shown_better else anchor
            reference = verdict.challenger[spec.gate.metric]
            promoted.append(week.name)
    return Backtest(pl.concat(scores) if scores else pl.DataFrame(), retrained, promoted, refused)


def _score(spec: ModelSpec, champion: Contender, rows: pl.DataFrame) -> pl.DataFrame:
    kept = rows.select(*dict.fromkeys([*spec.prediction.key, spec.prediction.time]))
    return kept.with_columns(pl.Series(STORED_SCORE, champion.scorer.predict(rows)))


def _evidence(spec: ModelSpec, lived: Sequence[Lived], last: datetime | None) -> list[WeekEvidence]:
    """What the newest week shows and, where it has no label yet, what the newest judged one since the last training does."""
    now, newest = lived[-1].week.end, _one_week(spec, lived[-1], lived[-1].week.end)
    if newest.rows or not newest.served:
        return [newest]
    earlier = (
        _one_week(spec, one, now) for one in reversed(lived[:-1]) if last is None or one.week.end > last
    )
    judged = next((one for one in earlier if one.rows), None)
    return [newest, judged] if judged else [newest]


def _one_week(spec: ModelSpec, lived: Lived, now: datetime) -> WeekEvidence:
    """What a week shows by the labels that are known at `now`."""
    week, scored = lived.week, lived.scored
    if scored is None:
        return WeekEvidence(week.name, week.end, 0)
    scores = scored.select(*spec.prediction.key, pl.col(STORED_SCORE).alias(SCORE))
    judged = labelled(week.rows, spec, now).join(scores, on=spec.prediction.key)
    metric = evaluate(judged[LABEL].to_numpy(), judged[SCORE].to_numpy(), spec.task)[spec.gate.metric]
    return WeekEvidence(week.name, week.end, judged.height, metric, lived.reference, served=True)
