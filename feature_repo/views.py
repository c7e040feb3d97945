"""Feature views over the lake's feature tables, one each, with the time after which a value is too old to use.

Tables on a half-hourly or daily grid live for one step: where nothing happened there is no row, and the older
row must not stand in for it. Short lives also keep the offline join small.
"""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, PushSource
from feast.types import Float32, Int64, String

from feature_repo.entities import carrier, departure_hour, dest, flight, origin, tailnum

HALF_HOUR = timedelta(minutes=30)
HOURS_3 = timedelta(hours=3)
DAY = timedelta(days=1)
FOR_EVER = timedelta(0)


def view(
    name: str,
    keys: list[Entity],
    ttl: timedelta,
    features: list[str],
    integers: tuple[str, ...] = (),
    pushed_as: str | None = None,
) -> FeatureView:
    """A view of the feature table of that name; the source's path is relative to the lake.

    `pushed_as` names a push source through which rows may come between two ingestions. An event's timestamp is the
    moment from which it may be used; of two rows of one moment the one created last counts.
    """
    keys_schema = [Field(name=k.name, dtype=String if k.value_type.name == "STRING" else Int64) for k in keys]
    values = [Field(name=f, dtype=Int64 if f in integers else Float32) for f in features]
    table = FileSource(
        name=name,
        path=f"features/{name}/*.parquet",
        timestamp_field="event_timestamp",
        created_timestamp_column="created" if pushed_as else "",
    )
    source = PushSource(name=pushed_as, batch_source=table) if pushed_as else table
    return FeatureView(name=name, entities=keys, ttl=ttl, schema=keys_schema + values, source=source)


def only(whole: FeatureView, *features: str) -> FeatureView:
    """The view with some of its features."""
    part = whole[list(features)]
    assert isinstance(part, FeatureView)
    return part


weather = view(
    "weather",
    [origin],
    HOURS_3,
    ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"],
    pushed_as="weather_observation",
)
origin_traffic = view(
    "origin_traffic",
    [origin],
    HALF_HOUR,
    [
        "origin_departures",
        "origin_delay",
        "origin_late_share",
        "origin_arrival_delay",
        "origin_cancelled",
        "origin_overdue",
        "origin_overdue_minutes",
    ],
)
carrier_traffic = view(
    "carrier_traffic",
    [carrier, origin],
    HALF_HOUR,
    [
        "carrier_departures",
        "carrier_delay",
        "carrier_late_share",
        "carrier_arrival_delay",
        "carrier_cancelled",
        "carrier_overdue",
        "carrier_overdue_minutes",
    ],
)
dest_traffic = view(
    "dest_traffic",
    [dest],
    HALF_HOUR,
    ["dest_arrivals", "dest_arrival_delay", "dest_late_share", "dest_departure_delay", "dest_lost"],
)
carrier_record = view("carrier_record", [carrier], DAY, ["carrier_late_share_28d", "carrier_delay_28d"])
route_record = view(
    "route_record",
    [origin, dest],
    DAY,
    ["route_late_share_28d", "route_delay_28d", "route_flights", "route_distance"],
)
flight_record = view("flight_record", [carrier, flight], DAY, ["flight_late_share_28d", "flight_delay_28d"])
aircraft = view(
    "aircraft",
    [tailnum],
    DAY,
    ["aircraft_status", "aircraft_delay", "aircraft_leg_minutes", "aircraft_free_at", "aircraft_seen_at"],
    integers=("aircraft_free_at", "aircraft_seen_at"),
)
schedule = view(
    "schedule",
    [origin, departure_hour],
    DAY,
    [
        "schedule_departures",
        "schedule_departures_before",
        "schedule_departures_after",
        "schedule_destinations",
    ],
)
plane = view("plane", [tailnum], FOR_EVER, ["plane_year", "plane_seats"])
