"""What every feature means, in which unit, and which raw columns it is made of: the one place where this is written.

Plain data without Feast, so that whoever shows, checks or documents a feature can read it in no time: `views.py` makes
Feast's views of it, `mlops_assets/use_cases/flights/` the feature tables and their pages in Dagster.

`inputs` are the columns of the view's raw table that can change a feature; the columns of the view's keys count as
well and are not repeated. A count is zero, not unknown, where a row exists, so that all that makes rows exist is an input of it.
`tests/flights/test_lineage.py` changes every raw column and sees which features move.
"""

from mlops_assets.use_cases.flights.features.described import (
    DAY,
    FOR_EVER,
    HALF_HOUR,
    HOURS_3,
    Feature,
    OnDemand,
    View,
)

_EVENTS = "scheduled_departure departed_at arrived_at cancelled outcome_known_at"
_ENDS = "departed_at arrived_at cancelled diverted outcome_known_at"
_LAST_SEEN = f"scheduled_departure {_ENDS}"


def _weather() -> tuple[Feature, ...]:
    measured = {
        "temp": ("°F", "Air temperature."),
        "dewp": ("°F", "Dew point."),
        "humid": ("%", "Relative humidity."),
        "wind_dir": ("degrees", "Where the wind comes from, clockwise from north."),
        "wind_speed": ("mph", "Wind speed."),
        "wind_gust": ("mph", "Speed of gusts, unknown in calm air."),
        "precip": ("inches", "Precipitation within the hour."),
        "pressure": ("mbar", "Air pressure at sea level."),
        "visib": ("miles", "How far one sees, ten at most."),
    }
    return tuple(Feature(name, unit, f"known_at {name}", text) for name, (unit, text) in measured.items())


def _traffic(prefix: str, whose: str) -> tuple[Feature, ...]:
    left, these = "dep_delay departed_at", whose.capitalize()
    late = f"Share of {whose} that left in the last 3 hours, and more than 15 minutes late."
    return (
        Feature(
            f"{prefix}_departures",
            "flights",
            f"{_EVENTS} dep_delay",
            f"{these} that left in the last 3 hours.",
        ),
        Feature(f"{prefix}_delay", "minutes", left, f"Mean delay of {whose} that left in the last 3 hours."),
        Feature(f"{prefix}_late_share", "share", left, late),
        Feature(
            f"{prefix}_arrival_delay",
            "minutes",
            "arr_delay arrived_at",
            f"Mean arrival delay of {whose} that landed in the last 3 hours.",
        ),
        Feature(
            f"{prefix}_cancelled", "flights", _EVENTS, f"{these} that were cancelled in the last 3 hours."
        ),
        Feature(
            f"{prefix}_overdue",
            "flights",
            _EVENTS,
            f"{these} that were to leave in the last 4 hours and have not.",
        ),
        Feature(
            f"{prefix}_overdue_minutes",
            "minutes",
            _EVENTS,
            f"How long {whose} that were to leave in the last 4 hours have waited, added up.",
        ),
    )


def _record(prefix: str, whose: str) -> tuple[Feature, ...]:
    ended = "arr_delay outcome_known_at"
    late = f"Share of arrivals {whose} in the last 28 days that were more than 15 minutes late."
    mean = f"Mean delay of arrivals {whose} in the last 28 days."
    return (
        Feature(f"{prefix}_late_share_28d", "share", ended, late),
        Feature(f"{prefix}_delay_28d", "minutes", ended, mean),
    )


VIEWS = {
    view.name: view
    for view in (
        View(
            "weather",
            keys=("origin",),
            ttl=HOURS_3,
            source="flights/weather",
            rows="known_at",
            description="The newest weather observation at each origin, known an hour after its hour.",
            features=_weather(),
            pushed_as="weather_observation",
        ),
        View(
            "origin_traffic",
            keys=("origin",),
            ttl=HALF_HOUR,
            source="flights/raw",
            rows=_EVENTS,
            description="How departures from each origin go: delays, cancellations and overdue flights of the last hours, every half hour.",
            features=_traffic("origin", "flights from the origin"),
        ),
        View(
            "carrier_traffic",
            keys=("carrier", "origin"),
            ttl=HALF_HOUR,
            source="flights/raw",
            rows=_EVENTS,
            description="How departures of each carrier from each origin go: delays, cancellations and overdue flights of the last hours, every half hour.",
            features=_traffic("carrier", "flights of the carrier from the origin"),
        ),
        View(
            "dest_traffic",
            keys=("dest",),
            ttl=HALF_HOUR,
            source="flights/raw",
            rows=_ENDS,
            description="How flights to each destination went over the last hours, and how many were cancelled or diverted, every half hour.",
            features=(
                Feature(
                    "dest_arrivals",
                    "flights",
                    f"{_ENDS} arr_delay",
                    "Flights that landed at the destination in the last 3 hours.",
                ),
                Feature(
                    "dest_arrival_delay",
                    "minutes",
                    "arr_delay arrived_at",
                    "Mean delay of flights that landed at the destination in the last 3 hours.",
                ),
                Feature(
                    "dest_late_share",
                    "share",
                    "arr_delay arrived_at",
                    "Share of flights that landed at the destination in the last 3 hours, and more than 15 minutes late.",
                ),
                Feature(
                    "dest_departure_delay",
                    "minutes",
                    "dep_delay departed_at",
                    "Mean delay of flights to the destination that left in the last 3 hours.",
                ),
                Feature(
                    "dest_lost",
                    "flights",
                    _ENDS,
                    "Flights to the destination that were cancelled or diverted in the last 3 hours.",
                ),
            ),
        ),
        View(
            "carrier_record",
            keys=("carrier",),
            ttl=DAY,
            source="flights/raw",
            rows="outcome_known_at",
            description="Arrivals of each carrier over the last four weeks, once a day.",
            features=_record("carrier", "of the carrier"),
        ),
        View(
            "route_record",
            keys=("origin", "dest"),
            ttl=DAY,
            source="flights/raw",
            rows="outcome_known_at",
            description="Arrivals on each route over the last four weeks, with flights and distance, once a day.",
            features=(
                *_record("route", "on the route"),
                Feature(
                    "route_flights",
                    "flights",
                    "outcome_known_at",
                    "Flights on the route in the last 28 days, those cancelled and diverted too.",
                ),
                Feature("route_distance", "miles", "distance outcome_known_at", "Length of the route."),
            ),
        ),
        View(
            "flight_record",
            keys=("carrier", "flight"),
            ttl=DAY,
            source="flights/raw",
            rows="outcome_known_at",
            description="Arrivals under each flight number over the last four weeks, once a day.",
            features=_record("flight", "under the flight number"),
        ),
        View(
            "aircraft",
            keys=("tailnum",),
            ttl=DAY,
            source="flights/raw",
            rows=f"tailnum {_LAST_SEEN}",
            description="The last thing known of each aircraft that leaves New York: due, left, landed or lost, and how late.",
            features=(
                Feature(
                    "aircraft_status",
                    "code",
                    _LAST_SEEN,
                    "What was last known of the aircraft: 0 due, 1 left, 2 landed, 3 cancelled or diverted.",
                ),
                Feature(
                    "aircraft_delay",
                    "minutes",
                    f"{_LAST_SEEN} dep_delay arr_delay",
                    "How late the aircraft was when last seen; unknown for a flight that was cancelled or diverted.",
                ),
                Feature(
                    "aircraft_leg_minutes",
                    "minutes",
                    f"{_LAST_SEEN} scheduled_arrival",
                    "Scheduled length of the aircraft's last known flight.",
                ),
                Feature(
                    "aircraft_free_at",
                    "unix seconds",
                    f"{_LAST_SEEN} scheduled_arrival dep_delay arr_delay",
                    "When the aircraft's last known flight ends, as far as one knew.",
                    "Int64",
                ),
                Feature(
                    "aircraft_seen_at",
                    "unix seconds",
                    _LAST_SEEN,
                    "When something was last known of the aircraft.",
                    "Int64",
                ),
            ),
        ),
        View(
            "schedule",
            keys=("origin", "departure_hour"),
            ttl=DAY,
            source="flights/schedule",
            rows="scheduled_departure",
            description="How many flights are to leave an origin within an hour and around it, known a day ahead.",
            features=(
                Feature(
                    "schedule_departures",
                    "flights",
                    "",
                    "Flights to leave the origin in the hour of the departure.",
                ),
                Feature(
                    "schedule_departures_before",
                    "flights",
                    "",
                    "Flights to leave the origin in the hour before.",
                ),
                Feature(
                    "schedule_departures_after",
                    "flights",
                    "",
                    "Flights to leave the origin in the hour after.",
                ),
                Feature(
                    "schedule_destinations",
                    "airports",
                    "dest",
                    "Destinations of the flights from the origin in the hour of the departure.",
                ),
            ),
        ),
        View(
            "plane",
            keys=("tailnum",),
            ttl=FOR_EVER,
            source="flights/planes",
            rows="",
            description="Year of manufacture and seats of each aircraft, known all along.",
            features=(
                Feature("plane_year", "year", "year", "Year in which the aircraft was made."),
                Feature("plane_seats", "seats", "seats", "Seats of the aircraft."),
            ),
        ),
    )
}
"""Every feature view by name."""

TRIP = OnDemand(
    "trip",
    "Calendar and schedule in New York time, and how the aircraft's last flight fits before this one.",
    (
        Feature("trip_minute_of_day", "minutes", "departs_at", "Local time of the departure since midnight."),
        Feature("trip_weekday", "code", "departs_at", "Local day of the departure: 0 Monday to 6 Sunday."),
        Feature("trip_minutes", "minutes", "departs_at arrives_at", "Scheduled length of the flight."),
        Feature(
            "trip_arrival_minute",
            "minutes",
            "departs_at arrives_at",
            "Arrival in New York time, since the midnight before the departure.",
        ),
        Feature("aircraft_years", "years", "departs_at plane_year", "Age of the aircraft."),
        Feature(
            "aircraft_unseen_minutes",
            "minutes",
            "requested_at aircraft_seen_at",
            "How long ago something was last known of the aircraft.",
        ),
        Feature(
            "aircraft_slack_minutes",
            "minutes",
            "departs_at aircraft_free_at aircraft_leg_minutes",
            "What is left before the departure, after the aircraft's last flight has ended and come back.",
        ),
    ),
)
"""The on-demand view."""
