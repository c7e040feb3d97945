"""Judging: challenger, champion and anchor on the same newest days, which none of them has seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.anchor import Unjudged
from mlops_assets.ml.judging.gate import Contender, Verdict, judge
from mlops_assets.ml.judging.guardrails import LATENCY_ROWS, latency
from mlops_assets.ml.judging.plots import evaluation_plots, evidence_plots
from mlops_assets.ml.labels import known_at
from mlops_assets.ml.provenance.digest import Fingerprint
from mlops_assets.ml.reports.sparklines import sparklines
from mlops_assets.ml.training.fit import Scorer
from mlops_assets.ml.training.shards import Files
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.attempt import attempt_record
from mlops_assets.stages.errors import NotReadyError, StageError
from mlops_assets.stages.fingerprints import of_evaluation
from mlops_assets.stages.opponents import Anchor, opponents
from mlops_assets.stages.search_results import as_trained
from mlops_assets.stages.training import challenger_name, hold_out_start
from mlops_assets.stages.training_set import TrainingData, training_data
from resources.lake.lake import Lake
from resources.records.attempts import Attempt, Challenger, Timings
from resources.records.documents import load_record, save_record
from resources.systems import Systems
from resources.tracking.tracking import Tracking, Version


@dataclass(frozen=True)
class Judged:
    """A challenger judged: its record in the lake, the record's hash, the verdict, small curves (SVG) and plots (PNG).

    `costs` says what each contender takes, in bytes and milliseconds; what was timed stays out of the record.
    """

    attempt: Attempt
    digest: str
    verdict: Verdict
    curves: dict[str, str]
    plots: dict[str, bytes]
    costs: list[dict[str, Any]]


def judge_challenger(spec: ModelSpec, systems: Systems, reason: Mapping[str, str | None]) -> Judged:
    """Score challenger, champion and anchor on the held-out days, put the challenger through the gate, keep the record."""
    lake, tracking = systems.lake, systems.tracking
    candidate = challenger_on_record(spec, lake)
    spec = as_trained(spec, candidate)
    data = training_data(spec, lake, candidate.partition)
    against = opponents(spec, tracking, systems.audit, data, recalibrates=candidate.recalibrates)
    rows = hold_out(spec, data)
    challenger = contender(spec, tracking, tracking.version(spec.name, candidate.version), rows)
    beaten = contender(spec, tracking, against.champion, rows) if against.champion else None
    verdict = judge(rows, challenger, beaten, spec, anchor_on_trial(spec, against.anchor))
    attempt = attempt_record(spec, candidate, against, verdict, rows, reason)
    digest = save_record(lake, attempt_name(spec, data.partition), attempt)
    labels = rows[LABEL].to_numpy()
    curves = sparklines(labels, verdict.score, spec.task)
    drawn = evaluation_plots(labels, verdict.score, spec.task, candidate.importance, verdict.champion_score)
    plots = evidence_plots(verdict, spec.gate) | drawn
    costs = [
        contender_cost(role, side)
        for role, side in (("challenger", challenger), ("champion", beaten))
        if side
    ]
    save_record(lake, timings_name(spec, data.partition), Timings(contenders=costs))
    return Judged(attempt, digest, verdict, curves, plots, costs)


def challenger_on_record(spec: ModelSpec, lake: Lake) -> Challenger:
    """What the model's asset left for its evaluation."""
    candidate = load_record(lake, Challenger, challenger_name(spec))
    if candidate is None:
        raise NotReadyError(f"{spec.name} has no challenger yet: materialize {spec.name}/model first")
    return candidate


def judged_on(spec: ModelSpec, systems: Systems) -> Fingerprint:
    """What decides the verdict: the models and the rows."""
    candidate = challenger_on_record(spec, systems.lake)
    data = training_data(spec, systems.lake, candidate.partition)
    tracking = systems.tracking
    challenger = tracking.version(spec.name, candidate.version)
    against = opponents(spec, tracking, systems.audit, data, recalibrates=candidate.recalibrates)
    anchor = str(against.anchor) if against.anchor else None
    return of_evaluation(spec, challenger, against.champion, anchor, data.digest)


def is_on_record(spec: ModelSpec, lake: Lake, digest: str) -> bool:
    """Whether the record of the newest challenger's attempt is there and has this digest."""
    attempt = load_record(lake, Attempt, attempt_name(spec, challenger_on_record(spec, lake).partition))
    return attempt is not None and attempt.digest == digest


def contender(spec: ModelSpec, tracking: Tracking, version: Version, rows: pl.DataFrame) -> Contender:
    """A version on trial, with the time its predictions take; no rows, no time."""
    model = tracking.load(version)
    name = f"version {version.number}"
    scorer = Scorer(model, code=spec.code, kind=version.trainer, name=name)
    taken = latency(scorer, rows) if rows.height else None
    return Contender(name, version.sha256, len(model), scorer, seen_until(version), taken)


def anchor_on_trial(spec: ModelSpec, anchor: Anchor | None) -> Contender | Unjudged | None:
    """The anchor as the gate takes it; nobody asks how long its predictions take."""
    if anchor is None or anchor.fit is None:
        return anchor.unjudged if anchor else None
    try:
        scorer = Scorer(anchor.model, code=spec.code, kind=anchor.fit.trainer, name=anchor.name)
    except DatasetError as error:
        return Unjudged(anchor.name, f"cannot be loaded ({str(error).partition(';')[0]})")
    return Contender(anchor.name, anchor.fit.sha256, len(anchor.model), scorer, seen_until(anchor.fit))


def seen_until(version: Version) -> datetime:
    """Until when a version has seen what became known; raises where it does not say so."""
    if version.trained_until is None:
        raise StageError(
            f"{version.name}: version {version.number} has no tag trained_until, so that nobody knows which rows it has seen "
            "and it cannot be judged: train it again"
        )
    return version.trained_until


def contender_cost(role: str, side: Contender) -> dict[str, Any]:
    """What a contender takes: bytes, and milliseconds by number of rows."""
    taken = {
        f"ms for {rows:,} row{'s' * (rows > 1)}": (side.latency or {}).get(rows) for rows in LATENCY_ROWS
    }
    return {"model": f"{role}, {side.name}", "bytes": side.size, **taken}


def hold_out(spec: ModelSpec, data: TrainingData) -> pl.DataFrame:
    """Labelled rows of the held-out days; not those whose label was known before, which the challenger was fitted on.

    Where labels have a horizon, the challenger was fitted on what was predicted before: all rows count that it has passed for.
    """
    start = hold_out_start(spec, data)
    rows = Files(data.paths, data.now, start).read(spec)
    return rows if spec.label.waits else rows.filter(known_at(spec) > start)


def attempt_name(spec: ModelSpec, partition: str) -> str:
    """Where the record of the attempt at the end of a partition lies in the lake."""
    return f"{spec.name}/attempts/{partition}"


def timings_name(spec: ModelSpec, partition: str) -> str:
    """Where what was timed at an attempt lies in the lake, apart from its record, which repeats to the byte."""
    return f"{spec.name}/timings/{partition}"
