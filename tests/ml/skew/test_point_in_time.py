"""The second join, by which the first one is checked, against a loop over all rows."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.skew.brute_force import ViewTable, as_of, cells_that_differ

START, HOUR = datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=1)
KEYS, HOURS = st.sampled_from(["a", "b"]), st.integers(0, 6)
ROWS = st.lists(st.tuples(KEYS, HOURS, st.integers(0, 2), st.integers(0, 99)), max_size=12)
QUESTIONS = st.lists(st.tuples(KEYS, HOURS), min_size=1, max_size=6)
LIVES = st.none() | st.integers(1, 4)


def view(rows, lives) -> ViewTable:
    columns = {"pump": [], "event_timestamp": [], "created": [], "level": []}
    for key, hour, made, level in rows:
        for name, value in zip(columns, (key, START + hour * HOUR, START + made * HOUR, level), strict=True):
            columns[name].append(value)
    moments = dict.fromkeys(("event_timestamp", "created"), pl.Datetime("us", "UTC"))
    frame = pl.DataFrame(columns, schema={"pump": pl.String, **moments, "level": pl.Int64})
    return ViewTable("levels", frame, ["pump"], ["level"], lives and lives * HOUR)


def questions(asked) -> pl.DataFrame:
    keys, hours = zip(*asked, strict=True)
    moments = pl.Series([START + hour * HOUR for hour in hours], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"pump": keys, "asked": moments})


def by_a_loop(rows, lives, key, hour):
    """The level that was known, a row at a time; of equal rows the last one."""
    known = None
    for other, event, made, level in rows:
        alive = event <= hour and (lives is None or event >= hour - lives)
        if other == key and alive and (known is None or (event, made) >= known[:2]):
            known = event, made, level
    return None if known is None else known[2]


@given(rows=ROWS, asked=QUESTIONS, lives=LIVES)
def test_what_was_known_is_what_a_loop_over_all_rows_finds(rows, asked, lives):
    found = as_of(questions(asked), "asked", view(rows, lives))
    assert found["level"].to_list() == [by_a_loop(rows, lives, key, hour) for key, hour in asked]


@given(rows=ROWS, asked=QUESTIONS, lives=LIVES, wrong=st.sets(st.integers(0, 5)))
def test_a_cell_that_was_not_known_at_its_moment_is_counted(rows, asked, lives, wrong):
    known = [by_a_loop(rows, lives, key, hour) for key, hour in asked]
    planted = [100 if place in wrong else level for place, level in enumerate(known)]
    joined = pl.DataFrame({"level": pl.Series(planted, dtype=pl.Int64)})
    count = len([place for place in wrong if place < len(asked)])
    differ = cells_that_differ(questions(asked), joined, "asked", view(rows, lives))
    assert differ == ({"level": count} if count else {})
