from datetime import UTC, datetime

import polars as pl
import pytest
from pydantic import ValidationError

from mlops_assets.use_cases.flights import ingest
from mlops_assets.use_cases.flights.request import (
    JOIN_KEYS,
    REQUEST_COLUMNS,
    FlightRequest,
    entity_rows,
    request_rows,
)
from tests.flights import samples

GOOD = {
    "carrier": "UA",
    "flight": 1545,
    "tailnum": "N14228",
    "origin": "EWR",
    "dest": "IAH",
    "scheduled_departure": "2013-01-01T05:15:00-05:00",
    "scheduled_arrival": "2013-01-01T08:19:00-06:00",
}
NOW = datetime(2013, 1, 1, 8, 15, tzinfo=UTC)


def test_a_request_becomes_the_same_row_as_the_flight_in_the_table() -> None:
    flight = ingest.tables().flights.filter(flight_id="2013-01-01-UA1545-EWR-IAH")
    asked = entity_rows(request_rows([FlightRequest.model_validate(GOOD)], NOW))
    known = entity_rows(flight)
    assert asked.equals(known.select(asked.columns))


def test_a_row_goes_in_and_a_row_comes_out_in_the_same_order(tmp_path) -> None:
    lines = [
        samples.flight(f"2013-06-0{d} 06:30", number=d, tailnum=None if d == 2 else "N1") for d in (1, 2, 3)
    ]
    flights = ingest.tables(samples.write(tmp_path, lines)).flights.reverse()
    rows = entity_rows(flights)
    assert rows["flight_id"].to_list() == flights["flight_id"].to_list()
    assert {*flights.columns, *JOIN_KEYS, *REQUEST_COLUMNS, "hour"} == set(rows.columns)
    assert rows["hour"].to_list() == [6, 6, 6]
    assert rows["tailnum"].to_list() == ["N1", "", "N1"]
    assert (rows["departs_at"] - rows["requested_at"]).unique().to_list() == [7200]
    assert (rows["departs_at"] - rows["departure_hour"]).unique().to_list() == [1800]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("carrier", "United"),
        ("flight", 0),
        ("origin", "Newark"),
        ("scheduled_departure", "2013-01-01T05:15:00"),
        ("scheduled_departure", "0001-01-01T00:00:00+14:00"),
        ("scheduled_arrival", "9999-12-31T23:00:00-12:00"),
        ("tailnum", "no such tail number"),
        ("gate", "C3"),
    ],
)
def test_a_malformed_field_is_named(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        FlightRequest.model_validate(GOOD | {field: value})
    assert [e["loc"] for e in error.value.errors()] == [(field,)]


def test_an_arrival_before_the_departure_is_refused() -> None:
    with pytest.raises(ValidationError, match="after scheduled_departure"):
        FlightRequest.model_validate(GOOD | {"scheduled_arrival": "2013-01-01T03:00:00-06:00"})


def test_a_flight_without_a_tail_number_can_be_asked_for() -> None:
    request = FlightRequest.model_validate({k: v for k, v in GOOD.items() if k != "tailnum"})
    assert entity_rows(request_rows([request], NOW))["tailnum"].to_list() == [""]


def test_requests_at_different_offsets_become_utc() -> None:
    other = GOOD | {"scheduled_departure": "2013-01-01T10:15:00Z"}
    rows = request_rows([FlightRequest.model_validate(r) for r in (GOOD, other)], NOW)
    assert rows["scheduled_departure"].n_unique() == 1
    assert rows.schema["scheduled_departure"] == pl.Datetime("us", "UTC")
