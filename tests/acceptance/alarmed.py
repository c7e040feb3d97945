"""A second model in a watched state, whose newest week raised a calibrated alarm: parcels that are heavier, which come later."""

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.assets.monitoring import drift
from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.monitoring.drift import reference_profile, score_profile
from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.stages.alerting import look_at_models, settle
from mlops_assets.stages.judging import attempt_name
from mlops_assets.stages.reference import reference_name
from resources.clock import wall
from resources.cluster import resources_of
from resources.lake.lake import Lake
from resources.pages import Pages
from resources.records.documents import save_note, save_record
from resources.records.notes import Making
from resources.settings import Settings
from resources.systems import Systems
from resources.tracking.tracking import Tracking
from tests.ml.conftest import FEATURES, parcel_spec, parcels
from tests.parcel_weeks import TRAINER, parcel_lake
from tests.record_samples import attempt

SPEC = parcel_spec(name="heavy_parcel", drift={"false_alarm_every": 10}, trainer=TRAINER)
WEEKS = SPEC.calendar.names()[:12]
TRAINED, WEEK = WEEKS[8], WEEKS[11]
VIEW = "features/scales"
CODE = "c0de" * 16
DEFINITIONS = """\
import dagster as dg
from mlops_assets.assets.monitoring import drift
from mlops_assets.kit.systems import injected
from resources.cluster import resources_of
from resources.settings import settings
from tests.acceptance.alarmed import SPEC

defs = dg.Definitions([drift(SPEC)], resources=injected(resources_of(settings())))
"""


def workspace(folder: Path) -> Path:
    """The file of a workspace with the model's drift asset alone."""
    folder.mkdir()
    (folder / "heavy.py").write_text(DEFINITIONS)
    file = folder / "workspace.yaml"
    file.write_text("load_from: [{python_file: heavy.py}]\n")
    return file


def alarm(where: Settings, dagster: str, endpoint: str) -> None:
    """Twelve weeks of which nine were learnt and the last two are heavier, the last week's report made by a run, and its alert raised."""
    parts: dict[str, Any] = resources_of(where) | {
        "pages": Pages(dagster=dagster, mlflow="", endpoint=endpoint)
    }
    lake, tracking = parts["lake"], parts["tracking"]
    heavy_weeks(lake, tracking)
    with dg.DagsterInstance.from_config(str(where.dagster_home)) as instance:
        made = dg.materialize([drift(SPEC)], partition_key=WEEK, instance=instance, resources=parts)
    assert made.success
    findings = look_at_models(Systems.of(parts), {SPEC.name: SPEC}, parts["alerts"].policy.limits)
    assert [one.kind for one in findings.alerts if one.kind == "drift_alarm"]
    settle(parts["alerts"], findings, wall(), parts["alerts"].policy)


def heavy_weeks(lake: Lake, tracking: Tracking) -> None:
    """The weeks, a registered version 1 with its reference, and the view that the weight comes from."""
    start = SPEC.calendar.partition(WEEKS[10]).start
    heavier = (pl.col("sent") >= start).cast(pl.Float32) * 0.8
    rows = parcels(4 * 24 * 7 * 12).with_columns(pl.col("weight") + heavier)
    rows = rows.with_columns(pl.col("delay") + 8 * pl.col("weight"))
    parcel_lake(Path(lake.root), SPEC, rows)
    table = f"{SPEC.name}/training_set"
    now, manifest = lake.read(table, [WEEK]), lake.manifest(table, WEEK)
    written = lake.write(VIEW, now.select("parcel", "weight"), WEEK)
    save_note(lake, VIEW, WEEK, Making(sha256=written.sha256, fingerprint={"code": CODE}, kept={}))
    lake.write(table, now, WEEK, notes=manifest.notes, made_of={f"{VIEW}@{WEEK}": written.sha256})
    save_record(lake, attempt_name(SPEC, TRAINED), attempt(week=TRAINED, final={"version": 1}))
    known = labelled(rows, SPEC, SPEC.calendar.partition(TRAINED).end)
    register(tracking, fit(known, SPEC, FEATURES).model, known)
    lake.write(f"{SPEC.name}/reference", known.select(*FEATURES, "depot").head(1500), "000001")
    score = (pl.int_range(now.height) / now.height).alias("score")
    scores = score_profile(now.select(score)["score"].to_numpy())
    profile = {"features": reference_profile(known, FEATURES, ["depot"]), "scores": scores}
    lake.write_json(reference_name(SPEC, 1), profile | {"metrics": {"auc": 0.8}, "columns": list(FEATURES)})
    scored = now.select("parcel", "sent", score, pl.lit(1, pl.Int64).alias("model_version"))
    lake.write(f"{SPEC.name}/predictions", scored, WEEK)


def register(tracking: Tracking, model: bytes, known: pl.DataFrame) -> None:
    """Make a model the first version in the registry."""
    run = tracking.log_fit(
        SPEC.name,
        model,
        kind="challenger",
        identity="one",
        params={},
        history={},
        metrics={},
        tags={"trainer": SPEC.trainer.kind},
        example=known.select([*FEATURES, "depot"]).head(3),
        file=trainer_kind(SPEC.trainer.kind).file,
    )
    assert tracking.register(SPEC.name, run, "one", {"trainer": SPEC.trainer.kind}).number == 1
