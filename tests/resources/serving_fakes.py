"""What the endpoint's tests put in place of a trained model and of the feature store; named so, and used nowhere else."""

import json
from datetime import datetime

import numpy as np
import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from resources.features.service import DescribedService, DescribedView
from resources.features.vectors import OnlineVectors
from resources.serving.code import Code
from resources.serving.http.predict import application
from resources.serving.live_models import LiveModels
from resources.serving.log_writer import EVERY_S, ServingLog

PATIENT = "patient"
FEATURES = ("distance_squared", "age_hours", "unknown")


class FakeFeatures:
    """Answers `distance_squared` and how old the row is; a negative distance is a store that cannot be read."""

    def of(self, use_case: str) -> "FakeFeatures":
        return self

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors:
        if rows["distance"].min() < 0:  # type: ignore[operator]
            raise OSError("feature store away")
        frame = rows.with_columns(
            distance_squared=pl.col("distance") ** 2,
            age_hours=(pl.lit(as_of) - pl.col("leaves_at")).dt.total_hours(),
            unknown=pl.lit(float("nan")),
        )
        times, statuses = pl.lit(as_of, pl.Datetime("us", "UTC")), pl.lit("PRESENT")
        return OnlineVectors(
            frame,
            rows.with_columns(times.alias(name) for name in FEATURES).select(FEATURES),
            rows.with_columns(statuses.alias(name) for name in FEATURES).select(FEATURES),
        )

    def describe(self, service: str) -> DescribedService:
        view = DescribedView("trip", "v1", FEATURES)
        return DescribedService(service, "d1", ("distance", "leaves_at"), (view,))

    def request_fields(self, service: str) -> dict[str, type]:
        return {"distance": float, "leaves_at": datetime}

    def feature_types(self, service: str) -> dict[str, pl.DataType]:
        return {"distance_squared": pl.Float64(), "age_hours": pl.Int64(), "unknown": pl.Float64()}


class FakeScorer:
    """Reads `{"slope": ...}` and multiplies; a negative slope is a model that does not load."""

    def __init__(self, model: bytes) -> None:
        self.slope = float(json.loads(model)["slope"])
        if self.slope < 0:
            raise ValueError(f"slope {self.slope} is negative")

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return frame["distance_squared"].to_numpy() * self.slope


class TripRequest(BaseModel):
    """One trip; the distance comes from the length of the route's name."""

    model_config = ConfigDict(extra="forbid")

    route: str = Field(pattern=r"^[A-Z]{3}-[A-Z]{3}$", examples=["JFK-LAX"])
    leaves_at: AwareDatetime


def trip_rows(trips: pl.DataFrame) -> pl.DataFrame:
    """Adds `distance`, the length of the route's name."""
    return trips.with_columns(distance=pl.col("route").str.len_chars().cast(pl.Float64))


def declared(name: str) -> Code:
    """What a repository with these fakes would say of every model; by each of the two names that this module has."""
    here = ("tests.resources.serving_fakes", "serving_fakes")
    return Code(
        names={
            "scorer": frozenset(f"{module}:FakeScorer" for module in here),
            "rows": frozenset(f"{module}:trip_rows" for module in here),
            "request": frozenset(f"{module}:TripRequest" for module in here),
        },
        scorer=FakeScorer,
    )


def build(home):
    """The real application over real records, with the fake store; a patient log writes only when it is closed."""
    log = ServingLog(home.serving_log, every_s=3600.0 if (home.home / PATIENT).exists() else EVERY_S)
    models = LiveModels(home.serving, FakeFeatures(), declared, log)
    models.follow(every_s=0.1)
    return application(models, f"http://127.0.0.1:{home.serve_port}", log)
