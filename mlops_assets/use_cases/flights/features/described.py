"""The form in which features, views and join keys are described; the words themselves are in `catalogue.py`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

OWNER = "team:flights"
DOMAIN = "flights"
HALF_HOUR, HOURS_3, DAY = timedelta(minutes=30), timedelta(hours=3), timedelta(days=1)
FOR_EVER = timedelta(0)

Type = Literal["Float32", "Int64", "String"]


@dataclass(frozen=True)
class Feature:
    """One feature: its unit, the columns that can change it, and a sentence on what it says."""

    name: str
    unit: str
    inputs: str
    description: str
    type: Type = "Float32"


@dataclass(frozen=True)
class Key:
    """A column by which features are joined, and the raw column that it is made of, where that has another name."""

    name: str
    description: str
    type: Type = "String"
    made_of: str = ""


@dataclass(frozen=True)
class View:
    """A feature view: the table `flights/features/<name>`, made of the raw table `source`.

    A value older than `ttl` is not used. `rows` are the raw columns that decide at which moments there are rows.
    `pushed_as` names the push source through which rows may come between two ingestions.
    """

    name: str
    keys: tuple[str, ...]
    ttl: timedelta
    source: str
    rows: str
    description: str
    features: tuple[Feature, ...]
    pushed_as: str = ""

    def inputs_of(self, feature: Feature) -> tuple[str, ...]:
        """Columns of `source` that can change a feature, those of the keys first."""
        keys = (KEYS[key].made_of or key for key in self.keys)
        return tuple(dict.fromkeys([*keys, *feature.inputs.split()]))

    def tags(self) -> dict[str, str]:
        """What the view is filtered by, in Feast's registry and in Dagster's catalogue alike."""
        return {"domain": DOMAIN, "entity": ".".join(self.keys), "ttl": _life(self.ttl)}


@dataclass(frozen=True)
class OnDemand:
    """Features computed when they are asked for; their inputs are request columns and other features."""

    name: str
    description: str
    features: tuple[Feature, ...]

    def tags(self) -> dict[str, str]:
        """The domain, and what is said of each feature: `<feature>.unit`, `<feature>.inputs`, `<feature>.description`."""
        said = {
            f"{feature.name}.{what}": getattr(feature, what)
            for feature in self.features
            for what in ("unit", "inputs", "description")
        }
        return {"domain": DOMAIN, **said}


KEYS = {
    key.name: key
    for key in (
        Key("carrier", "Airline, two-letter IATA code."),
        Key("flight", "Flight number of the carrier.", "Int64"),
        Key("origin", "Airport of departure, IATA code."),
        Key("dest", "Airport of arrival, IATA code."),
        Key("tailnum", "Tail number of the aircraft."),
        Key(
            "departure_hour",
            "Start of the hour of the scheduled departure, unix seconds.",
            "Int64",
            "scheduled_departure",
        ),
    )
}

REQUEST = {
    "departs_at": "Scheduled departure, unix seconds.",
    "arrives_at": "Scheduled arrival, unix seconds.",
    "requested_at": "Moment of the prediction, unix seconds.",
}
"""What a request brings beside the keys."""


def _life(ttl: timedelta) -> str:
    minutes = int(ttl.total_seconds() // 60)
    units = (("d", 1440), ("h", 60), ("min", 1))
    return next(
        (f"{minutes // size}{unit}" for unit, size in units if minutes and minutes % size == 0), "for_ever"
    )
