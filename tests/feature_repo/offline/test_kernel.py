"""The as-of lookup against a search through every row, whatever the order, the range of the ticks, and the keys."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.offline_store import kernel
from feature_repo.offline_store.kernel import NEVER, WORD, Clock, Questions, timeline

KEYS = 5
FAR = 2**62 - 2**40
SPANS = [st.integers(0, 6), st.integers(-3, 3).map((10**12).__mul__), st.integers(-FAR, FAR)]
"""Few ticks with many ties; multiples of a common divisor; anything, which no 64 bits hold beside a key."""


@pytest.fixture(autouse=True, scope="module", params=[3, kernel.BLOCK], ids=["small blocks", "one block"])
def _block(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "BLOCK", request.param)
        yield


def row(moments: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int, int]]:
    moment = st.one_of(moments, st.just(NEVER))
    return st.tuples(st.integers(-1, KEYS - 1), moment, moment)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    moments = draw(st.sampled_from(SPANS))
    return draw(st.lists(row(moments), max_size=40)), draw(st.lists(row(moments), max_size=20))


def newest(
    rows: list[tuple[int, int, int]], key: int, now: int, ttl: int | None, use_created: bool, only_known: bool
) -> int:
    """The place of the row to take, or -1, by looking at all of them."""
    best, place = None, -1
    for n, (code, tick, created) in enumerate(rows):
        usable = key >= 0 and code == key and NEVER < tick <= now and (ttl is None or tick >= now - ttl)
        known = not only_known or NEVER < created <= now
        rank = (tick, created if use_created else 0, n)
        if usable and known and (best is None or rank > best):
            best, place = rank, n
    return place


def columns(rows: list[tuple[int, int, int]]) -> list[np.ndarray]:
    return list(np.array(rows, dtype=np.int64).reshape(-1, 3).T.copy())


@settings(max_examples=200)
@given(
    tables(),
    st.one_of(st.none(), st.integers(0, 4), st.sampled_from([10**12, 2 * 10**12, 2**61])),
    st.sampled_from(["by place", "by created", "known by then"]),
    st.booleans(),
)
def test_each_question_gets_the_row_that_a_search_through_all_finds(tables, ttl, ties, ordered):
    rows, asked = tables
    if ordered:
        rows = sorted(rows)
    codes, ticks, created = columns(rows)
    use_created, only_known = ties != "by place", ties == "known by then"
    line = timeline(codes, ticks, KEYS, created if use_created else None, only_known)
    keys, moments, _ = columns(asked)
    found = line.newest(Questions(keys, moments, KEYS), ttl)
    expected = [newest(rows, key, now, ttl, use_created, only_known) for key, now, _ in asked]
    assert found.tolist() == expected


@given(tables())
def test_the_last_row_of_each_key_is_what_a_question_at_the_end_of_time_gets(tables):
    rows, _ = tables
    codes, ticks, created = columns(rows)
    expected = [newest(rows, key, 2**62, None, True, False) for key in range(KEYS)]
    last = timeline(codes, ticks, KEYS, created).last().tolist()
    assert sorted(last) == sorted(place for place in expected if place >= 0)


@given(tables(), st.integers(0, 4))
def test_the_oldest_tick_may_be_given_for_each_question(tables, ttl):
    rows, asked = tables
    codes, ticks, created = columns(rows)
    keys, moments, _ = columns(asked)
    line, questions = timeline(codes, ticks, KEYS, created), Questions(keys, moments, KEYS)
    oldest = np.maximum(moments, NEVER + ttl) - ttl
    assert line.newest(questions, oldest).tolist() == line.newest(questions, ttl).tolist()


@pytest.mark.parametrize("created", [False, True])
def test_rows_in_order_are_not_sorted_and_keep_their_places(created):
    codes, ticks = np.repeat([3, 0, 2], 4), np.tile(np.arange(4), 3)
    line = timeline(codes, ticks, KEYS, np.arange(12) if created else None)
    assert line.rows is None
    assert line.rank is not None, "the keys' own order is taken for theirs"
    assert line.newest(Questions(np.array([3, 2, 1]), np.array([9, 0, 9]), KEYS)).tolist() == [3, 8, -1]


def test_rows_that_only_look_ordered_are_sorted():
    codes, ticks = np.array([0, 0, 0, 1]), np.array([1, 5, 2, 0])
    line = timeline(codes, ticks, KEYS)
    assert line.newest(Questions(np.array([0, 0]), np.array([3, 9]), KEYS)).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("ticks", "divided", "ranked"),
    [
        ([0, 7, 8], False, False),
        ([0, 10**15, 3 * 10**15], True, False),
        ([-(2**62), 5, 2**62], False, True),
    ],
    ids=["as they are", "by their common divisor", "by their rank"],
)
def test_ticks_of_any_range_fit_into_the_bits_that_keys_leave(ticks, divided, ranked):
    clock = Clock.fitting(np.array(ticks), 40)
    assert clock.bits <= 40 < WORD
    assert (clock.step > 1, clock.moments is not None) == (divided, ranked)
    numbers = clock.number(np.array(ticks))
    assert clock.tick(numbers).tolist() == ticks
    just_before = clock.number(np.array(ticks) - 1)
    assert (just_before < numbers).all()
    assert clock.number(np.array([NEVER, ticks[0] - 1])).tolist() == [0, 0]
    after = clock.number(np.array(ticks) + 1)
    assert (after >= numbers).all()
    assert after[0] < numbers[1]
    assert after[2] == numbers[2]


def test_a_chain_of_late_rows_is_climbed_to_the_row_that_was_known():
    """Every row of a key was created long after it happened, so that thousands must be passed over at once."""
    count, delay = 5000, 3000
    ticks = np.arange(count)
    line = timeline(np.zeros(count, np.int64), ticks, 1, ticks + delay, only_known=True)
    asked = np.array([0, delay - 1, delay, 4321, 10**6])
    found = line.newest(Questions(np.zeros(5, np.int64), asked, 1))
    assert found.tolist() == [-1, -1, 0, 4321 - delay, count - 1]
