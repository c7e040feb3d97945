"""A pump with a reading of every type, and models that ask for some of them."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, Map, String, UnixTimestamp

from tests.every_type.kinds import every_type

pump = Entity(name="pump", join_keys=["pump"], value_type=ValueType.STRING)


def table(name: str) -> FileSource:
    return FileSource(
        name=name,
        path=f"features/{name}/*.parquet",
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )


for number, kind in enumerate(every_type()):
    globals()[f"view_{number}"] = FeatureView(
        name=f"view_{number}",
        entities=[pump],
        ttl=timedelta(days=2),
        schema=[Field(name="pump", dtype=String), Field(name="reading", dtype=kind)],
        source=table(f"view_{number}"),
    )
    globals()[f"service_{number}"] = FeatureService(
        name=f"service_{number}", features=[globals()[f"view_{number}"]]
    )

readings = FeatureView(
    name="readings",
    entities=[pump],
    ttl=timedelta(days=2),
    schema=[
        Field(name="pump", dtype=String),
        Field(name="running", dtype=Bool),
        Field(name="starts", dtype=Int32),
        Field(name="litres", dtype=Int64),
        Field(name="bar", dtype=Float32),
        Field(name="hertz", dtype=Float64),
        Field(name="maker", dtype=String),
        Field(name="serviced", dtype=UnixTimestamp),
        Field(name="spectrum", dtype=Array(Float64)),
    ],
    source=PushSource(name="pump_reading", batch_source=table("readings")),
)
photos = FeatureView(
    name="photos",
    entities=[pump],
    ttl=timedelta(days=2),
    schema=[
        Field(name="pump", dtype=String),
        Field(name="photo", dtype=Bytes),
        Field(name="labels", dtype=Map),
    ],
    source=PushSource(name="pump_photo", batch_source=table("photos")),
)
asked = RequestSource(
    name="asked",
    schema=[
        Field(name="at", dtype=UnixTimestamp),
        Field(name="alarms", dtype=Array(UnixTimestamp)),
        Field(name="heard", dtype=Array(Float64)),
        Field(name="urgent", dtype=Bool),
    ],
)


@on_demand_feature_view(
    sources=[readings, asked],
    mode="python",
    schema=[
        Field(name="days_since_service", dtype=Float64),
        Field(name="loudest", dtype=Float64),
        Field(name="alarms_since_service", dtype=Int64),
        Field(name="urgent_and_running", dtype=Bool),
    ],
)
def derived(columns):
    """Numbers of what no model takes: moments and lists."""
    serviced, alarms = columns["serviced"], columns["alarms"]
    return {
        "days_since_service": [
            None if then is None or now is None else (now - then).total_seconds() / 86_400
            for now, then in zip(columns["at"], serviced, strict=True)
        ],
        "loudest": [
            max([*(one or []), *(other or [])], default=None)
            for one, other in zip(columns["spectrum"], columns["heard"], strict=True)
        ],
        "alarms_since_service": [
            None if some is None else 0 if then is None else sum(one > then for one in some)
            for then, some in zip(serviced, alarms, strict=True)
        ],
        "urgent_and_running": [
            None if running is None or urgent is None else running and urgent
            for running, urgent in zip(columns["running"], columns["urgent"], strict=True)
        ],
    }


load = RequestSource(
    name="load",
    schema=[
        Field(name="parts", dtype=Int64),
        Field(name="weight", dtype=Float64),
        Field(name="blend", dtype=String),
    ],
)


@on_demand_feature_view(
    sources=[readings, load],
    mode="pandas",
    schema=[
        Field(name="weight_per_part", dtype=Float64),
        Field(name="parts_and_starts", dtype=Int64),
        Field(name="letters", dtype=Float64),
    ],
)
def loaded(columns):
    """Sums as pandas makes them, that know nothing of missing values."""
    import numpy as np
    import pandas as pd

    return pd.DataFrame(
        {
            "weight_per_part": np.sqrt(columns["weight"]) / (columns["parts"] + 1),
            "parts_and_starts": (columns["parts"] > 3) * 1 + columns["starts"],
            "letters": columns["blend"].str.len() + columns["bar"],
        }
    )


pump_loads_v1 = FeatureService(
    name="pump_loads_v1", features=[readings[["running", "starts", "bar", "maker"]], derived, loaded]
)
pump_stops_v1 = FeatureService(
    name="pump_stops_v1",
    features=[readings[["running", "starts", "litres", "bar", "hertz", "maker"]], derived],
)
