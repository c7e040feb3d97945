"""Which rows count at a moment: late, early, corrected and missing labels, and no bias by the speed of any of them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.dataset import label_counts, labelled
from mlops_assets.ml.labels import not_binary
from mlops_assets.spec.columns import LABEL, LABEL_EARLIER, LABEL_KNOWN
from mlops_assets.spec.model import ModelSpec
from tests.ml.conftest import parcel_spec

START, HORIZON = datetime(2020, 1, 6, tzinfo=UTC), timedelta(days=30)
AFTER_ALL = START + timedelta(days=200)
MOMENT = pl.Datetime("us", "UTC")


def spec_of(**label) -> ModelSpec:
    return parcel_spec(label={"column": "lost", **label})


HORIZONS = {
    "known_at and horizon": spec_of(known_at="seen", horizon="30d"),
    "delay": spec_of(delay="30d"),
    "within": spec_of(within="30d", known_at="seen"),
}


def losses(seed: int, rows: int = 400, event: bool = False) -> pl.DataFrame:
    """Parcels of two months: of one that is lost that is known within days, of one that is not only after thirty.

    For an event, a parcel that is not lost has no label and no moment at all.
    """
    draw = np.random.default_rng(seed)
    sent = pl.Series(sorted(draw.uniform(0, 60, rows))) * 86_400
    lost = draw.random(rows) < 0.2
    early = draw.uniform(0, 20, rows) * 86_400
    frame = pl.DataFrame({"parcel": range(rows), "lost": lost.astype(int), "early": early, "after": sent})
    time = pl.lit(START) + pl.duration(seconds="after")
    quick = time + pl.duration(seconds="early")
    lost_now = pl.col("lost") == 1
    otherwise = pl.lit(None) if event else time + HORIZON
    return frame.select(
        "parcel",
        time.cast(MOMENT).alias("sent"),
        pl.when(lost_now).then("lost").otherwise(None if event else pl.col("lost")).alias("lost"),
        pl.when(lost_now).then(quick).otherwise(otherwise).cast(MOMENT).alias("seen"),
        truth=pl.col("lost").cast(pl.Float32),
    )


@pytest.mark.parametrize("spec", HORIZONS.values(), ids=HORIZONS.keys())
@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), now=st.floats(0, 100))
def test_the_base_rate_of_the_rows_that_count_is_that_of_the_same_days_when_all_is_known(spec, seed, now):
    moment, rows = START + timedelta(days=now), losses(seed, event=spec.label.within is not None)
    used = labelled(rows, spec, moment)
    days = rows.filter(pl.col("sent") < moment - HORIZON)
    known_in_the_end = labelled(days, spec, AFTER_ALL)
    assert used["parcel"].to_list() == days["parcel"].to_list() == known_in_the_end["parcel"].to_list()
    assert used[LABEL].to_list() == known_in_the_end[LABEL].to_list() == days["truth"].to_list()


def test_without_a_horizon_the_sooner_outcome_would_be_too_frequent():
    """What a horizon is for: here by the rows that count without one."""
    spec, rows = spec_of(known_at="seen"), losses(0, 4000)
    used = labelled(rows, spec, START + timedelta(days=45))
    assert used[LABEL].to_numpy().mean() > 1.4 * rows["truth"].to_numpy().mean()


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), now=st.floats(0, 100))
def test_the_counts_add_up_and_a_missing_label_is_unlabelled_once_its_horizon_has_passed(seed, now):
    spec, moment = HORIZONS["known_at and horizon"], START + timedelta(days=now)
    rows = losses(seed).with_columns(lost=pl.when(pl.int_range(pl.len()) % 5 > 0).then("lost"))
    counts, matured = label_counts(rows, spec, moment), rows.filter(pl.col("sent") < moment - HORIZON)
    assert counts["labelled"] + counts["unlabelled"] + counts["not_yet_known"] == counts["rows"]
    assert counts["unlabelled"] == matured["lost"].null_count()
    assert counts["labelled"] == labelled(rows, spec, moment).height


def one_row(value, seen, **more) -> pl.DataFrame:
    frame = pl.DataFrame({"parcel": [1], "sent": [START], "lost": [value], "seen": [seen], **more})
    return frame.with_columns(pl.col("sent", "seen").cast(MOMENT))


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def label_at(frame: pl.DataFrame, spec: ModelSpec, days: float) -> float | None:
    return (
        labelled(frame, spec, at(days))[LABEL].to_list()[0]
        if labelled(frame, spec, at(days)).height
        else None
    )


def test_a_label_that_is_later_than_its_horizon_counts_from_when_it_is_known():
    spec, row = HORIZONS["known_at and horizon"], one_row(1, at(40))
    assert [label_at(row, spec, days) for days in (29, 31, 39, 40)] == [None, None, None, 1.0]
    assert label_counts(row, spec, at(35))["unlabelled"] == 1


def test_an_event_that_is_known_after_its_span_did_not_happen_in_it():
    spec = HORIZONS["within"]
    assert [label_at(one_row(1, at(3)), spec, days) for days in (4, 30, 30.1)] == [None, None, 1.0]
    assert label_at(one_row(1, at(31)), spec, 60) == 0.0
    assert label_at(one_row(None, None).cast({"lost": pl.Int64}), spec, 60) == 0.0


def corrected(first: float, then: float, known: list[float]) -> pl.DataFrame:
    earlier = [{"value": first, "known": at(known[0])}]
    kind = pl.List(pl.Struct({"value": pl.Float64, "known": MOMENT}))
    return pl.DataFrame(
        {
            "parcel": [1, 2],
            "sent": [START, START],
            "lost": [then, 1.0],
            LABEL_KNOWN: [at(known[1]), at(1)],
            LABEL_EARLIER: pl.Series([earlier, None], dtype=kind),
        }
    ).with_columns(pl.col("sent", LABEL_KNOWN).cast(MOMENT))


def test_of_two_outcomes_the_newest_that_was_known_at_the_asked_moment_counts():
    spec = spec_of(table="parcels/outcomes", known_at="seen", horizon="30d")
    rows = corrected(1.0, 0.0, [10, 50])
    found = {days: labelled(rows, spec, at(days))[LABEL].to_list() for days in (29, 31, 49.9, 50, 60)}
    assert found == {29: [], 31: [1.0, 1.0], 49.9: [1.0, 1.0], 50: [0.0, 1.0], 60: [0.0, 1.0]}


def test_a_correction_of_an_event_counts_where_the_event_was_known_in_time():
    spec = spec_of(table="parcels/outcomes", known_at="seen", within="30d")
    assert labelled(corrected(1.0, 0.0, [10, 50]), spec, at(60))[LABEL].to_list() == [0.0, 1.0]
    assert labelled(corrected(0.0, 1.0, [10, 50]), spec, at(60))[LABEL].to_list() == [1.0, 1.0]
    assert labelled(corrected(0.0, 1.0, [40, 50]), spec, at(60))[LABEL].to_list() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ([0, 1, None], []),
        ([0.0, 1.0, float("nan")], []),
        ([True, False], []),
        ([0, 2, 7], ["2", "7"]),
        (["yes", "no"], ["no", "yes"]),
        ([0.5], ["0.5"]),
    ],
)
def test_values_that_are_neither_no_nor_yes_are_told(values, wrong):
    assert not_binary(pl.Series(values)) == wrong
