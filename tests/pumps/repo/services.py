"""One entity, one view, one service."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, String

pump = Entity(name="pump", join_keys=["pump"], value_type=ValueType.STRING)
pump_state = FeatureView(
    name="pump_state",
    entities=[pump],
    ttl=timedelta(hours=12),
    schema=[
        Field(name="pump", dtype=String),
        Field(name="vibration", dtype=Float32),
        Field(name="score", dtype=Float32),
    ],
    source=FileSource(
        name="pump_state", path="pumps/features/pump_state/*.parquet", timestamp_field="event_timestamp"
    ),
)
pump_stops_v1 = FeatureService(name="pump_stops_v1", features=[pump_state])
