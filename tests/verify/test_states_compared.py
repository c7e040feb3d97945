"""Two states are compared in full: whatever is planted in one of them is named with its place, and nothing else is."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.verify.parity import Difference, Expected, State, differences, judged
from resources.lake.lake import parquet

ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "score": [0.1, None, 0.3],
        "at": [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)],
    }
)
SCORES, ENTRY = "scores/loans/predictions@2024-01-01", "decisions/audit/000001"
STATE = State(
    {SCORES: parquet(ROWS), "tables/loans/raw": parquet(ROWS.drop("score"))},
    {ENTRY: {"kind": "promoted", "version": 2, "evidence": {"names": ["a", "b"], "seconds": 1.5}}},
)


def with_rows(frame: pl.DataFrame) -> State:
    return replace(STATE, tables={**STATE.tables, SCORES: parquet(frame)})


def with_entry(**changed: Any) -> State:
    return replace(STATE, documents={ENTRY: {**STATE.documents[ENTRY], **changed}})


def test_a_state_differs_in_nothing_from_itself():
    assert list(differences(STATE, STATE)) == []
    assert judged(STATE, STATE, []).unlisted == []


NUDGED = ROWS.with_columns(score=pl.Series([0.1, None, 0.30000001]))
PLANTED = {
    "a table is missing": (
        State({SCORES: STATE.tables[SCORES]}, STATE.documents),
        Difference("tables/loans/raw", "only in the first"),
    ),
    "a score is another one": (
        with_rows(NUDGED),
        Difference(
            f"{SCORES}#score", "1 of 3 values, at most 1e-08 apart; the first, in row 2: 0.3 and 0.30000001"
        ),
    ),
    "a score is there that was null": (
        with_rows(ROWS.with_columns(score=pl.Series([0.1, 0.2, 0.3]))),
        Difference(f"{SCORES}#score", "1 of 3 values; the first, in row 1: None and 0.2"),
    ),
    "a row is missing": (
        with_rows(ROWS.head(2)),
        Difference(SCORES, "3 and 2 rows: 1 only in the first, 0 only in the second"),
    ),
    "a row is there twice": (
        with_rows(pl.concat([ROWS, ROWS.head(1)])),
        Difference(SCORES, "3 and 4 rows: 0 only in the first, 1 only in the second"),
    ),
    "rows are in another order": (
        with_rows(ROWS.reverse()),
        Difference(SCORES, "the same rows in another order"),
    ),
    "a column is missing": (
        with_rows(ROWS.drop("score")),
        Difference(f"{SCORES}#score", "the column is only in the first"),
    ),
    "a column is new": (
        with_rows(ROWS.with_columns(more=1)),
        Difference(f"{SCORES}#more", "the column is only in the second"),
    ),
    "a column has another type": (
        with_rows(ROWS.cast({"id": pl.Int32})),
        Difference(f"{SCORES}#id", "Int64 and Int32"),
    ),
    "a decision is missing": (State(STATE.tables, {}), Difference(ENTRY, "only in the first")),
    "a decision more": (
        replace(STATE, documents={**STATE.documents, "decisions/audit/000002": {}}),
        Difference("decisions/audit/000002", "only in the second"),
    ),
    "another version was promoted": (with_entry(version=3), Difference(f"{ENTRY}#version", "2 and 3")),
    "a number is a text": (with_entry(version="2"), Difference(f"{ENTRY}#version", "2 and '2'")),
    "a field within is another": (
        with_entry(evidence={"names": ["a", "c"], "seconds": 1.5}),
        Difference(f"{ENTRY}#evidence.names.1", "'b' and 'c'"),
    ),
    "a list is longer": (
        with_entry(evidence={"names": ["a", "b", "c"], "seconds": 1.5}),
        Difference(f"{ENTRY}#evidence.names", "['a', 'b'] and ['a', 'b', 'c']"),
    ),
    "a field is missing": (
        with_entry(evidence={"names": ["a", "b"]}),
        Difference(f"{ENTRY}#evidence.seconds", "only in the first"),
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_named_with_its_place_and_nothing_else_is(planted):
    other, difference = PLANTED[planted]
    assert list(differences(STATE, other)) == [difference]


def test_the_same_rows_in_other_bytes_are_told_too():
    other = replace(STATE, tables={**STATE.tables, SCORES: _uncompressed(ROWS)})
    assert list(differences(STATE, other)) == [Difference(SCORES, "the same rows in other bytes")]


def _uncompressed(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="uncompressed")
    return buffer.getvalue()


def test_what_a_pattern_covers_is_expected_with_its_reason_and_the_rest_is_not():
    timed = Expected("decisions/audit/*#evidence.seconds", "what was timed is another number each time")
    other = with_entry(version=3, evidence={"names": ["a", "b"], "seconds": 2.5})
    verdict = judged(STATE, other, [timed])
    assert verdict.expected == {timed: [Difference(f"{ENTRY}#evidence.seconds", "1.5 and 2.5")]}
    assert verdict.unlisted == [Difference(f"{ENTRY}#version", "2 and 3")]
    assert (verdict.tables, verdict.documents) == (2, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_two_values_differ_exactly_where_something_is_named(first, second):
    states = [State({}, {"decisions/x": value}) for value in (first, second)]
    same = first == second and _kinds(first) == _kinds(second)
    assert (list(differences(*states)) == []) == same


def _kinds(value: Any) -> Any:
    """The types within a value, as 1 and True are equal to Python."""
    if isinstance(value, dict):
        return {key: _kinds(inner) for key, inner in value.items()}
    return [_kinds(inner) for inner in value] if isinstance(value, list) else type(value)
