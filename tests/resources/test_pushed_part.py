"""A part of the pushed rows is the same part after its files were folded and more rows were pushed, and no other."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resources.lake.pushed_files import fold
from resources.lake.pushed_span import content_hash, part_now, rows_of
from resources.storage.addresses import storage_at

START = datetime(2024, 1, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")
HOURS = st.integers(0, 48)
ROWS = st.lists(st.tuples(st.sampled_from("ab"), HOURS, st.floats(-9, 9, width=32)), min_size=1, max_size=6)


def write(folder, number: int, rows, received: int | None) -> None:
    moment = None if received is None else START + timedelta(days=100, hours=received)
    frame = pl.DataFrame(
        {
            "depot": [key for key, _, _ in rows],
            "event_timestamp": [START + timedelta(hours=hour) for _, hour, _ in rows],
            "load": [value for _, _, value in rows],
        },
        schema={"depot": pl.String, "event_timestamp": INSTANT, "load": pl.Float64},
    )
    if moment is not None:
        frame = frame.with_columns(created=pl.lit(moment, INSTANT))
    frame.write_parquet(folder / f"pushed-{number:03}.parquet")


@example(before=[[("a", 0, 0.0)], [("a", 0, -0.0)]], after=[], since=0)
@given(
    before=st.lists(ROWS, min_size=1, max_size=3), after=st.lists(ROWS, max_size=3), since=HOURS | st.none()
)
def test_what_a_join_had_before_it_is_found_again_after_later_pushes_and_a_fold(
    tmp_path_factory, before, after, since
):
    folder = tmp_path_factory.mktemp("pushed")
    first = None if since is None else START + timedelta(hours=since)
    last = START + timedelta(hours=40)
    for number, rows in enumerate(before):
        write(folder, number, rows, received=number)
    part = part_now(storage_at(folder), first, last)
    within = [(k, h, v) for rows in before for k, h, v in rows if (since or 0) <= h <= 40]
    assert (part is None) == (not within)
    for number, rows in enumerate(after):
        write(folder, 100 + number, rows, received=100 + number)
    fold(storage_at(folder), ("depot", "event_timestamp"))
    if part is not None:
        found = rows_of(storage_at(folder), part)
        assert content_hash(found) == part.sha256
        assert {(r["depot"], r["load"]) for r in found.to_dicts()} == {(k, v) for k, _, v in within}


def test_rows_that_do_not_say_when_they_were_received_count_always(tmp_path):
    write(tmp_path, 0, [("a", 1, 1.0)], received=None)
    part = part_now(storage_at(tmp_path), None, START + timedelta(days=2))
    assert part is not None and part.received is None
    write(tmp_path, 1, [("a", 2, 2.0)], received=5)
    assert rows_of(storage_at(tmp_path), part)["load"].to_list() == [1.0]


def test_where_nothing_was_pushed_there_is_no_part(tmp_path):
    assert part_now(storage_at(tmp_path), None, START) is None


@pytest.mark.parametrize("value", [1.5, None])
def test_another_value_is_another_content_and_another_order_is_not(value):
    rows = pl.DataFrame({"depot": ["a", "b"], "load": [1.0, 2.0]})
    assert content_hash(rows.reverse().select("load", "depot")) == content_hash(rows)
    changed = rows.with_columns(load=pl.when(pl.col("depot") == "a").then(value).otherwise("load"))
    assert content_hash(changed) != content_hash(rows)
