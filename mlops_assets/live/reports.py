"""What a partition's reports in the lake say, in a line."""

from collections.abc import Iterator

import polars as pl

from mlops_assets.live.journal import Event
from mlops_assets.replay.tables import SHOWN
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.reporting import labels_known
from resources.lake.lake import Lake

MOST_COLUMNS = 6


def reported(spec: ModelSpec, lake: Lake, partition: str) -> Iterator[Event]:
    """How good a partition's scores were, and whether its features or scores have drifted."""
    report = lake.read(f"{spec.name}/performance", [partition]).row(0, named=True)
    notes = lake.manifest(f"{spec.name}/drift", partition).notes or {}
    version = report["model_version"]
    if version is None:
        text = f"{spec.name} {partition}: no champion scored it"
        yield Event("reported", text, partition, spec.name, {"version": None})
        return
    metrics = {name: report[name] for name in SHOWN[spec.task] if report[name] is not None}
    shown = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in metrics.items())
    psi, share = notes.get("prediction_psi"), notes.get("drift_share")
    numbers = {"version": version, **metrics, "prediction_psi": psi, "drift_share": share}
    text = f"{spec.name} {partition}: version {version}, {shown or 'no metric yet'}, {labels_known(report)}"
    yield Event("reported", text, partition, spec.name, numbers)
    moved = _moved(lake, spec.name, partition)
    if not (moved or notes.get("prediction_drifted")):
        return
    columns = ", ".join(moved[:MOST_COLUMNS]) + f" and {len(moved) - MOST_COLUMNS} more" * (
        len(moved) > MOST_COLUMNS
    )
    scores = "" if psi is None else f"; prediction PSI {psi:.3f}, limit {spec.drift.psi:g}"
    drifted = {"columns": moved, "scores": bool(notes.get("prediction_drifted"))}
    share_text = "" if share is None else f" ({share:.0%} of the columns)"
    text = f"{spec.name} {partition}: {columns or 'no column'} moved{share_text}{scores}"
    yield Event("drift", text, partition, spec.name, numbers | drifted)


def _moved(lake: Lake, model: str, partition: str) -> list[str]:
    """The columns that drifted, those that moved the most first."""
    columns = lake.read(f"{model}/drift", [partition])
    drifted = columns.filter(pl.col("drifted").fill_null(value=False))
    return drifted.sort("psi", descending=True, nulls_last=True)["column"].to_list()
