"""A lake with six weeks of the invented parcels as a training set, as `<model>/training_set` leaves it."""

from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.spec.model import ModelSpec
from resources.audit.log import Audit
from resources.clock import Clock
from resources.lake.lake import Lake
from resources.pages import Pages
from resources.tracking.tracking import Tracking
from tests.ml.conftest import FEATURES, parcel_spec, parcels

ROWS = 4000
TRAINER = {
    "categories": ["depot"],
    "rounds": 30,
    "early_stopping_rounds": 5,
    "threads": 1,
    "parameters": {"max_depth": 2, "eta": 0.05},
}


def search_spec(trainer: dict[str, Any] | None = None, **search: Any) -> ModelSpec:
    """The parcels' spec with a search of six trials."""
    return parcel_spec(trainer=TRAINER | (trainer or {}), search={"trials": 6, "asha": {"grace": 3}} | search)


def parcel_lake(folder: Path, spec: ModelSpec, frame: pl.DataFrame | None = None) -> Lake:
    lake, rows = Lake(root=str(folder)), parcels(ROWS) if frame is None else frame
    notes = {"features": list(FEATURES), "feature definitions": "one"}
    for name in spec.calendar.names():
        span = spec.calendar.partition(name)
        start, end = span.start, span.end
        part = rows.filter(pl.col("sent").is_between(start, end, closed="left"))
        if part.height:
            lake.write(f"{spec.name}/training_set", part, name, spec.prediction.key, notes)
    return lake


def report_parts(lake: Lake) -> dict[str, Any]:
    """What a report on a partition is made with, beside a lake: an empty audit log and registry, and no server."""
    tracking = Tracking(uri=f"sqlite:///{lake.root}-mlflow.db", artifacts=f"{lake.root}-artifacts")
    audit, pages = Audit(folder=f"{lake.root}-audit"), Pages(dagster="", mlflow="")
    return {"lake": lake, "clock": Clock(), "tracking": tracking, "audit": audit, "pages": pages}
