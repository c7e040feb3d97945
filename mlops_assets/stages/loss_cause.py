"""What moved the loss of a version: how much each slice and each column have of its change, from the partitions before to one with labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.metrics import ROW_LOSSES, row_losses
from mlops_assets.ml.monitoring.attribution import Explained
from mlops_assets.ml.monitoring.loss_attribution import (
    LEAST_HISTORY,
    LOSS,
    Losses,
    expected,
    loss_by_column,
    loss_by_slice,
)
from mlops_assets.ml.scores import defined
from mlops_assets.ml.training.explained import SCORES, ExplainingScorer
from mlops_assets.spec.columns import LABEL, SCORE, STORED_VERSION
from mlops_assets.spec.model import ModelSpec
from resources.lake.lake import Lake, LakeError
from resources.tracking.tracking import Tracking, TrackingError

LOSS_CAUSE = "loss_cause"
"""The note of a report: in words what the mean loss changed by, or why that is not told; the parts of slices and of columns."""

MOST_LINES = 20
Load = Callable[[int], bytes]
"""Gives the bytes of a version by its number."""

LATER = "not told here: {0} tells it once labels of the partition are known"
"""What is said of a partition that has no report yet."""

UNLABELLED = "not told: no row that a champion scored has a label yet"
FROM = "_partition"


@dataclass(frozen=True, eq=False)
class Change:
    """Labelled rows of one version with LABEL, SCORE, LOSS and where they lie: those of partitions before, and those of now."""

    version: int
    metric: str
    before: pl.DataFrame
    now: pl.DataFrame

    @property
    def size(self) -> float:
        """The mean loss of now less that of before."""
        return float(np.mean(self.now[LOSS].to_numpy()) - np.mean(self.before[LOSS].to_numpy()))

    @property
    def span(self) -> tuple[float, float] | None:
        """Where the mean loss of now was to be expected in 95 of 100 cases, by the partitions before."""
        means = self.before.group_by(FROM, maintain_order=True).agg(pl.col(LOSS).mean())[LOSS]
        return expected(means.to_list())


def loss_note(
    spec: ModelSpec,
    lake: Lake,
    name: str,
    judged: pl.DataFrame,
    known: Mapping[str, pl.DataFrame],
    load: Load | None,
) -> dict[str, Any]:
    """The note of a report on labelled rows [LABEL, SCORE, STORED_VERSION] beside those of partitions before it (`known_before`).

    To columns only what chance does not explain is attributed, which takes a model.
    """
    newest, metric = judged[STORED_VERSION].max(), loss_metric(spec)
    if newest is None:
        return {LOSS_CAUSE: {"remark": UNLABELLED}}
    version = int(newest)  # type: ignore[arg-type]
    before = _rows_before(spec, known, version, metric)
    if not before.height:
        why = f"not told: no partition before was scored by version {version} and had labels by the end of this one"
        return {LOSS_CAUSE: {"remark": why}}
    now = _with_loss(judged.filter(pl.col(STORED_VERSION) == version), metric)
    change = Change(version, metric, before, now.with_columns(pl.lit(name).alias(FROM)))
    if defined(change.size) is None:
        return {LOSS_CAUSE: {"remark": f"not told: the mean {metric} of a row is too large for a number"}}
    said, is_shown = _in_words(change)
    columns, why = _columns(spec, lake, change, load) if is_shown else (None, "")
    return {
        LOSS_CAUSE: {
            "remark": said + (f"; not attributed to columns: {why}" if why else ""),
            "change": change.size,
            "slices": _lines(loss_by_slice(before, now, spec.slices)),
            "columns": _lines(columns) if columns is not None else [],
        }
    }


def loader(spec: ModelSpec, tracking: Tracking) -> Load:
    """What loads a version of the model from the registry."""
    return lambda number: tracking.load(tracking.version(spec.name, number))


def loss_remark(spec: ModelSpec, lake: Lake, name: str) -> str:
    """What the newest report on a partition says of its loss, or that none does yet."""
    table = f"{spec.name}/performance"
    notes = lake.manifest(table, name).notes if lake.described(table, name) else None
    note = (notes or {}).get(LOSS_CAUSE)
    return f"{note['remark']} ({table})" if note else LATER.format(table)


def loss_metric(spec: ModelSpec) -> str:
    """The loss whose mean is attributed: the gate's metric where that is a mean of losses (of rmse its square), else log_loss or mae."""
    if spec.gate.metric in ROW_LOSSES and spec.gate.metric != "bias":
        return spec.gate.metric
    return "log_loss" if spec.task == "classification" else "mae"


def _in_words(change: Change) -> tuple[str, bool]:
    """The change in words, and whether it is more than the partitions before let expect."""
    rows = f"{change.now.height:,} rows against {change.before.height:,} of {change.before[FROM].n_unique()} partitions before, all of version {change.version}"
    what = "squared error" if change.metric == "rmse" else change.metric
    said = f"mean {what} {'rose' if change.size > 0 else 'fell'} by {abs(change.size):.4g} ({rows})"
    span = change.span
    if span is None:
        return (
            f"{said}; whether by chance is not known with fewer than {LEAST_HISTORY} partitions before",
            False,
        )
    mean = float(np.mean(change.now[LOSS].to_numpy()))
    if span[0] <= mean <= span[1]:
        return f"{said}: within what partitions before let expect ({span[0]:.4g} to {span[1]:.4g})", False
    return f"{said}: beyond what partitions before let expect ({span[0]:.4g} to {span[1]:.4g})", True


def _columns(
    spec: ModelSpec, lake: Lake, change: Change, load: Load | None
) -> tuple[pl.DataFrame | None, str]:
    """The parts of the columns on seeded samples of both sides, or why there are none."""
    if load is None:
        return None, "no registry is at hand"
    name = f"version {change.version}"
    try:
        scorer = ExplainingScorer(load(change.version), code=spec.code, name=name)
        if scorer.contributions is None:
            return None, f"{name} is of a kind of trainer that does not say what each feature added"
        sides = [_explained(spec, lake, side, scorer, change.metric) for side in (change.before, change.now)]
    except (TrackingError, DatasetError, LakeError) as error:
        return None, f"{name} cannot be loaded or explained: {error}"
    (before, then), (now, today) = sides
    return loss_by_column(before, now, (then, today)), ""


def _explained(
    spec: ModelSpec, lake: Lake, rows: pl.DataFrame, scorer: ExplainingScorer, metric: str
) -> tuple[Explained, Losses]:
    """The contributions of a sample of rows, with their features read again, and their losses by raw scores."""
    assert scorer.contributions is not None
    key, features = spec.prediction.key, list(scorer.features)
    sample = rows.sample(min(rows.height, spec.drift.sample_rows), seed=spec.trainer.seed)
    parts = []
    for (name,), part in sample.select(*key, LABEL, FROM).partition_by(FROM, as_dict=True).items():
        columns = list(dict.fromkeys([*key, *features]))
        parts.append(part.join(lake.read(f"{spec.name}/training_set", [str(name)], columns), on=key))
    whole = pl.concat(parts, how="vertical_relaxed")
    added = scorer.contributions(whole)
    losses = _by_raw(whole[LABEL].to_numpy().astype(np.float64), SCORES[added.link], metric)
    return Explained(scorer.features, added.base, added.values), losses


def _by_raw(label: np.ndarray, link: Callable[[np.ndarray], np.ndarray], metric: str) -> Losses:
    return lambda raw: row_losses(label, link(raw), metric)


def _rows_before(
    spec: ModelSpec, known: Mapping[str, pl.DataFrame], version: int, metric: str
) -> pl.DataFrame:
    """The rows of partitions before that the version scored, of those that have every slice, with LOSS and where they lie."""
    parts = {one: rows for one, rows in known.items() if set(spec.slices) <= set(rows.columns)}
    if not parts:
        return pl.DataFrame()
    names = np.repeat(np.array([*parts], dtype=object), [rows.height for rows in parts.values()])
    whole = pl.concat(parts.values(), how="vertical_relaxed").with_columns(pl.Series(FROM, names, pl.String))
    return _with_loss(whole.filter(pl.col(STORED_VERSION) == version), metric)


def _with_loss(rows: pl.DataFrame, metric: str) -> pl.DataFrame:
    label, score = rows[LABEL].to_numpy().astype(np.float64), rows[SCORE].to_numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        return rows.with_columns(pl.Series(LOSS, row_losses(label, score, metric), dtype=pl.Float64))


def _lines(parts: pl.DataFrame) -> Sequence[dict[str, Any]]:
    return [
        {name: defined(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in parts.sort("share", descending=True, maintain_order=True).head(MOST_LINES).to_dicts()
    ]
