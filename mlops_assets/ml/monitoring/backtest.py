"""A retraining policy tried on history, with the functions that run live."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from mlops_assets.ml.dataset import DatasetError, labelled
from mlops_assets.ml.judging.gate import Contender, judge
from mlops_assets.ml.judging.metrics import evaluate
from mlops_assets.ml.monitoring.policy import PartitionEvidence, decide
from mlops_assets.spec.columns import LABEL, SCORE, STORED_SCORE
from mlops_assets.spec.maturity import held_out_from, matured_until
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.retrain import Retrain

Train = Callable[[str, datetime, bool, int | None], tuple[bytes, int]]
"""(partition, now, hold out, rounds) -> model bytes and rounds."""


@dataclass(frozen=True)
class HistoryPartition:
    """One partition of history: its rows with features, and the labelled rows of the held-out days at its end."""

    name: str
    end: datetime
    rows: pl.DataFrame
    hold_out: Callable[[], pl.DataFrame]


@dataclass(frozen=True)
class Lived:
    """A partition that passed, with the scores of its champion and that champion's metric at its promotion."""

    partition: HistoryPartition
    scored: pl.DataFrame | None
    reference: float | None


@dataclass(frozen=True)
class Backtest:
    """What a policy would have done: scores of every row that had a champion, and the partitions it trained at.

    `refused` has the partitions at which a training or its judging was refused, with the reason: it would be asked for again.
    """

    scored: pl.DataFrame
    retrained: list[str]
    promoted: list[str]
    refused: dict[str, str] = field(default_factory=dict)


def backtest(
    spec: ModelSpec, policy: Retrain, partitions: Sequence[HistoryPartition], train: Train
) -> Backtest:
    """Live through the partitions under another retrain policy, with the gate, hold-out and refit of the live pipeline.

    Age and the partition's gate metric are seen as they would have been; drift is not simulated, so a policy that
    depends on it only ever sees "not measured". A partition without a known label, too, says nothing; a training that has
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
    for partition in partitions:
        scored = _score(spec, champion, partition.rows) if champion else None
        scores += [] if scored is None else [scored]
        lived.append(Lived(partition, scored, reference))
        if not decide(_evidence(spec, lived, last), last, spec, partition.end).retrain:
            continue
        try:
            challenger, rounds = train(partition.name, partition.end, True, None)
            trained = Contender.of(
                f"challenger of {partition.name}", challenger, spec, held_out_from(spec, partition.end)
            )
            verdict = judge(partition.hold_out(), trained, champion, spec, anchor)
        except DatasetError as error:
            refused[partition.name] = str(error)
            continue
        last = partition.end
        retrained.append(partition.name)
        if verdict.promote:
            model, _ = train(partition.name, partition.end, False, rounds)
            until = matured_until(spec, partition.end)
            champion = Contender.of(f"champion of {partition.name}", model, spec, until)
            anchor = champion if anchor is None or verdict.shown_better else anchor
            reference = verdict.challenger[spec.gate.metric]
            promoted.append(partition.name)
    return Backtest(pl.concat(scores) if scores else pl.DataFrame(), retrained, promoted, refused)


def _score(spec: ModelSpec, champion: Contender, rows: pl.DataFrame) -> pl.DataFrame:
    keys = rows.select(*dict.fromkeys([*spec.prediction.key, spec.prediction.time]))
    return keys.with_columns(pl.Series(STORED_SCORE, champion.scorer.predict(rows)))


def _evidence(spec: ModelSpec, lived: Sequence[Lived], last: datetime | None) -> list[PartitionEvidence]:
    """What the newest partition shows and, where it has no label yet, what the newest judged one since the last training does."""
    now, newest = lived[-1].partition.end, _one_partition(spec, lived[-1], lived[-1].partition.end)
    if newest.rows or not newest.served:
        return [newest]
    earlier = (
        _one_partition(spec, one, now)
        for one in reversed(lived[:-1])
        if last is None or one.partition.end > last
    )
    judged = next((one for one in earlier if one.rows), None)
    return [newest, judged] if judged else [newest]


def _one_partition(spec: ModelSpec, lived: Lived, now: datetime) -> PartitionEvidence:
    """What a partition shows by the labels that are known at `now`."""
    partition, scored = lived.partition, lived.scored
    if scored is None:
        return PartitionEvidence(partition.name, partition.end, 0)
    scores = scored.select(*spec.prediction.key, pl.col(STORED_SCORE).alias(SCORE))
    judged = labelled(partition.rows, spec, now).join(scores, on=spec.prediction.key)
    metric = evaluate(judged[LABEL].to_numpy(), judged[SCORE].to_numpy(), spec.task)[spec.gate.metric]
    return PartitionEvidence(
        partition.name, partition.end, judged.height, metric, lived.reference, served=True
    )
