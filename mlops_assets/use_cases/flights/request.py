"""What somebody who asks for a prediction must say, and the one place that turns it into feature-store rows.

Training rows and requests go through the same `entity_rows`, so that they cannot differ.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC as ZERO_OFFSET
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

import polars as pl
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from mlops_assets.spec.called import by_row
from mlops_assets.spec.prediction import computed_from
from mlops_assets.use_cases.flights.schema import ORIGIN_ZONE, UTC
from resources.moments import Moment

Airport = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="IATA code, for example JFK")]

JOIN_KEYS = ("carrier", "flight", "origin", "dest", "tailnum", "departure_hour")
"""Columns by which feature views are joined; `departure_hour` is the hour's start in unix seconds."""

REQUEST_COLUMNS = ("departs_at", "arrives_at", "requested_at")
"""What on-demand features are computed from, in unix seconds."""

EXAMPLE: dict[str, JsonValue] = {
    "carrier": "B6",
    "flight": 583,
    "tailnum": "N632JB",
    "origin": "JFK",
    "dest": "MCO",
    "scheduled_departure": "2014-01-06T08:00:00-05:00",
    "scheduled_arrival": "2014-01-06T11:00:00-05:00",
}
"""A flight of the first morning after the year."""

LONGEST = timedelta(hours=24)
SECOND = timedelta(seconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=ZERO_OFFSET)


def _in_2000s(moment: datetime) -> datetime:
    if not 2000 <= moment.year < 2100:
        raise ValueError(f"year {moment.year} is outside of 2000 to 2099")
    return moment


InThe2000s = Annotated[Moment, AfterValidator(_in_2000s)]


class FlightRequest(BaseModel):
    """One flight to predict; times carry their offset from UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [EXAMPLE]})

    carrier: Annotated[str, Field(pattern=r"^[A-Z0-9]{2}$", description="IATA code, for example UA")]
    flight: Annotated[int, Field(ge=1, le=9999, description="flight number")]
    tailnum: Annotated[
        str | None, Field(default=None, pattern=r"^[A-Z0-9-]{2,10}$", description="tail number, if assigned")
    ]
    origin: Airport
    dest: Airport
    scheduled_departure: InThe2000s
    scheduled_arrival: InThe2000s

    @model_validator(mode="after")
    def _arrives_after_departing(self) -> Self:
        elapsed = self.scheduled_arrival - self.scheduled_departure
        if not timedelta(0) < elapsed <= LONGEST:
            raise ValueError(
                f"scheduled_arrival is {elapsed} after scheduled_departure: give both with their offset from UTC, "
                f"between 0 and {LONGEST} apart"
            )
        return self


def request_rows(requests: Sequence[FlightRequest], now: datetime) -> pl.DataFrame:
    """Requests as rows like those of `flights/raw`, with `now` as their prediction time."""
    schema = {
        "carrier": pl.String,
        "flight": pl.Int32,
        "tailnum": pl.String,
        "origin": pl.String,
        "dest": pl.String,
        "scheduled_departure": UTC,
        "scheduled_arrival": UTC,
    }
    rows = pl.DataFrame([request.model_dump() for request in requests], schema=schema)
    return rows.with_columns(flight_id=flight_id(), prediction_time=pl.lit(now, dtype=UTC))


def entity_row(flight: Mapping[str, Any]) -> dict[str, Any]:
    """What `entity_rows` makes of one flight that is asked about, as far as features are made of it."""
    departure, arrival = flight["scheduled_departure"], flight["scheduled_arrival"]
    departs_at = whole_seconds(departure)
    return {
        "carrier": flight["carrier"],
        "flight": flight["flight"],
        "origin": flight["origin"],
        "dest": flight["dest"],
        "tailnum": "" if flight["tailnum"] is None else flight["tailnum"],
        "departure_hour": departs_at - departs_at % 3600,
        "departs_at": departs_at,
        "arrives_at": whole_seconds(arrival),
        "requested_at": whole_seconds(flight["prediction_time"]),
    }


@by_row(entity_row)
@computed_from(
    departure_hour="scheduled_departure",
    hour="scheduled_departure",
    departs_at="scheduled_departure",
    arrives_at="scheduled_arrival",
    requested_at="prediction_time",
)
def entity_rows(flights: pl.DataFrame) -> pl.DataFrame:
    """The rows with the join keys and request columns of the feature service added; same rows, same order.

    `hour`, of the scheduled departure in New York, is there for reports by slice; no feature is made of it.

    Args:
        flights: rows with the columns of `FlightRequest` and `prediction_time`, the moment as of which
            features are asked for; other columns stay. A tail number that is not known becomes "".
    """
    departure = pl.col("scheduled_departure")
    return flights.with_columns(
        pl.col("tailnum").fill_null(""),
        pl.col("flight").cast(pl.Int64),
        hour=departure.dt.convert_time_zone(ORIGIN_ZONE).dt.hour().cast(pl.Int64),
        departure_hour=seconds(departure.dt.truncate("1h")),
        departs_at=seconds(departure),
        arrives_at=seconds(pl.col("scheduled_arrival")),
        requested_at=seconds(pl.col("prediction_time")),
    )


def flight_id() -> pl.Expr:
    """The name of a flight: local date of the scheduled departure, carrier and number, route."""
    local = pl.col("scheduled_departure").dt.convert_time_zone(ORIGIN_ZONE)
    day = local.dt.date().dt.to_string("%Y-%m-%d")
    return pl.format("{}-{}{}-{}-{}", day, "carrier", "flight", "origin", "dest").alias("flight_id")


def seconds(moment: pl.Expr) -> pl.Expr:
    """An instant as whole unix seconds."""
    return moment.dt.epoch("s")


def whole_seconds(moment: datetime) -> int:
    """The same of one instant."""
    return (moment - EPOCH) // SECOND
