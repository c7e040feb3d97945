"""The anchor in a partition's report: the champion that all later ones are held against, on the very rows that the champion scored.

Each promotion may lose a little against the champion before it. Held against the same anchor, partition after partition,
a champion that sinks step by step is seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.gate import clusters
from mlops_assets.ml.judging.paired import Effect, compare
from mlops_assets.ml.scores import ScoreError, in_words
from mlops_assets.ml.training.fit import Scorer
from mlops_assets.promotion import history
from mlops_assets.spec.columns import LABEL, SCORE, STORED_VERSION
from mlops_assets.spec.model import ModelSpec
from resources.audit.log import CHANGES
from resources.systems import Systems
from resources.tracking.tracking import TrackingError, Version

ANCHOR = "anchor"
"""The note of a report with the anchor's numbers, and whether it is worse or better in words."""

HALF = 0.025
"""Of the intervals, which are of 95%: what lies beyond either end."""


@dataclass(frozen=True)
class AnchorThen:
    """The anchor of a partition's champion, as of the partition's end: its version, or why there is nothing to score with."""

    champion: int
    version: Version | None = None
    why: str = ""
    load: Callable[[Version], bytes] | None = None

    def __str__(self) -> str:
        """What decides the line."""
        return f"{self.champion} {self.version.number} {self.version.sha256}" if self.version else self.why


def anchor_then(spec: ModelSpec, systems: Systems, name: str) -> AnchorThen | None:
    """The anchor of the champion that scored a partition, by the promotions up to the partition's end; None without champion."""
    scored = systems.lake.read(f"{spec.name}/predictions", [name], [STORED_VERSION])[STORED_VERSION].max()
    if scored is None:
        return None
    champion, span = int(scored), spec.calendar.partition(name)  # type: ignore[arg-type]
    changes = [c for c in systems.audit.entries(spec.name, CHANGES) if (c.moment or c.at) <= span.end]
    if not changes:
        return AnchorThen(champion, why=f"no promotion is on record up to {span.end}")
    number = history.find_anchor(changes, champion)
    if number == champion:
        return AnchorThen(champion, why=f"the champion, version {champion}, is the anchor")
    try:
        version = systems.tracking.version(spec.name, number)
    except TrackingError as error:
        return AnchorThen(champion, why=f"version {number} is not in the registry any more: {error}")
    if version.trained_until is None or version.trained_until > span.start:
        return AnchorThen(
            champion,
            why=f"version {number} was trained until {version.trained_until} and may have seen the partition's rows",
        )
    return AnchorThen(champion, version, load=systems.tracking.load)


def anchor_line(spec: ModelSpec, judged: pl.DataFrame, anchor: AnchorThen | None) -> dict[str, Any]:
    """The note of a report: metric of the anchor and of the champion on the labelled rows [LABEL, SCORE], and how far they are apart.

    `gain` is how much better the champion is, in units of the gate's metric, `low` and `high` its 95% interval by
    clusters of the gate (`ml/judging/paired.py`).
    """
    if anchor is None:
        return {}
    if anchor.version is None or anchor.load is None:
        return {ANCHOR: {"remark": anchor.why}}
    number, metric = anchor.version.number, spec.gate.metric
    if not judged.height:
        return {ANCHOR: {"version": number, "remark": f"version {number}; no label is known yet"}}
    try:
        theirs = _scores(spec, judged, anchor.version, anchor.load(anchor.version))
    except (DatasetError, ScoreError, TrackingError) as error:
        return {
            ANCHOR: {"version": number, "remark": f"version {number} cannot score the partition: {error}"}
        }
    _, codes = clusters(judged, spec)
    effect = compare(judged[LABEL].to_numpy(), judged[SCORE].to_numpy(), theirs, codes, metric)
    low, high = effect.interval(HALF)
    return {
        ANCHOR: {
            "version": number,
            "metric": metric,
            "anchor": effect.champion,
            "champion": effect.challenger,
            "gain": effect.gain,
            "low": low,
            "high": high,
            "clusters": effect.clusters,
            "rows": effect.rows,
            "remark": _remark(number, effect, low, high, spec.gate.cluster),
        }
    }


def _scores(spec: ModelSpec, rows: pl.DataFrame, version: Version, model: bytes) -> Any:
    name = f"version {version.number} of {spec.name}"
    scorer = Scorer(model, code=spec.code, kind=version.trainer, name=name)
    return scorer.predict(rows)


def _remark(number: int, effect: Effect, low: float | None, high: float | None, cluster: str) -> str:
    metric = effect.metric
    both = f"version {number} has {metric} {in_words(metric, effect.champion)}, the champion {in_words(metric, effect.challenger)}"
    if effect.gain is None:
        return f"{both}: no difference is defined"
    side = "better" if effect.gain >= 0 else "worse"
    span = "no interval" if low is None or high is None else f"95% interval {low:.4f} to {high:.4f}"
    return f"{both}: {abs(effect.gain):.4f} {side} ({span}, {effect.clusters} clusters by {cluster})"
