"""Keys get equal numbers exactly where they are equal, whatever their types, and nulls none."""

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.offline_store.keys import KeyColumn, KeySpace, KeyTypeError

VALUES = {
    "small numbers": (st.integers(-5, 5), pl.Int64),
    "any numbers": (st.sampled_from([-(2**63), -1, 0, 1, 2**53, 2**53 + 1, 2**63 - 1]), pl.Int64),
    "numbers beyond Int64": (st.sampled_from([0, 2**63, 2**64 - 1]), pl.UInt64),
    "texts": (st.sampled_from(["", "a", "B", "ä", "a" * 40]), pl.String),
    "categories": (st.sampled_from(["x", "y"]), pl.Categorical),
    "floats": (st.sampled_from([0.5, 1.0, -0.0, 0.0, 1e300]), pl.Float64),
    "flags": (st.booleans(), pl.Boolean),
    "days": (st.dates(date(2024, 1, 1), date(2024, 1, 4)), pl.Date),
    "decimals": (st.sampled_from([Decimal("1.10"), Decimal("2.00")]), pl.Decimal(10, 2)),
    "bytes": (st.sampled_from([b"", b"\x00", b"ab"]), pl.Binary),
}


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[pl.Series], list[pl.Series]]:
    """Key columns of questions and of a source, of the same one to three kinds."""
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=3))
    both = []
    for height in (draw(st.integers(0, 12)), draw(st.integers(0, 12))):
        values = [
            draw(st.lists(st.one_of(VALUES[kind][0], st.none()), min_size=height, max_size=height))
            for kind in kinds
        ]
        both.append([pl.Series(v, dtype=VALUES[kind][1]) for v, kind in zip(values, kinds, strict=True)])
    return both[0], both[1]


@given(sides())
def test_numbers_are_equal_where_keys_are_and_missing_where_one_is_null(sides):
    asked, source = sides
    space = KeySpace(tuple(KeyColumn(column) for column in asked), len(asked[0]))
    ours, theirs = space.codes.tolist(), space.encode(source, len(source[0])).tolist()
    assert all(-1 <= code < space.size for code in [*ours, *theirs])
    questions, rows = list(zip(*asked, strict=True)), list(zip(*source, strict=True))
    for code, question in zip(ours, questions, strict=True):
        assert (code == -1) == (None in question)
        for other, row in zip(theirs, rows, strict=True):
            assert (code == other and code >= 0) == (question == row and None not in question)


@pytest.mark.parametrize(
    ("asked", "source", "expected"),
    [
        (pl.Series([1.0, None, 2.0]), pl.Series([1, 2, 3]), [[0], [], [1]]),
        (pl.Series([1, 2]), pl.Series([1.0, 1.5, float("nan"), 2.0]), [[0], [3]]),
        (pl.Series([1.5, 2.0]), pl.Series([1, 2]), [[], [1]]),
        (pl.Series([1, 2]), pl.Series([Decimal("1.00"), Decimal("1.50"), None]), [[0], []]),
        (pl.Series([Decimal("1.50"), Decimal("2.00")]), pl.Series([1, 2]), [[], [1]]),
        (pl.Series([1.0, 2.0]), pl.Series([Decimal("2.00"), Decimal("1.00")]), [[1], [0]]),
        (
            pl.Series([Decimal("1.10"), Decimal("2.25")]),
            pl.Series([Decimal("1.100"), Decimal("2.255")]),
            [[0], []],
        ),
        (pl.Series([1], dtype=pl.Int8), pl.Series([1, 257], dtype=pl.Int64), [[0]]),
        (pl.Series([-1, 1]), pl.Series([1, 2**64 - 1], dtype=pl.UInt64), [[], [0]]),
        (pl.Series(["a", "b"]), pl.Series(["b", "a", "c"], dtype=pl.Categorical), [[1], [0]]),
        (pl.Series([None, None]), pl.Series(["a", None]), [[], []]),
        (pl.Series(["a", "b"]), pl.Series([None, None]), [[], []]),
        (
            pl.Series([datetime(2024, 1, 1, tzinfo=UTC)]),
            pl.Series([datetime(2024, 1, 1)], dtype=pl.Datetime("ms")),
            [[0]],
        ),
    ],
    ids=str,
)
def test_keys_of_kindred_types_are_compared_by_value(asked, source, expected):
    space = KeySpace((KeyColumn(asked),), len(asked))
    theirs = space.encode([source], len(source)).tolist()
    assert [[n for n, o in enumerate(theirs) if o == c >= 0] for c in space.codes.tolist()] == expected


def test_keys_that_cannot_be_equal_are_refused_with_both_types():
    space = KeySpace((KeyColumn(pl.Series(["a"])),), 1)
    with pytest.raises(KeyTypeError, match="Int64 in the source, String in the entity rows"):
        space.encode([pl.Series([1])], 1)


def test_moments_that_nanoseconds_do_not_hold_are_no_keys_instead_of_another_moment():
    far = pl.Series("at", [datetime(2024, 1, 1), datetime(2999, 1, 1)], pl.Datetime("us"))
    with pytest.raises(KeyTypeError, match="'at' has moments before 1678 or after 2262"):
        KeyColumn(far).encode(far)


def test_without_a_key_every_row_has_the_same_one():
    space = KeySpace((), 3)
    assert (space.codes.tolist(), space.encode([], 2).tolist(), space.size) == ([0, 0, 0], [0, 0], 1)


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.sampled_from(["", "a", "b", "c" * 40])), st.integers(4, 9)))
)
def test_texts_in_runs_are_numbered_as_one_by_one(runs):
    key = KeyColumn(pl.Series(["c" * 40, "a", "", None]))
    values = pl.Series([text for text, count in runs for _ in range(count)], dtype=pl.String)
    assert key.encode(values).tolist() == [
        code for text in values for code in key.encode(pl.Series([text], dtype=pl.String))
    ]


def test_texts_are_numbered_in_their_order_so_that_sorted_files_need_no_sorting():
    space = KeySpace((KeyColumn(pl.Series(["c", "a", "b", "a"])),), 4)
    assert space.encode([pl.Series(["a", "b", "c"])], 3).tolist() == [0, 1, 2]
