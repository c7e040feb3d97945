"""What the catalogue says of every column of the flights' tables; features are described in `mlops_assets/use_cases/flights/features/catalogue.py`."""

from collections.abc import Mapping

from mlops_assets.ml.tables import Column
from mlops_assets.use_cases.flights.features.catalogue import VIEWS
from mlops_assets.use_cases.flights.features.described import KEYS, View

_ZONE = (("flights/airports", "faa"), ("flights/airports", "tzone"))
_PLACES = {
    "origin": Column("Airport of departure, IATA code."),
    "dest": Column("Airport of arrival, IATA code."),
}

RAW: Mapping[str, Mapping[str, Column]] = {
    "flights/raw": {
        "flight_id": Column("Local date, carrier, number and route: the name of one flight."),
        "carrier": Column("Airline, two-letter IATA code."),
        "flight": Column("Flight number of the carrier."),
        "tailnum": Column("Tail number of the aircraft; assumed to be known when the prediction is made."),
        **_PLACES,
        "distance": Column("Distance between the two airports.", "miles"),
        "scheduled_departure": Column("When the flight is to leave the gate."),
        "scheduled_arrival": Column("When the flight is to reach the gate.", made_of=_ZONE),
        "departed_at": Column("When it left; missing for a cancelled flight."),
        "arrived_at": Column("When it arrived; missing for a flight cancelled or diverted.", made_of=_ZONE),
        "dep_delay": Column("How much later than scheduled it left; negative when early.", "minutes"),
        "arr_delay": Column("How much later than scheduled it arrived; negative when early.", "minutes"),
        "cancelled": Column("Whether it never left."),
        "diverted": Column("Whether it left and never arrived where it was to."),
        "prediction_time": Column("Two hours before the scheduled departure: the moment of the prediction."),
        "departure_known_at": Column("When its departure was known: when it happened."),
        "outcome_known_at": Column(
            "When its end was known: the arrival, the scheduled departure of a cancelled flight, four hours after a diverted one would have landed.",
            made_of=_ZONE,
        ),
    },
    "flights/schedule": {
        "flight_id": Column("Local date, carrier, number and route: the name of one flight."),
        "carrier": Column("Airline, two-letter IATA code."),
        "flight": Column("Flight number of the carrier."),
        **_PLACES,
        "scheduled_departure": Column("When the flight is to leave the gate."),
        "scheduled_arrival": Column("When the flight is to reach the gate.", made_of=_ZONE),
        "known_at": Column(
            "When its schedule was known: assumed to be a day before the scheduled departure."
        ),
    },
    "flights/weather": {
        "origin": Column("Airport of the observation, IATA code."),
        "time_hour": Column("Start of the hour that was observed."),
        **{f.name: Column(f.description, f.unit) for f in VIEWS["weather"].features},
        "known_at": Column("When the observation was known: an hour after its hour."),
    },
    "flights/planes": {
        "tailnum": Column("Tail number of the aircraft."),
        "year": Column("Year in which it was made.", "year"),
        "type": Column("Kind of aircraft."),
        "manufacturer": Column("Who made it."),
        "model": Column("The maker's name of the type."),
        "engines": Column("Number of engines.", "engines"),
        "seats": Column("Number of seats.", "seats"),
        "speed": Column("Average cruising speed; known of very few.", "mph"),
        "engine": Column("Kind of engine."),
    },
    "flights/airports": {
        "faa": Column("IATA code, as the FAA lists it."),
        "name": Column("Name of the airport."),
        "lat": Column("Latitude.", "degrees"),
        "lon": Column("Longitude.", "degrees"),
        "alt": Column("Altitude.", "feet"),
        "tz": Column("Offset from UTC in winter.", "hours"),
        "dst": Column("Rule of daylight saving: A as in the United States, N none, U unknown."),
        "tzone": Column("Name of the time zone, by which arrivals are read."),
    },
}
"""Raw tables; what comes straight from the files is made of no other table."""

PUSHED = Column("When a pushed row was received; null in what was ingested.")


def feature_columns(name: str) -> dict[str, Column]:
    """Every column of the table behind a feature view, with the raw columns that can change it."""
    view = VIEWS[name]
    keys = [KEYS[key].made_of or key for key in view.keys]
    rows = view.rows.split()
    return {
        **{
            key: Column(KEYS[key].description, made_of=_of(view, [KEYS[key].made_of or key]))
            for key in view.keys
        },
        "event_timestamp": Column(
            "From when on the row may be used: all of it was known.", made_of=_of(view, rows)
        ),
        **{f.name: Column(f.description, f.unit, _of(view, view.inputs_of(f))) for f in view.features},
        "content_known_at": Column(
            "When the newest of the row's inputs was known.", made_of=_of(view, [*keys, *rows])
        ),
        **({"created": PUSHED} if view.pushed_as else {}),
    }


def _of(view: View, columns: list[str] | tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((view.source, column) for column in dict.fromkeys(columns))
