"""Features computed from the request, at training as at serving, by the very same function."""

from typing import Any

import numpy as np
import pandas as pd
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Int64

from mlops_assets.use_cases.flights.features.catalogue import TRIP
from mlops_assets.use_cases.flights.features.described import OWNER, REQUEST
from mlops_assets.use_cases.flights.features.views import aircraft, describe, only, plane

request = RequestSource(
    name="request",
    schema=[Field(name=name, dtype=Int64, description=text) for name, text in REQUEST.items()],
    description="What a request brings beside the keys.",
    owner=OWNER,
)


@on_demand_feature_view(
    sources=[
        request,
        only(aircraft, "aircraft_free_at", "aircraft_leg_minutes", "aircraft_seen_at"),
        only(plane, "plane_year"),
    ],
    schema=[
        Field(name="trip_minute_of_day", dtype=Float32),
        Field(name="trip_weekday", dtype=Float32),
        Field(name="trip_minutes", dtype=Float32),
        Field(name="trip_arrival_minute", dtype=Float32),
        Field(name="aircraft_years", dtype=Float32),
        Field(name="aircraft_unseen_minutes", dtype=Float32),
        Field(name="aircraft_slack_minutes", dtype=Float32),
    ],
    mode="pandas",
)
def trip(inputs: pd.DataFrame) -> pd.DataFrame:
    """Calendar and schedule in New York time, and how the aircraft's last leg fits before this one.

    Slack is what is left between the moment at which the aircraft's last leg ends, as far as was known, plus a
    flight back as long as that leg, and the scheduled departure.
    """
    names = ["departs_at", "arrives_at", "requested_at", "plane_year"]
    names += ["aircraft_free_at", "aircraft_leg_minutes", "aircraft_seen_at"]
    departs, arrives, requested, built, free_at, leg, seen = (
        np.asarray(pd.to_numeric(inputs[name], errors="coerce"), dtype="float64") for name in names
    )
    # New York's clock is whole hours from UTC: pandas turns each hour that occurs local once; -1 stands for none.
    place, hours = pd.factorize(departs // 3600)
    moments: Any = pd.to_datetime((hours * 3600).astype("int64"), unit="s", utc=True)
    local = moments.tz_convert("America/New_York")
    hour, weekday, year = (np.append(part, np.nan)[place] for part in (local.hour, local.weekday, local.year))
    minute, elapsed = hour * 60 + departs // 60 % 60, (arrives - departs) / 60
    out = {
        "trip_minute_of_day": minute,
        "trip_weekday": weekday,
        "trip_minutes": elapsed,
        "trip_arrival_minute": minute + elapsed,
        "aircraft_years": year - built,
        "aircraft_unseen_minutes": (requested - seen) / 60,
        "aircraft_slack_minutes": departs / 60 - (free_at / 60 + leg),
    }
    return pd.DataFrame({name: values.astype("float32") for name, values in out.items()}, inputs.index)


describe(trip, TRIP)
