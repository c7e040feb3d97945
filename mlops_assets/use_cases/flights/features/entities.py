"""What features are about: each entity is one join key."""

from feast import Entity, ValueType

from mlops_assets.use_cases.flights.features.described import DOMAIN, KEYS, OWNER

TYPES = {"String": ValueType.STRING, "Int64": ValueType.INT64}


def entity(name: str) -> Entity:
    """The entity of that name, as the catalogue describes it."""
    key = KEYS[name]
    return Entity(
        name=name,
        value_type=TYPES[key.type],
        description=key.description,
        tags={"domain": DOMAIN},
        owner=OWNER,
    )


carrier, flight, origin, dest, tailnum, departure_hour = (
    entity(name) for name in ("carrier", "flight", "origin", "dest", "tailnum", "departure_hour")
)
