"""What the endpoint's tests put in place of a trained model and of the feature store; named so, and used nowhere else."""

import json
from datetime import datetime

import numpy as np
import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from resources.endpoint_http import application
from resources.live_models import LiveModels


class FakeFeatures:
    """Answers `distance_squared` and how old the row is; a negative distance is a store that cannot be read."""

    def online(self, service: str, rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
        if rows["distance"].min() < 0:  # type: ignore[operator]
            raise OSError("feature store away")
        return rows.with_columns(
            distance_squared=pl.col("distance") ** 2,
            age_hours=(pl.lit(as_of) - pl.col("leaves_at")).dt.total_hours(),
            unknown=pl.lit(float("nan")),
        )

    def request_fields(self, service: str) -> dict[str, type]:
        return {"distance": float, "leaves_at": datetime}


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


def build(home):
    """The real application over real records, with the fake store."""
    models = LiveModels(home.serving, FakeFeatures())
    models.follow(every_s=0.1)
    return application(models, f"http://127.0.0.1:{home.serve_port}")
