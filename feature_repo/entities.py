"""What features are about: each entity is one join key."""

from feast import Entity, ValueType

carrier = Entity(name="carrier", value_type=ValueType.STRING, description="Airline, IATA code.")
flight = Entity(name="flight", value_type=ValueType.INT64, description="Flight number of a carrier.")
origin = Entity(name="origin", value_type=ValueType.STRING, description="Airport of departure.")
dest = Entity(name="dest", value_type=ValueType.STRING, description="Airport of arrival.")
tailnum = Entity(name="tailnum", value_type=ValueType.STRING, description="Aircraft, tail number.")
departure_hour = Entity(
    name="departure_hour",
    value_type=ValueType.INT64,
    description="Start of the hour of departure, unix seconds.",
)
