"""The rows since a roll-out began, scored by both versions: the requests of a replay, and what labels judge.

The champion scores them here; the version that is rolled out, of which nothing is known yet, in a process of its own.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import labelled, require
from mlops_assets.ml.judging.gate import clusters
from mlops_assets.ml.judging.metrics import evaluate
from mlops_assets.ml.judging.paired import Effect
from mlops_assets.ml.rollout.sequential import GROUPS, Look, Side, compare_paired, compare_split, look_at
from mlops_assets.ml.rollout.steps import metric_schedule
from mlops_assets.ml.rollout.streams import Stream
from mlops_assets.ml.scores import defined
from mlops_assets.promotion.rollout_states import plan_of, split_of, standing, steps_in
from mlops_assets.spec.columns import CHAMPION_SCORE, CLUSTER, LABEL, SCORE
from mlops_assets.spec.gate import DAY, WEEK
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.rollout_scores import alone, here, scores_of
from resources.lake.lake import Lake
from resources.moments import read_moment
from resources.records.rollout import Rollout
from resources.systems import Systems

ANSWERED, GROUP = "_answered", "_group"
USUAL = 0.001
"""Share of faults that is held against a version where its plan has no limit, which decides nothing then."""


@dataclass(frozen=True)
class Rows:
    """What was result: faults in this step, looks at the metric (clusters at each) with the newest, and the judged rows.

    `judged` has LABEL, the scores of both versions, the code of the row's cluster, the group of its entity and whether the
    version answered it.
    """

    basis: str
    errors: Stream
    looks: tuple[int, ...]
    look: Look | None
    judged: pl.DataFrame
    split: bool
    spec: ModelSpec = field(repr=False)

    def effect(self, metric: str) -> Effect | None:
        """The effect of a metric by the plan's judge; None where a side has no row."""
        ours, theirs = self.sides
        if not len(ours.y) or not len(theirs.y):
            return None
        return compare_split(ours, theirs, metric) if self.split else compare_paired(ours, theirs, metric)

    def both(self, metric: str) -> tuple[float | None, float | None]:
        """A metric of the champion and of the version on the rows that judge them; None where it is not defined."""
        ours, theirs = (
            evaluate(side.y, side.score, self.spec.task).get(metric) if len(side.y) else None
            for side in self.sides
        )
        return defined(theirs), defined(ours)

    @property
    def sides(self) -> tuple[Side, Side]:
        """The version's rows and the champion's: the same ones, or those that each answered."""
        frame = self.judged
        if not self.split or not frame.height:
            return _side(frame, SCORE), _side(frame, CHAMPION_SCORE)
        ours = pl.col(ANSWERED)
        return _side(frame.filter(ours), SCORE), _side(frame.filter(~ours), CHAMPION_SCORE)


def rows_since(spec: ModelSpec, systems: Systems, state: Rollout, now: datetime) -> Rows:
    """Read and score what came since a roll-out began, and look at its metric where there is new evidence."""
    plan, hashes = plan_of(state), _partitions(spec, systems.lake, read_moment(state.started))
    split = plan.judge == "split" or state.origin == "ab_test"
    rows = _read(spec, systems.lake, list(hashes), state, now)
    if rows.height:
        rows = _drawn(spec, _scored(spec, systems, state, rows), state, split)
    judged = _judged(spec, rows.filter(_both_answer(spec, state)) if split and rows.height else rows, now)
    faults = _faults(rows, state, spec, split and standing(state).step.answers)
    looks, before = tuple(state.looks), Look(**state.look) if state.look else None
    result = Rows(_basis(hashes, now), faults, looks, before, judged, split, spec)
    schedule = metric_schedule(plan, spec.gate)
    more = schedule.next(looks, judged[CLUSTER].n_unique()) if judged.height else looks
    effect = result.effect(spec.gate.metric) if more != looks else None
    if effect is None or effect.gain is None:
        return result
    return replace(result, looks=more, look=look_at(effect, schedule, more))


def basis_now(spec: ModelSpec, lake: Lake, state: Rollout, now: datetime) -> str:
    """Hash of what a look would see now: the partitions since the start, and the day."""
    return _basis(_partitions(spec, lake, read_moment(state.started)), now)


def _partitions(spec: ModelSpec, lake: Lake, started: datetime) -> dict[str, str]:
    """The joined partitions that end after the start, with their hashes."""
    table = f"{spec.name}/training_set"
    there = [name for name in lake.partitions(table) if spec.calendar.partition(name).end > started]
    return {name: lake.hash(table, name) for name in there}


def _basis(hashes: Mapping[str, str], now: datetime) -> str:
    text = json.dumps([hashes, now.date().isoformat()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(spec: ModelSpec, lake: Lake, names: Sequence[str], state: Rollout, now: datetime) -> pl.DataFrame:
    """The rows that were asked since the start and up to now; before the first partition none, and no columns."""
    if not names:
        return pl.DataFrame()
    rows, time = lake.read(f"{spec.name}/training_set", names), pl.col(spec.prediction.time)
    return rows.filter(time >= read_moment(state.started), time < now)


def _scored(spec: ModelSpec, systems: Systems, state: Rollout, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the scores of both versions, NaN where one could not score a row."""
    scores = [
        pl.Series(column, scores_of(spec, systems, number, rows, where), dtype=pl.Float64)
        for column, number, where in ((SCORE, state.version, alone), (CHAMPION_SCORE, state.champion, here))
    ]
    return rows.with_columns(scores)


def _faults(rows: pl.DataFrame, state: Rollout, spec: ModelSpec, split: bool) -> Stream:
    """Rows of this step that each version could not score, a block a day."""
    stream, time = Stream(), pl.col(spec.prediction.time)
    if not rows.height:
        return stream
    here = rows.filter(time >= read_moment(state.since))
    ours, theirs = (pl.col(ANSWERED), ~pl.col(ANSWERED)) if split else (pl.lit(True), pl.lit(True))
    days = here.group_by(time.dt.date().alias("day")).agg(
        requests=ours.sum() if split else pl.len(),
        faults=(ours & pl.col(SCORE).is_nan()).sum(),
        champion_requests=theirs.sum() if split else pl.len(),
        champion_faults=(theirs & pl.col(CHAMPION_SCORE).is_nan()).sum(),
    )
    for block in days.sort("day").drop("day").iter_rows(named=True):
        stream = stream.then(Stream(**block), plan_of(state).limits.error_rate or USUAL)
    return stream


def _judged(spec: ModelSpec, rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The rows that both versions scored, with LABEL and the code of their cluster: those whose label counts, of days that are over."""
    if not rows.height:
        return rows
    both = pl.col(SCORE).is_finite() & pl.col(CHAMPION_SCORE).is_finite()
    there = labelled(rows.filter(both, pl.col(spec.prediction.time) < _over(spec, now)), spec, now)
    if not there.height:
        return there.with_columns(pl.lit(0).alias(CLUSTER))
    return there.with_columns(pl.Series(CLUSTER, clusters(there, spec)[1]))


def _over(spec: ModelSpec, now: datetime) -> datetime:
    """The end of the newest day, or week, that is over: what goes on is no cluster yet."""
    if spec.gate.cluster not in (DAY, WEEK):
        return now
    local = now.astimezone(ZoneInfo(spec.calendar.timezone)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return local - timedelta(days=local.weekday()) if spec.gate.cluster == WEEK else local


def _drawn(spec: ModelSpec, rows: pl.DataFrame, state: Rollout, split: bool) -> pl.DataFrame:
    """Whether the version answered a row, as the split of the row's step draws its entity, and the group of that entity."""
    if not split:
        return rows.with_columns(pl.lit(value=False).alias(ANSWERED), pl.lit(0).alias(GROUP))
    by = plan_of(state).by or spec.prediction.key
    require(rows, by, "rollout.by")
    entities = rows.select(by).unique(maintain_order=True)
    requests = [SimpleNamespace(**row) for row in entities.iter_rows(named=True)]
    steps = _times(state)
    splits = {number: split_of(state, number).model_copy(update={"by": by}) for number, _ in steps}
    drawn = {
        f"_step {number}": pl.Series([split.takes(one) for one in requests], dtype=pl.Boolean)
        for number, split in splits.items()
    }
    groups = pl.Series(GROUP, [_group(one) for one in requests], dtype=pl.Int64)
    known = rows.join(
        entities.with_columns(groups, **drawn), by, how="left", nulls_equal=True, maintain_order="left"
    )
    answered = pl.lit(value=False)
    for number, since in steps:
        answered = pl.when(pl.col(spec.prediction.time) >= since).then(f"_step {number}").otherwise(answered)
    return known.with_columns(answered.alias(ANSWERED)).drop(*drawn)


def _times(state: Rollout) -> list[tuple[int, datetime]]:
    """Each step up to now, and the moment at which it began."""
    begun = [one.moment for one in state.transitions if one.kind in ("started", "advanced")]
    return [(number, read_moment(moment)) for number, moment in enumerate(begun)]


def _group(entity: SimpleNamespace) -> int:
    return int.from_bytes(hashlib.blake2b(repr(vars(entity)).encode(), digest_size=4).digest()) % GROUPS


def _both_answer(spec: ModelSpec, state: Rollout) -> pl.Expr:
    """Rows of the steps in which both versions answered somebody."""
    time, both = pl.col(spec.prediction.time), pl.lit(value=False)
    for number, since in _times(state):
        both = pl.when(time >= since).then(pl.lit(0 < steps_in(state)[number].share < 1)).otherwise(both)
    return both


def _side(frame: pl.DataFrame, score: str) -> Side:
    if not frame.height:
        empty = np.empty(0)
        return Side(empty, empty, empty, empty)
    y, scores = frame[LABEL].to_numpy().astype(np.float64), frame[score].to_numpy()
    return Side(y, scores, frame[CLUSTER].to_numpy(), frame[GROUP].to_numpy())
