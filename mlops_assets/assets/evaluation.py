"""The evaluation: challenger and champion on the same newest days, which neither has seen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.assets.criteria import criteria_rows
from mlops_assets.assets.model import REASON_TAG, TRIGGER_TAG, hold_out_start, run_lineage
from mlops_assets.assets.training_set import TrainingData, training_data
from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.costs import costed
from mlops_assets.kit.metadata import markdown_table, picture, small_picture, told
from mlops_assets.kit.reuse import Reuse
from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.anchor import Unjudged
from mlops_assets.ml.judging.gate import Contender, Verdict, judge
from mlops_assets.ml.judging.guardrails import LATENCY_ROWS, latency
from mlops_assets.ml.judging.metrics import evaluation_plots
from mlops_assets.ml.judging.plots import evidence_plots
from mlops_assets.ml.provenance.digest import Fingerprint
from mlops_assets.ml.reports.sparklines import sparklines
from mlops_assets.ml.training.fit import Scorer
from mlops_assets.ml.training.shards import Files
from mlops_assets.promotion.records import evaluation_digest, record_evaluated
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.attempt import attempt_record
from mlops_assets.stages.fingerprints import judge_code, of_evaluation
from mlops_assets.stages.opponents import Anchor, opponents
from mlops_assets.stages.searched import as_trained
from resources.audit.log import Audit
from resources.lake.lake import Lake
from resources.tracking.tracking import Tracking, Version

GATE = "challenger_passes_the_gate"


def evaluation(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/evaluation`, whose check is the gate: declarative automation waits for it, no run fails by it."""
    path = [spec.name, "evaluation"]

    @dg.asset(
        key=path,
        deps=[dg.AssetKey([spec.name, "model"])],
        code_version=judge_code(spec)[:12],
        check_specs=[
            check_spec(
                path, GATE, True, "Floors for any model; evidence against the champion on the same rows."
            )
        ],
        group_name=spec.name,
        kinds={"scikitlearn", "mlflow"},
        owners=[spec.owner],
        description=f"Challenger against champion on the newest {spec.window.hold_out_days} days, "
        f"gated on {spec.gate.metric} by {spec.gate.evidence.replace('_', '-')}.",
    )
    @costed
    def evaluation_(
        context: dg.AssetExecutionContext, lake: Lake, tracking: Tracking, audit: Audit
    ) -> Iterator[Any]:
        reason = {"reason": context.run.tags.get(REASON_TAG), "trigger": context.run.tags.get(TRIGGER_TAG)}
        reuse = Reuse.of(context, lake, f"{spec.name}/evaluation")
        kept = reuse.unchanged(
            None, judged_on(spec, lake, tracking, audit), partial(is_on_record, spec, lake)
        )
        if kept is None:
            judged = judge_challenger(spec, lake, tracking, audit, reason)
            record_evaluated(audit, spec, judged.attempt, run_lineage(context))
            verdict = judged.verdict
            kept = {"digest": judged.digest, "promote": verdict.promote, "verdict": verdict.reason}
            reuse.made(None, evaluation_digest(judged.attempt), kept)
            shown = evaluation_metadata(judged)
        else:
            shown = reuse.shown_before(context)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(kept["digest"]), metadata=shown | reuse.counts()
        )
        reuse.remember()
        yield check_result(GATE, kept["promote"], False, {"verdict": kept["verdict"]})

    return evaluation_


@dataclass(frozen=True)
class Judged:
    """A challenger judged: its record in the lake, the record's hash, the verdict, small curves (SVG) and plots (PNG).

    `costs` says what each contender takes, in bytes and milliseconds; what was timed stays out of the record.
    """

    attempt: dict[str, Any]
    digest: str
    verdict: Verdict
    curves: dict[str, str]
    plots: dict[str, bytes]
    costs: list[dict[str, Any]]


def judge_challenger(
    spec: ModelSpec, lake: Lake, tracking: Tracking, audit: Audit, reason: Mapping[str, str | None]
) -> Judged:
    """Score challenger, champion and anchor on the held-out days, put the challenger through the gate, keep the record."""
    candidate = challenger_on_record(spec, lake)
    spec = as_trained(spec, candidate)
    data = training_data(spec, lake, candidate["week"])
    against = opponents(spec, tracking, audit, data)
    rows = hold_out(spec, data)
    challenger = contender(spec, tracking, tracking.version(spec.name, candidate["version"]), rows)
    beaten = contender(spec, tracking, against.champion, rows) if against.champion else None
    verdict = judge(rows, challenger, beaten, spec, anchor_on_trial(spec, against.anchor))
    attempt = attempt_record(spec, candidate, against, verdict, rows, reason)
    digest = lake.write_json(attempt_name(spec, data.week), attempt)
    labels = rows[LABEL].to_numpy()
    curves = sparklines(labels, verdict.score, spec.task)
    drawn = evaluation_plots(
        labels, verdict.score, spec.task, candidate["importance"], verdict.champion_score
    )
    plots = evidence_plots(verdict, spec.gate) | drawn
    costs = [
        contender_cost(role, side)
        for role, side in (("challenger", challenger), ("champion", beaten))
        if side
    ]
    lake.write_json(timings_name(spec, data.week), {"contenders": costs})
    return Judged(attempt, digest, verdict, curves, plots, costs)


def challenger_on_record(spec: ModelSpec, lake: Lake) -> dict[str, Any]:
    """What the model's asset left for its evaluation."""
    candidate = lake.read_json(f"{spec.name}/challenger")
    if candidate is None:
        raise dg.Failure(f"{spec.name} has no challenger yet: materialize {spec.name}/model first")
    return candidate


def judged_on(spec: ModelSpec, lake: Lake, tracking: Tracking, audit: Audit) -> Fingerprint:
    """What decides the verdict: the models and the rows."""
    candidate = challenger_on_record(spec, lake)
    data = training_data(spec, lake, candidate["week"])
    challenger = tracking.version(spec.name, candidate["version"])
    against = opponents(spec, tracking, audit, data)
    anchor = str(against.anchor) if against.anchor else None
    return of_evaluation(spec, challenger, against.champion, anchor, data.digest)


def is_on_record(spec: ModelSpec, lake: Lake, digest: str) -> bool:
    """Whether the record of the newest challenger's attempt is there and has this digest."""
    attempt = lake.read_json(attempt_name(spec, challenger_on_record(spec, lake)["week"]))
    return attempt is not None and evaluation_digest(attempt) == digest


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
        return anchor and anchor.unjudged
    try:
        scorer = Scorer(anchor.model, code=spec.code, kind=anchor.fit.trainer, name=anchor.name)
    except DatasetError as error:
        return Unjudged(anchor.name, f"cannot be loaded ({str(error).partition(';')[0]})")
    return Contender(anchor.name, anchor.fit.sha256, len(anchor.model), scorer, seen_until(anchor.fit))


def seen_until(version: Version) -> datetime:
    """Until when a version has seen what became known; raises where it does not say so."""
    if version.trained_until is None:
        raise dg.Failure(
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
    """Labelled rows of the held-out days; not those whose label was known before, which the challenger was fitted on."""
    start = hold_out_start(spec, data)
    rows = Files(data.paths, data.now, start).read(spec)
    return rows.filter(pl.col(spec.label.known_at) > start)


def attempt_name(spec: ModelSpec, week: str) -> str:
    """Where the record of the attempt at the end of a week lies in the lake."""
    return f"{spec.name}/attempts/{week}"


def timings_name(spec: ModelSpec, week: str) -> str:
    """Where what was timed at an attempt lies in the lake, apart from its record, which repeats to the byte."""
    return f"{spec.name}/timings/{week}"


def evaluation_metadata(judged: Judged) -> dict[str, Any]:
    """What the asset page shows: the verdict first, then numbers side by side, slices and pictures."""
    attempt, verdict = judged.attempt, judged.verdict
    rule = attempt["evidence"]["rule"]
    champion = verdict.champion or {}
    sides = [
        {"metric": n, "challenger": told(n, value), "champion": told(n, champion[n]) if champion else None}
        for n, value in verdict.challenger.items()
    ]
    return {
        "verdict": verdict.reason,
        "challenger version": attempt["challenger"]["version"],
        "champion version": (attempt["champion"] or {}).get("version", "none"),
        **anchor_metadata(attempt["anchor"]),
        "held-out rows": attempt["hold_out"]["rows"],
        "held out": f"{attempt['hold_out']['from']} to {attempt['hold_out']['to']}",
        "tests": markdown_table(criteria_rows([c for c in verdict.criteria if c.kind != "slice"], rule)),
        "metrics": markdown_table(sides),
        "slice tests": markdown_table(criteria_rows(verdict.of_kind("slice"), rule)),
        "slices too small to test": markdown_table(verdict.skipped),
        "slices": markdown_table(
            [{name: told(name, value) for name, value in row.items()} for row in verdict.slices]
        ),
        "size and latency": markdown_table(judged.costs),
        **{f"challenger {name}": value for name, value in judged.costs[0].items() if name != "model"},
        **{name.replace("_", " "): small_picture(svg, name) for name, svg in judged.curves.items()},
        **{f"{name.replace('_', ' ')} plot": picture(png, name) for name, png in judged.plots.items()},
    }


def anchor_metadata(anchor: Mapping[str, Any] | None) -> dict[str, Any]:
    """The anchor, and what the champions since have spent of the margin; nothing where the rule needs no anchor."""
    if anchor is None:
        return {}
    if anchor["left"] is None:
        return {
            "anchor version": anchor["version"],
            "yearly margin": f"{anchor['margin']:g}, unknown what is left",
        }
    spent = f"{anchor['spent']:.4f} spent by the champion, {anchor['left']:.4f} left"
    return {"anchor version": anchor["version"], "yearly margin": f"{anchor['margin']:g}: {spent}"}
