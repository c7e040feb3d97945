"""The evaluation: challenger and champion on the same newest days, which neither has seen."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.assets.criteria import criteria_rows
from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.metadata import markdown_table, metric_value, picture, small_picture
from mlops_assets.kit.run_tags import REASON_TAG, TRIGGER_TAG
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.promotion.queueing import record_superseded
from mlops_assets.promotion.records import record_evaluated
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.fingerprints import judge_code
from mlops_assets.stages.judging import Judged, is_on_record, judge_challenger, judged_on
from resources.records.attempts import AnchorMet

GATE = "challenger_passes_the_gate"
GATED = "Floors for any model; evidence against the champion on the same rows."


def evaluation(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/evaluation`, whose check is the gate: declarative automation waits for it, no run fails by it."""

    @model_stage(
        spec,
        "evaluation",
        after=["model"],
        uses=["tracking", "audit"],
        kinds={"scikitlearn", "mlflow"},
        code_version=judge_code(spec)[:12],
        check_specs=[check_spec([spec.name, "evaluation"], GATE, True, GATED)],
        description=f"Challenger against champion on the newest {spec.window.hold_out_days} days, "
        f"gated on {spec.gate.metric} by {spec.gate.evidence.replace('_', '-')}.",
    )
    def evaluation_(run: Run) -> Iterator[Any]:
        lake, audit = run.systems.lake, run.systems.audit
        decides = judged_on(spec, run.systems)
        content: Mapping[str, Any] | None = run.reuse.unchanged(
            None, decides, partial(is_on_record, spec, lake)
        )
        if content is None:
            reason = {"reason": run.tag(REASON_TAG), "trigger": run.tag(TRIGGER_TAG)}
            judged = judge_challenger(spec, run.systems, reason)
            record_evaluated(audit, spec, judged.attempt, run.lineage)
            record_superseded(audit, lake, spec.name, judged.attempt)
            verdict = judged.verdict
            content = {"digest": judged.digest, "promote": verdict.promote, "verdict": verdict.reason}
            run.reuse.note(None, judged.attempt.digest, content)
            shown = evaluation_metadata(judged)
        else:
            shown = run.shown_before()
        yield run.result(content["digest"], shown)
        yield check_result(GATE, content["promote"], False, {"verdict": content["verdict"]})

    return evaluation_


def evaluation_metadata(judged: Judged) -> dict[str, Any]:
    """What the asset page shows: the verdict first, then numbers side by side, slices and pictures."""
    attempt, verdict = judged.attempt, judged.verdict
    rule = attempt.evidence.rule
    champion = verdict.champion or {}
    sides = [
        {
            "metric": n,
            "challenger": metric_value(n, value),
            "champion": metric_value(n, champion[n]) if champion else None,
        }
        for n, value in verdict.challenger.items()
    ]
    return {
        "verdict": verdict.reason,
        "challenger version": attempt.challenger.version,
        "champion version": attempt.champion.version if attempt.champion else "none",
        **anchor_metadata(attempt.anchor),
        "held-out rows": attempt.hold_out.rows,
        "held out": f"{attempt.hold_out.first} to {attempt.hold_out.last}",
        "tests": markdown_table(criteria_rows([c for c in verdict.criteria if c.kind != "slice"], rule)),
        "metrics": markdown_table(sides),
        "slice tests": markdown_table(criteria_rows(verdict.of_kind("slice"), rule)),
        "slices too small to test": markdown_table(verdict.skipped),
        "slices": markdown_table(
            [{name: metric_value(name, value) for name, value in row.items()} for row in verdict.slices]
        ),
        "size and latency": markdown_table(judged.costs),
        **{f"challenger {name}": value for name, value in judged.costs[0].items() if name != "model"},
        **{name.replace("_", " "): small_picture(svg, name) for name, svg in judged.curves.items()},
        **{f"{name.replace('_', ' ')} plot": picture(png, name) for name, png in judged.plots.items()},
    }


def anchor_metadata(anchor: AnchorMet | None) -> dict[str, Any]:
    """The anchor, and what the champions since have spent of the margin; nothing where the rule needs no anchor."""
    if anchor is None:
        return {}
    if anchor.left is None or anchor.spent is None:
        return {
            "anchor version": anchor.version,
            "yearly margin": f"{anchor.margin:g}, unknown what is left",
        }
    spent = f"{anchor.spent:.4f} spent by the champion, {anchor.left:.4f} left"
    return {"anchor version": anchor.version, "yearly margin": f"{anchor.margin:g}: {spent}"}
