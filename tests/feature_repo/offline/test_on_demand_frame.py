"""What the function of an on-demand view is given: the frame that pyarrow makes, and one that it may write into."""

from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa
import pytest

from feature_repo.offline_store.on_demand import frame_of

MOMENTS = [datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 7, 1, 12, tzinfo=UTC)]
COLUMNS = {
    "whole": pa.array([1, 2]),
    "small": pa.array([1, 2], pa.int16()),
    "holes": pa.array([1, None]),
    "float": pa.array([1.5, 2.5], pa.float32()),
    "float_holes": pa.array([None, 2.5]),
    "moment": pa.array(MOMENTS, pa.timestamp("us", "UTC")),
    "moment_holes": pa.array([MOMENTS[0], None], pa.timestamp("us", "UTC")),
    "local": pa.array([m.replace(tzinfo=None) for m in MOMENTS], pa.timestamp("ms")),
    "day": pa.array([date(2013, 1, 1), None]),
    "text": pa.array(["a", None], pa.large_string()),
    "flag": pa.array([True, False]),
    "flag_holes": pa.array([True, None]),
    "list": pa.array([[1.0, 2.0], None]),
    "word": pa.array(["a", "b"]).dictionary_encode(),
}


def test_it_is_the_frame_that_pyarrow_makes() -> None:
    table = pa.table(COLUMNS)
    pd.testing.assert_frame_equal(frame_of(table), table.to_pandas(), check_exact=True)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "list"])
def test_a_function_may_write_into_it_and_the_table_stays_as_it_is(name: str) -> None:
    table = pa.table(COLUMNS)
    before = table.to_pylist()
    frame = frame_of(table)
    first = frame[name].iloc[0]
    frame.loc[1, name] = first
    assert frame[name].iloc[1] == first or pd.isna(first)
    assert table.to_pylist() == before
