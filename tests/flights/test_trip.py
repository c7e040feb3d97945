"""The trip's features for one flight are those that Feast trains with, over every hour of New York's clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.online_store.called import Called
from mlops_assets.use_cases.flights.features import on_demand
from mlops_assets.use_cases.flights.features.trip import NAMES, TRIP_FORM
from mlops_assets.use_cases.flights.request import FlightRequest, entity_row, entity_rows, request_rows

SECONDS = st.integers(
    int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2099, 12, 31, tzinfo=UTC).timestamp())
)
STORED = st.none() | st.floats(0, 2**31, width=32)
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "departs_at": st.none() | SECONDS,
    "arrives_at": st.none() | SECONDS,
    "requested_at": st.none() | SECONDS,
    "plane_year": st.none() | st.floats(1950, 2013, width=32),
    "aircraft_free_at": STORED,
    "aircraft_leg_minutes": STORED,
    "aircraft_seen_at": STORED,
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries(COLUMNS), min_size=1, max_size=20))
def test_one_row_is_what_the_frame_gives(rows):
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    kinds = {field.name: field.dtype.to_value_type() for field in on_demand.trip.features}
    assert list(kinds) == list(NAMES)
    found = Called(kinds, TRIP_FORM.reads, TRIP_FORM.scalar, TRIP_FORM.numpy).columns(columns, len(rows))
    import pandas as pd

    transformation: Any = on_demand.trip.feature_transformation
    wanted = transformation.udf(pd.DataFrame(columns))
    for name in NAMES:
        by_frame = [None if np.isnan(value) else float(value) for value in wanted[name]]
        assert found[name] == by_frame, name


TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2098, 1, 1), timezones=st.just(UTC))


@settings(max_examples=60, deadline=None)
@given(departs=TIMES, minutes=st.integers(1, 1400), now=TIMES, tail=st.sampled_from([None, "N632JB"]))
def test_the_row_of_a_request_is_the_row_of_its_frame(departs, minutes, now, tail):
    arrives = departs + timedelta(minutes=minutes)
    given_ = {"carrier": "B6", "flight": 583, "tailnum": tail, "origin": "JFK", "dest": "MCO"}
    request = FlightRequest(**given_, scheduled_departure=departs, scheduled_arrival=arrives)
    frame = entity_rows(request_rows([request], now))
    row = entity_row(request.model_dump() | {"prediction_time": now})
    assert row == frame.select(list(row)).row(0, named=True)
    assert frame.schema["departs_at"] == pl.Int64
