"""What a replay came to: one line a partition, every prediction, and whether retraining paid."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.judging.metrics import evaluate
from mlops_assets.ml.scores import defined
from mlops_assets.promotion.rollout_states import rollouts_of
from mlops_assets.spec.columns import LABEL, SCORE, STORED_SCORE, STORED_VERSION
from mlops_assets.spec.gate import METRICS
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.judging import attempt_name
from resources.lake.lake import Lake
from resources.moments import read_moment
from resources.records.attempts import Attempt
from resources.records.documents import load_record
from resources.records.rollout import Rollout

SHOWN = {"classification": ("auc", "log_loss"), "regression": ("mae", "rmse")}


def partitions_table(spec: ModelSpec, lake: Lake) -> pl.DataFrame:
    """One row a partition: rows, labelled, metrics, drift, decision and the version that served."""
    return pl.DataFrame(
        [partition_row(spec, lake, partition) for partition in lake.partitions(f"{spec.name}/drift")],
        infer_schema_length=None,
    )


def partition_row(spec: ModelSpec, lake: Lake, partition: str) -> dict[str, Any]:
    """The line of one partition."""
    report = lake.read(f"{spec.name}/performance", [partition]).row(0, named=True)
    drift = lake.manifest(f"{spec.name}/drift", partition).notes or {}
    return {
        "partition": partition,
        "rows": report["rows"],
        "labelled": report["labelled"],
        **{name: defined(report[name]) for name in SHOWN[spec.task]},
        "drift": drift.get("drift_share"),
        "version": report["model_version"],
        "decision": _decided(spec, lake, partition),
    }


def steps_table(spec: ModelSpec, lake: Lake) -> pl.DataFrame:
    """One row for each span of partitions up to one with a decision, over all rows of which labels count by now."""
    partitions = lake.partitions(f"{spec.name}/drift")
    decided = {*lake.records(f"{spec.name}/attempts"), *partitions[-1:]}
    scored, rows, step = lake.read(f"{spec.name}/predictions"), [], list[str]()
    for partition in partitions:
        step.append(partition)
        if partition in decided:
            rows.append(_step_row(spec, lake, scored, step))
            step = []
    return pl.DataFrame(rows, infer_schema_length=None)


def _step_row(spec: ModelSpec, lake: Lake, scored: pl.DataFrame, step: Sequence[str]) -> dict[str, Any]:
    reports = lake.read(f"{spec.name}/performance", step, ["rows", STORED_VERSION])
    served = scored.drop_nulls(STORED_SCORE)
    figures = totals(spec, served, step, lake)
    version = reports[STORED_VERSION].drop_nulls()
    return {
        "from": step[0],
        "to": step[-1],
        "rows": int(reports["rows"].sum()),
        "judged": figures.get("rows", 0),
        **{name: defined(figures.get(name)) for name in SHOWN[spec.task]},
        "version": version[-1] if version.len() else None,
        "decision": _decided(spec, lake, step[-1]),
    }


def _decided(spec: ModelSpec, lake: Lake, name: str) -> str:
    """What was decided at the end of a partition, and what roll-outs did at it."""
    attempt = load_record(lake, Attempt, attempt_name(spec, name))
    states = rollouts_of(lake, spec.name) if spec.rollout else []
    return "; ".join([decision(attempt, states), *moves(spec, states, name)])


def moves(spec: ModelSpec, states: Sequence[Rollout], name: str) -> list[str]:
    """What roll-outs did at the end of a partition, beside beginning."""
    end = spec.calendar.partition(name).end
    return [
        f"the roll-out of version {state.version} {one.kind.replace('_', ' ')}"
        for state in states
        for one in state.transitions
        if one.kind != "started" and read_moment(one.moment) == end
    ]


def decision(attempt: Attempt | None, states: Sequence[Rollout] = ()) -> str:
    """What was decided at the end of a partition, and why; `states` are the roll-outs that may have come of it."""
    if attempt is None:
        return "kept"
    trigger = (attempt.trigger or "by hand").replace("_", " ")
    final = attempt.final.version if attempt.final else None
    steps = any(state.promise.evidence.get("evaluation") == attempt.digest for state in states)
    how = "rolled out" if steps else "promoted"
    outcome = f"{how} as version {final}" if final else "rejected" if not attempt.promote else "not promoted"
    return f"retrained ({trigger}), {outcome}: {attempt.verdict}"


def totals(
    spec: ModelSpec, scored: pl.DataFrame, partitions: Sequence[str], lake: Lake
) -> dict[str, float | None]:
    """Metrics over all scored rows of some partitions, every label counted whenever it arrived; empty where there is none."""
    if scored.is_empty():
        return {}
    end = spec.calendar.partition(lake.partitions(f"{spec.name}/training_set")[-1]).end
    rows = labelled(lake.read(f"{spec.name}/training_set", partitions), spec, end)
    joined = rows.join(
        scored.select(*spec.prediction.key, pl.col(STORED_SCORE).alias(SCORE)), on=spec.prediction.key
    )
    if not joined.height:
        return {}
    figures = evaluate(joined[LABEL].to_numpy(), joined[SCORE].to_numpy(), spec.task)
    return {name: figures[name] for name in METRICS[spec.task]} | {"rows": joined.height}


def text_table(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as aligned text; floats to four digits, counts without any, nothing known as a dash."""
    lines = [{k: _cell(v) for k, v in row.items()} for row in rows]
    if not lines:
        return "(nothing yet)"
    widths = {k: max(len(k), *(len(line[k]) for line in lines)) for k in lines[0]}
    shown = ["  ".join(k.ljust(w) for k, w in widths.items()).rstrip()]
    shown += ["  ".join(line[k].ljust(w) for k, w in widths.items()).rstrip() for line in lines]
    return "\n".join(shown)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) >= 10 else f"{value:.4f}"
    return str(value)
