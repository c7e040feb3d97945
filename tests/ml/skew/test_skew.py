"""Each cause of a differing cell has its own name, and of several causes the first in the order of the verdicts."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.reports.sparklines import bars, data_uri
from mlops_assets.ml.skew.cells import (
    CHANGED,
    EXPIRED,
    LATE,
    MISSING,
    ROUNDING,
    STALE,
    UNEXPLAINED,
    Logged,
    View,
    by_feature,
    differing,
    skewed_cells,
    totals,
)
from mlops_assets.ml.skew.known_rows import QUESTION_AT, SERVED

INSTANT = pl.Datetime("us", "UTC")
NOON = datetime(2013, 6, 3, 12, tzinfo=UTC)
WALL = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOURS = {
    name: NOON - timedelta(hours=h)
    for name, h in {"now": 0, "an hour ago": 1, "two hours ago": 2, "yesterday": 24}.items()
}
BEFORE, AFTER = WALL - timedelta(hours=5), WALL + timedelta(hours=5)
ROW_KINDS = {"pump": pl.String, "event_timestamp": INSTANT, "created": INSTANT, "_written": INSTANT}


def row(when: str, written: datetime, created: datetime | None = None) -> tuple:
    return "P1", HOURS[when], created, written


def logged(
    value: object,
    event: str | None,
    found: bool = True,
    held: bool = False,
    features: tuple[str, ...] = ("heat",),
) -> Logged:
    """One request at noon for pump P1, all of its features alike."""

    def frame(content: object, kind=None) -> pl.DataFrame:
        return pl.DataFrame([pl.Series(name, [content], kind) for name in features])

    asked = {"pump": "P1", QUESTION_AT: NOON, SERVED: WALL}
    return Logged(
        values=frame(value, pl.Float32),
        event_times=frame(HOURS[event] if event else None, INSTANT),
        presence=frame(found),
        held=frame(held),
        questions=pl.DataFrame(asked, schema_overrides={QUESTION_AT: INSTANT, SERVED: INSTANT}),
    )


HEAT = View("state", ("heat",), ("pump",), timedelta(hours=3))
CASES = {
    "a newer row was there before the request": (
        logged(1.0, "two hours ago"),
        5.0,
        [row("two hours ago", BEFORE), row("an hour ago", BEFORE)],
        STALE,
    ),
    "a newer row came after the request": (
        logged(1.0, "two hours ago"),
        5.0,
        [row("two hours ago", BEFORE), row("an hour ago", AFTER)],
        LATE,
    ),
    "one newer row was there, another came after the request": (
        logged(1.0, "two hours ago"),
        5.0,
        [row("two hours ago", BEFORE), row("an hour ago", BEFORE), row("now", AFTER)],
        STALE,
    ),
    "a correction of the row came after the request": (
        logged(1.0, "an hour ago"),
        5.0,
        [row("an hour ago", BEFORE, BEFORE), row("an hour ago", AFTER, AFTER)],
        LATE,
    ),
    "a correction of the row was there before the request": (
        logged(1.0, "an hour ago"),
        5.0,
        [row("an hour ago", BEFORE - timedelta(hours=1), BEFORE), row("an hour ago", BEFORE, BEFORE)],
        STALE,
    ),
    "the table's file was written again with another value": (
        logged(1.0, "an hour ago"),
        5.0,
        [row("an hour ago", AFTER)],
        LATE,
    ),
    "the row served is older than its time to live": (
        logged(1.0, "yesterday"),
        None,
        [row("yesterday", BEFORE)],
        EXPIRED,
    ),
    "the row served is too old and a valid one was there": (
        logged(1.0, "yesterday"),
        5.0,
        [row("yesterday", BEFORE), row("an hour ago", BEFORE)],
        STALE,
    ),
    "the row served is too old and a valid one came late": (
        logged(1.0, "yesterday"),
        5.0,
        [row("yesterday", BEFORE), row("an hour ago", AFTER)],
        EXPIRED,
    ),
    "the online store held back an old row though a valid one was there": (
        logged(None, "yesterday", held=True),
        5.0,
        [row("yesterday", BEFORE), row("an hour ago", BEFORE)],
        STALE,
    ),
    "the online store held back an old row and a valid one came late": (
        logged(None, "yesterday", held=True),
        5.0,
        [row("yesterday", BEFORE), row("an hour ago", AFTER)],
        LATE,
    ),
    "the online store has no row that offline had": (
        logged(None, None, found=False),
        5.0,
        [row("an hour ago", BEFORE)],
        MISSING,
    ),
    "the online store has no row that offline got late": (
        logged(None, None, found=False),
        5.0,
        [row("an hour ago", AFTER)],
        LATE,
    ),
    "offline has no row that was served": (logged(1.0, "an hour ago"), None, [], MISSING),
    "both have the same row and yet differ": (
        logged(1.0, "an hour ago"),
        5.0,
        [row("an hour ago", BEFORE)],
        UNEXPLAINED,
    ),
    "a row from after the moment was served": (
        logged(1.0, "now"),
        5.0,
        [row("an hour ago", BEFORE)],
        UNEXPLAINED,
    ),
    "one step of float32 between the two": (
        logged(5.0, "two hours ago"),
        5.000001,
        [row("two hours ago", BEFORE), row("an hour ago", BEFORE)],
        ROUNDING,
    ),
}


def verdict(case: Logged, replayed: float | None, rows: list, *views: View) -> list[str]:
    table = pl.DataFrame(rows, schema=ROW_KINDS, orient="row")
    names = case.values.columns
    other = pl.DataFrame([pl.Series(name, [replayed], pl.Float32) for name in names])
    return skewed_cells(case, other, views, lambda view, asked: table)["verdict"].to_list()


@pytest.mark.parametrize("name", CASES)
def test_a_differing_cell_is_named_for_its_cause(name):
    case, replayed, rows, expected = CASES[name]
    assert verdict(case, replayed, rows, HEAT) == [expected]


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case[3] != ROUNDING])
def test_a_changed_definition_comes_before_every_cause_but_rounding(name):
    case, replayed, rows, _ = CASES[name]
    changed = View("state", ("heat",), ("pump",), timedelta(hours=3), changed=True)
    assert verdict(case, replayed, rows, changed) == [CHANGED]


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case[3] not in (ROUNDING, EXPIRED)])
def test_a_feature_computed_on_demand_is_named_for_what_it_is_computed_from(name):
    case, replayed, rows, expected = CASES[name]
    both = Logged(
        *(
            frame.with_columns(pl.col("heat").alias("load"))
            for frame in (case.values, case.event_times, case.presence, case.held)
        ),
        questions=case.questions,
    )
    load = View("computed", ("load",), inputs=("state",))
    assert verdict(both, replayed, rows, HEAT, load) == [expected, expected]
    hidden = View("state", (), ("pump",), timedelta(hours=3))
    assert verdict(both, replayed, rows, hidden, load) == [expected]


def test_the_same_value_on_both_sides_is_no_skew_though_the_rows_differ():
    assert verdict(logged(5.0, "two hours ago"), 5.0, [row("an hour ago", BEFORE)], HEAT) == []


@pytest.mark.parametrize("kind", [pl.String, pl.Int64, pl.Boolean])
def test_text_whole_numbers_and_flags_are_compared_exactly(kind):
    case = logged(1.0, "an hour ago")
    values = pl.DataFrame({"heat": pl.Series([1], dtype=pl.Int64).cast(kind)})
    other = pl.DataFrame({"heat": pl.Series([0], dtype=pl.Int64).cast(kind)})
    case = Logged(values, case.event_times, case.presence, case.held, case.questions)
    found = differing(case, other, [HEAT])
    assert found["rounding"].to_list() == [False]
    assert differing(case, values, [HEAT]).is_empty()


numbers = st.none() | st.just(float("nan")) | st.floats(width=32, allow_nan=False)


@given(pairs=st.lists(st.tuples(numbers, numbers), max_size=20))
def test_cells_differ_exactly_where_a_search_cell_by_cell_says_so(pairs):
    def missing(value) -> bool:
        return value is None or value != value

    def differ(a, b) -> bool:
        return missing(a) != missing(b) if missing(a) or missing(b) else a != b

    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    values = pl.DataFrame({"heat": pl.Series(ours, dtype=pl.Float32)})
    nothing = pl.DataFrame({"heat": [None] * len(pairs)})
    case = Logged(
        values, nothing.cast(INSTANT), nothing.cast(pl.Boolean), nothing.cast(pl.Boolean), pl.DataFrame()
    )
    found = differing(case, pl.DataFrame({"heat": pl.Series(theirs, dtype=pl.Float32)}), [HEAT])
    assert found["row"].to_list() == [i for i, pair in enumerate(pairs) if differ(*pair)]
    rounded = [
        not (missing(a) or missing(b)) and abs(a - b) <= 1e-6 * max(abs(a), abs(b))
        for a, b in pairs
        if differ(a, b)
    ]
    assert found["rounding"].to_list() == rounded


def test_the_summary_counts_by_feature_and_says_how_far_behind():
    case, replayed, rows, _ = CASES["a newer row was there before the request"]
    table = pl.DataFrame(rows, schema=ROW_KINDS, orient="row")
    other = pl.DataFrame({"heat": pl.Series([replayed], dtype=pl.Float32)})
    cells = skewed_cells(case, other, [HEAT], lambda view, asked: table)
    assert totals(cells) == {STALE: 1}
    worst, best = by_feature(cells, {"cold": 1, "heat": 1}).to_dicts()
    assert (worst["feature"], worst["differ"], worst[STALE], worst["largest gap"]) == ("heat", 1, 1, 4.0)
    assert worst["behind"] == timedelta(hours=1)
    assert (best["feature"], best["differ"], best["behind"]) == ("cold", 0, None)


def test_the_picture_of_all_verdicts_is_small_enough_to_stand_in_the_page():
    counts = dict.fromkeys((ROUNDING, CHANGED, MISSING, STALE, EXPIRED, LATE, UNEXPLAINED), 1_000_000)
    assert len(data_uri(bars(counts))) < 1000
