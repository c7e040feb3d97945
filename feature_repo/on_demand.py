"""Features computed from the request, at training as at serving, by the very same function."""

import pandas as pd
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Int64

from feature_repo.catalogue import TRIP
from feature_repo.described import OWNER, REQUEST
from feature_repo.views import aircraft, describe, only, plane

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
    aircraft_inputs = ["aircraft_free_at", "aircraft_leg_minutes", "aircraft_seen_at", "plane_year"]
    needed = inputs[["departs_at", "arrives_at", "requested_at", *aircraft_inputs]]
    given = needed.apply(pd.to_numeric, errors="coerce")
    numbers = given.astype("float64")
    departs, arrives = numbers["departs_at"], numbers["arrives_at"]
    # Of whole numbers, and turned local once: pandas takes floats, and every field of a zoned moment, one by one.
    moments = pd.Series(pd.to_datetime(given["departs_at"], unit="s", utc=True))
    local = moments.dt.tz_convert("America/New_York").dt.tz_localize(None)
    minute, elapsed = local.dt.hour * 60 + local.dt.minute, (arrives - departs) / 60
    out = pd.DataFrame(index=inputs.index)
    out["trip_minute_of_day"] = minute
    out["trip_weekday"] = local.dt.weekday
    out["trip_minutes"] = elapsed
    out["trip_arrival_minute"] = minute + elapsed
    out["aircraft_years"] = local.dt.year - numbers["plane_year"]
    out["aircraft_unseen_minutes"] = (numbers["requested_at"] - numbers["aircraft_seen_at"]) / 60
    free = numbers["aircraft_free_at"] / 60 + numbers["aircraft_leg_minutes"]
    out["aircraft_slack_minutes"] = departs / 60 - free
    return out.astype("float32")


describe(trip, TRIP)
