"""A feature that alone tells the label nearly perfectly is refused, whatever its shape; an honest one never is."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.judging.leaks import MOST_ROWS, LeakError, refuse_leaks, strongest
from mlops_assets.ml.training.shards import written
from resources.storage.addresses import storage_at
from tests.ml.conftest import FEATURES, NOW, parcel_spec, parcels, regression_spec

DELAY = pl.col("delay")
LATE = DELAY > 15
SHAPES = {
    "the label": LATE.cast(pl.Float32),
    "the label turned round": 1 - LATE.cast(pl.Float32),
    "the value behind it": DELAY,
    "a multiple of it": -3 * DELAY + 7,
    "another scale of it": (DELAY / 10).exp(),
    "whole minutes": (60 * DELAY).round(),
    "known for half of the rows": pl.when(pl.int_range(pl.len()) % 2 == 0).then(DELAY),
    "there for late ones only": pl.when(LATE).then(1.0),
    "a code whose order says nothing": pl.when(LATE)
    .then((DELAY.floor() % 3) * 2 + 1)
    .otherwise((DELAY.floor() % 3) * 2),
    "told in words": pl.when(LATE).then(pl.lit("late")).otherwise(pl.lit("on time")),
    "told in words for some": pl.when(LATE).then(pl.lit("late")),
    "true or false": LATE,
}
NOT_OF_A_REGRESSION = {"the label", "the label turned round", "there for late ones only", "true or false"} | {
    name for name in SHAPES if "words" in name or "code" in name
}


def known(spec, rows: int = 2000, seed: int = 0) -> pl.DataFrame:
    return labelled(parcels(rows, seed), spec, NOW)


def with_category(spec):
    trainer = spec.trainer.model_copy(update={"categories": ["depot", "told"]})
    return spec.model_copy(update={"trainer": trainer})


@settings(max_examples=40)
@given(shape=st.sampled_from(sorted(SHAPES)), seed=st.integers(0, 1000))
def test_a_leaked_label_is_refused_whatever_its_shape_and_named_with_its_figure(shape, seed):
    frame = known(parcel_spec(), seed=seed).with_columns(SHAPES[shape].alias("told"))
    spec = with_category(parcel_spec()) if frame.schema["told"] == pl.String else parcel_spec()
    told = strongest(frame, spec, [*FEATURES, "told"])
    assert told[0].feature == "told" and told[0].figure > 0.99
    with pytest.raises(LeakError, match=r"over leaks.above=0.98: told \(AUC .*leaks: {allowed: \[told\]}"):
        refuse_leaks(told, spec)


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - NOT_OF_A_REGRESSION))
def test_a_leaked_value_of_a_regression_is_refused_too(shape):
    spec = regression_spec()
    told = strongest(known(spec).with_columns(SHAPES[shape].alias("told")), spec, [*FEATURES, "told"])
    with pytest.raises(LeakError, match=r"told \(correlation of ranks"):
        refuse_leaks(told, spec)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(30, 1500),
    task=st.sampled_from((parcel_spec, regression_spec)),
)
def test_honest_features_are_never_refused_nor_is_the_name_of_each_row(seed, rows, task):
    spec = with_category(task())
    frame = known(spec, rows, seed).with_columns(pl.col("parcel").alias("told"))
    told = strongest(frame, spec, [*FEATURES, "depot", "told"])
    refuse_leaks(told, spec)
    assert all(one.figure < 0.95 for one in told)


def test_what_is_said_to_be_known_passes_alone():
    frame = known(parcel_spec()).with_columns(a=DELAY, b=-DELAY)
    spec = parcel_spec(leaks={"allowed": ["a"]})
    told = strongest(frame, spec, ["a", "b"])
    with pytest.raises(LeakError, match=r"0\.98: b \(AUC 1\.0000 on all rows\)"):
        refuse_leaks(told, spec)
    refuse_leaks(told, parcel_spec(leaks={"allowed": ["a", "b"]}))
    refuse_leaks(told, parcel_spec(leaks={"above": 1}))


def test_of_few_rows_or_one_class_nothing_is_said():
    frame = known(parcel_spec()).with_columns(told=DELAY)
    late = frame.filter(LATE)
    assert strongest(late, parcel_spec(), ["told"]) == []
    assert strongest(pl.concat([late[:5], frame.filter(~LATE)]), parcel_spec(), ["told"]) == []
    assert strongest(frame.clear(), parcel_spec(), ["told"]) == []


def test_a_large_training_set_is_sampled_evenly_and_gives_the_same_figures_each_time(tmp_path):
    frame = parcels(3 * MOST_ROWS).with_columns(told=DELAY, kept=pl.int_range(pl.len()))
    late = frame["seen"].max()
    files = written(frame, storage_at(tmp_path), late)
    told = strongest(files, parcel_spec(), [*FEATURES, "told"])
    assert told == strongest(files, parcel_spec(), [*FEATURES, "told"])
    assert told[0].feature == "told"
    whole = {
        one.feature: one.figure
        for one in strongest(labelled(frame, parcel_spec(), late), parcel_spec(), FEATURES)
    }
    assert {one.feature: one.figure for one in told[1:]} == pytest.approx(whole, abs=0.02)
    assert np.diff(files.sample(parcel_spec(), ["kept"], MOST_ROWS)["kept"].to_numpy()).max() < 60
