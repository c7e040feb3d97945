"""Answers of every kind gathered for the serving log: the rows that frames of each would have given, in their order."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.online_store.answer import NOT_FOUND, OUTSIDE_MAX_AGE, PRESENT, Seen, Sight
from feature_repo.online_store.few_rows import Stored
from resources.features.column_vectors import ColumnVectors, FewRows, OfColumns, RowVectors
from resources.features.many_vectors import AT_ONCE
from resources.features.service import DescribedService, DescribedView
from resources.features.vectors import OnlineVectors
from resources.serving.gathered import Gathered, key_of
from resources.serving.log import ServedBatch

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
VIEWS = {"wind": ("speed", "gust"), "plane": ("seats",)}
MADE, INPUTS = "ratio", {"ratio": ("speed", "seats"), "alone": ()}
SERVICE = DescribedService(
    "s",
    "d",
    ("origin",),
    (
        *(DescribedView(view, "v", names, ("origin",)) for view, names in VIEWS.items()),
        DescribedView("made", "v", (MADE, "alone")),
    ),
)
PLACES = {name: (n, k) for n, names in enumerate(VIEWS.values()) for k, name in enumerate(names)}
TYPES: dict[str, Any] = {"origin": pl.String(), **dict.fromkeys([*PLACES, *INPUTS], pl.Float64())}

values = st.none() | st.floats(-9, 9)
times = st.none() | st.integers(1, 10**15)


@st.composite
def views(draw: st.DrawFn) -> list[tuple[Stored, int, list[Any]]]:
    """What was read of each view for one row."""
    found = []
    for names in VIEWS.values():
        stored = [draw(values) for _ in names]
        nulls = [place for place, value in enumerate(stored) if value is None]
        gaps = draw(st.lists(st.sampled_from(nulls), unique=True)) if nulls else []
        time, status = draw(times), draw(st.sampled_from([PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE]))
        shown = stored if status == PRESENT else [None for _ in names]
        found.append((Stored(time, stored, gaps), status, shown))
    return found


def columns(rows: list[Any], more: list[Any]) -> dict[str, list[Any]]:
    found = {name: [row[n][2][k] for row in rows] for name, (n, k) in PLACES.items()}
    return {"origin": ["EWR"] * len(rows), **found, MADE: more, "alone": more}


def single(row: Any, more: Any) -> RowVectors:
    plain = {name: column[0] for name, column in columns([row], [more]).items()}
    return RowVectors(plain, TYPES, [*PLACES, *INPUTS], row, PLACES, INPUTS)


def few(rows: list[Any], more: list[Any]) -> ColumnVectors:
    return ColumnVectors(columns(rows, more), TYPES, [*PLACES, *INPUTS], FewRows(rows, PLACES), INPUTS)


def many(rows: list[Any], more: list[Any]) -> ColumnVectors:
    """The same as an answer that was read by columns, as cells."""
    seen = []
    for n, names in enumerate(VIEWS.values()):
        read = [row[n] for row in rows]
        cells = [
            [
                None if k in stored.gaps or value is None else b"x"
                for stored, _, _ in read
                for value in [stored.values[k]]
            ]
            for k in range(len(names))
        ]
        sight = Sight([s.time for s, _, _ in read], [status for _, status, _ in read], None, ())
        seen.append(Seen(sight, cells, None))
    origin = OfColumns(SimpleNamespace(seen=seen), PLACES)
    return ColumnVectors(columns(rows, more), TYPES, [*PLACES, *INPUTS], origin, INPUTS)


rows = st.lists(st.tuples(views(), values), min_size=1, max_size=3)
answers = st.one_of(
    rows.map(lambda some: single(*some[0])),
    rows.map(lambda some: few([row for row, _ in some], [more for _, more in some])),
    rows.map(lambda some: many([row for row, _ in some], [more for _, more in some])),
)


def batch(vectors: Any, number: int) -> ServedBatch:
    height = len(vectors.values("origin"))
    ids = [f"{number}-{row}" for row in range(height)]
    moments = NOW - timedelta(seconds=number), NOW + timedelta(microseconds=number)
    return ServedBatch("m", str(number % 2), SERVICE, *moments, ids, vectors, np.arange(height) / 8)


def by_frames(one: ServedBatch) -> ServedBatch:
    vectors = one.vectors
    frames = OnlineVectors(vectors.frame, vectors.event_times, vectors.statuses)
    facts = one.model, one.version, one.service, one.requested_at, one.served_at, one.request_ids
    return ServedBatch(*facts, frames, one.scores)


def gathered(batches: list[ServedBatch]) -> pl.DataFrame:
    found = Gathered(batches[0])
    for one in batches:
        found.add(one)
    assert found.rows == sum(one.rows for one in batches)
    return found.frame()


@given(st.lists(answers, min_size=1, max_size=9))
def test_columns_of_answers_read_in_different_ways_are_the_rows_that_their_frames_are(some):
    batches = [batch(vectors, number) for number, vectors in enumerate(some)]
    assert len(set(map(key_of, batches))) == 1
    assert gathered(batches).equals(gathered([by_frames(one) for one in batches]))


def test_so_are_more_than_are_put_together_at_once():
    view = [(Stored(1, [1.0, None], [1]), PRESENT, [1.0, None]), (Stored(None, [None]), NOT_FOUND, [None])]
    batches = [batch(single(view, float(n)), n) for n in range(2 * AT_ONCE + 3)]
    frame = gathered(batches)
    assert frame.equals(gathered([by_frames(one) for one in batches]))
    assert frame["__request_id"].to_list() == [f"{n}-0" for n in range(2 * AT_ONCE + 3)]


def test_what_cannot_be_gathered_is_told_by_whoever_wants_the_rows_and_loses_nothing():
    view = [(Stored(1, [1.0, None], [1]), PRESENT, [1.0, None]), (Stored(None, [None]), NOT_FOUND, [None])]
    broken = RowVectors({"origin": "EWR"}, TYPES, [*PLACES, *INPUTS], view, PLACES, INPUTS)
    found = Gathered(batch(single(view, 1.0), 0))
    for number in range(AT_ONCE):
        found.add(batch(broken if number == 5 else single(view, 1.0), number))
    with pytest.raises(KeyError):
        found.frame()
    assert found.rows == AT_ONCE
