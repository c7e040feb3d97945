"""What offline knew, then and now, is what a search through every row finds."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.skew.known_rows import QUESTION_AT, SERVED, known_rows

START = datetime(2013, 1, 1, tzinfo=UTC)
KINDS = {
    "a": pl.String,
    "b": pl.Int64,
    "event_timestamp": pl.Datetime("us", "UTC"),
    "created": pl.Datetime("us", "UTC"),
    "_written": pl.Datetime("us", "UTC"),
}
QUESTIONS = {
    "a": pl.String,
    "b": pl.Int64,
    QUESTION_AT: pl.Datetime("us", "UTC"),
    SERVED: pl.Datetime("us", "UTC"),
}


def hour(number: int | None) -> datetime | None:
    return None if number is None else START + timedelta(hours=number)


hours = st.integers(0, 6).map(hour)
letters, numbers = st.sampled_from(["x", "y", None]), st.sampled_from([1, 2, None])
table_rows = st.lists(st.tuples(letters, numbers, hours | st.none(), hours | st.none(), hours | st.none()))
questions = st.lists(st.tuples(letters, numbers, hours | st.none(), hours))
LONG_AGO = START - timedelta(days=1)


def searched(rows: list, a: str, b: int, requested_at: datetime, served_at: datetime) -> tuple:
    """The same answer, row by row."""

    def order(row):
        return row[2], row[3] or LONG_AGO

    mine = [
        r
        for r in rows
        if r[0] == a and r[1] == b and None not in (a, b, r[2], requested_at) and r[2] <= requested_at
    ]
    mine.sort(key=order)
    there = [r for r in mine if (r[4] or LONG_AGO) <= served_at]
    now, then = mine[-1] if mine else None, there[-1] if there else None
    corrected = then is not None and sum(r[2] == then[2] for r in mine[: mine.index(then) + 1]) > 1
    return (now[2], now[4]) if now else (None, None), then[2] if then else None, corrected


@given(rows=table_rows, asked=questions)
def test_the_row_that_decided_is_the_one_a_search_finds(rows, asked):
    rows = [(*row, index) for index, row in enumerate(rows)]
    table = pl.DataFrame([row[:5] for row in rows], schema=KINDS, orient="row")
    found = known_rows(pl.DataFrame(asked, schema=QUESTIONS, orient="row"), table, ["a", "b"])
    assert found.height == len(asked)
    for question, answer in zip(asked, found.iter_rows(), strict=True):
        now, then, corrected = searched(rows, *question)
        assert answer == (*now, then, corrected)


def test_a_row_that_got_in_late_is_known_now_and_was_not_then():
    row = {"a": "x", "b": 1, "created": None}
    table = pl.DataFrame(
        [
            {**row, "event_timestamp": hour(1), "_written": hour(2)},
            {**row, "event_timestamp": hour(3), "_written": hour(9)},
        ],
        schema=KINDS,
    )
    asked = pl.DataFrame([{"a": "x", "b": 1, QUESTION_AT: hour(4), SERVED: hour(5)}], schema=QUESTIONS)
    (found,) = known_rows(asked, table, ["a", "b"]).to_dicts()
    assert (found["event_now"], found["event_then"]) == (hour(3), hour(1))
