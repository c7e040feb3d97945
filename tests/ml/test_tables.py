"""A table's promises, and the frames that break them one at a time."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.ml.tables import Expectation, claims, examine

END = datetime(2013, 1, 7, 5, tzinfo=UTC)
EXPECTED = Expectation(
    schema={
        "k": pl.Int64,
        "v": pl.Float64,
        "at": pl.Datetime("us", "UTC"),
        "known": pl.Datetime("us", "UTC"),
    },
    keys=("k", "at"),
    time="at",
    known="known",
    every=timedelta(hours=3),
    ranges={"v": (0.0, 1.0)},
    nulls={"v": 0.1},
)


def hours(count: int) -> pl.DataFrame:
    """A sound table: one row an hour up to the partition's end."""
    times = [END - timedelta(hours=i + 1) for i in reversed(range(count))]
    return pl.DataFrame(
        {"k": [1] * count, "v": [0.5] * count, "at": times, "known": times}, schema=dict(EXPECTED.schema)
    )


def broken(frame: pl.DataFrame) -> set[str]:
    return {finding.claim for finding in examine(frame, EXPECTED, END) if not finding.holds}


def test_a_sound_table_keeps_every_promise():
    assert broken(hours(24)) == set()


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (lambda f: pl.concat([f, f.tail(1)]), "keys_are_unique"),
        (lambda f: f.with_columns(at=pl.col("at") + timedelta(hours=1)), "no_event_after_the_partition"),
        (
            lambda f: f.with_columns(known=pl.col("known") + timedelta(minutes=1)),
            "no_event_after_the_partition",
        ),
        (lambda f: f.with_columns(v=pl.when(pl.col("at").dt.hour() > 5).then("v")), "nulls_within_limits"),
        (
            lambda f: f.with_columns(v=pl.when(pl.col("at").dt.hour() > 5).then("v").otherwise(float("nan"))),
            "nulls_within_limits",
        ),
        (lambda f: f.with_columns(v=pl.lit(2.0)), "values_in_range"),
        (lambda f: f.with_columns(v=pl.lit(float("inf"))), "values_in_range"),
        (lambda f: f.head(12), "fresh_to_the_end"),
        (lambda f: pl.concat([f.head(6), f.tail(6)]), "no_gaps"),
    ],
)
def test_one_broken_promise_is_named_and_no_other(change, claim):
    assert broken(change(hours(24))) == {claim}


def test_a_wrong_schema_says_what_was_declared_and_leaves_the_rest_unexamined():
    findings = examine(hours(3).rename({"v": "w"}), EXPECTED, END)
    schema = next(f for f in findings if f.claim == "schema_is_as_declared")
    assert schema.numbers["missing"] == ["v"]
    assert schema.numbers["unknown"] == ["w"]
    assert all("not examined" in f.numbers for f in findings if f is not schema)


def test_claims_about_time_are_made_only_of_tables_with_a_time():
    timeless = Expectation(schema={"k": pl.Int64}, keys=("k",))
    assert [name for name, _ in claims(timeless)] == [
        "schema_is_as_declared",
        "keys_are_unique",
        "nulls_within_limits",
        "values_in_range",
    ]


def test_schema_keys_and_event_times_block_the_rest_warns():
    assert [name for name, blocks in claims(EXPECTED) if blocks] == [
        "schema_is_as_declared",
        "keys_are_unique",
        "no_event_after_the_partition",
    ]
