"""PSI and distance behave as distances, nulls and new categories count, Evidently's page is whole and offline."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.monitoring.comparison import compare
from mlops_assets.ml.monitoring.drift import (
    column_drift,
    detach_script,
    reference_profile,
    report_html,
    score_drift,
    score_profile,
    summary,
    worst_columns,
)
from mlops_assets.ml.monitoring.reference_summary import summarize
from mlops_assets.ml.monitoring.report_columns import MEANINGS

NUMBERS = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(0.0)), min_size=50, max_size=110)
TEXTS = st.lists(st.one_of(st.none(), st.sampled_from("abc")), min_size=50, max_size=110)


def frame_of(numbers, texts=None):
    columns = {"x": pl.Series(numbers, dtype=pl.Float64)}
    return pl.DataFrame(columns | ({"c": pl.Series(texts, dtype=pl.String)} if texts else {}))


@settings(max_examples=60)
@given(NUMBERS, NUMBERS)
def test_psi_of_numbers_is_never_negative_and_zero_on_itself(reference, current):
    profile = json.loads(json.dumps(reference_profile(frame_of(reference), ["x"])))
    drift = column_drift(profile, frame_of(current))
    assert drift["psi"][0] >= 0 and drift["psi_raw"][0] >= 0
    assert drift["wasserstein"][0] is None or drift["wasserstein"][0] >= 0
    itself = column_drift(profile, frame_of(reference).sample(fraction=1, shuffle=True))
    assert itself["psi_raw"][0] == 0 and (itself["wasserstein"][0] or 0) == 0


@given(TEXTS, TEXTS)
def test_psi_of_categories_is_never_negative_and_zero_on_itself(reference, current):
    old, new = (pl.DataFrame({"c": pl.Series(v, dtype=pl.String)}) for v in (reference, current))
    profile = reference_profile(old, ["c"], ["c"])
    assert column_drift(profile, new)["psi_raw"][0] >= 0
    assert column_drift(profile, old)["psi_raw"][0] == 0


def test_a_shift_of_one_deviation_is_drift_and_its_distance_is_one():
    values = np.random.default_rng(0).normal(size=20_000)
    profile = reference_profile(frame_of(values), ["x"])
    drift = column_drift(profile, frame_of(values + 1)).row(0, named=True)
    assert drift["drifted"] and drift["psi"] > 0.5
    assert drift["wasserstein"] == pytest.approx(1, abs=0.02)


def test_the_distance_agrees_with_scipy():
    from scipy.stats import wasserstein_distance

    draw = np.random.default_rng(1)
    old, new = draw.exponential(size=5000), draw.exponential(size=900) * 1.5
    drift = column_drift(reference_profile(frame_of(old), ["x"]), frame_of(new))
    assert drift["wasserstein"][0] == pytest.approx(wasserstein_distance(old, new) / old.std(), rel=0.1)


def test_a_column_of_mostly_zeros_still_shows_that_the_rest_grew():
    old = frame_of([0.0] * 950 + [5.0] * 50)
    new = frame_of([0.0] * 500 + [5.0] * 500)
    assert column_drift(reference_profile(old, ["x"]), new)["drifted"][0]


def test_nulls_are_a_bin_of_their_own_and_reported_as_shares():
    old, new = frame_of([1.0, 2.0, 3.0, 4.0] * 50), frame_of([1.0, None, None, float("nan")] * 50)
    drift = column_drift(reference_profile(old, ["x"]), new).row(0, named=True)
    assert (drift["nulls_reference"], drift["nulls_current"], drift["drifted"]) == (0.0, 0.75, True)


def test_a_category_never_seen_before_counts():
    old = pl.DataFrame({"c": ["a", "b"] * 50})
    new = pl.DataFrame({"c": ["a", "z"] * 50})
    drift = column_drift(reference_profile(old, ["c"], ["c"]), new)
    assert drift["drifted"][0] and drift["wasserstein"][0] is None


def test_whole_numbers_and_flags_can_be_compared():
    old = pl.DataFrame({"n": list(range(100)), "flag": [True, False] * 50})
    assert column_drift(reference_profile(old, ["n", "flag"]), old)["psi_raw"].to_list() == [0, 0]


def test_the_threshold_decides_what_has_drifted():
    old, new = frame_of([1.0, 2.0] * 500), frame_of([1.0] * 700 + [2.0] * 300)
    profile = reference_profile(old, ["x"])
    value = column_drift(profile, new)["psi"][0]
    assert not column_drift(profile, new, value)["drifted"][0]
    assert column_drift(profile, new, value * 0.99)["drifted"][0]


def test_predictions_are_compared_by_the_same_code():
    score = np.random.default_rng(0).random(2000)
    profile = score_profile(score)
    assert score_drift(profile, score)["psi_raw"] == 0
    assert score_drift(profile, score**3)["drifted"]


def test_the_summary_names_the_worst_column_and_the_share():
    old = pl.DataFrame({"a": np.arange(1000.0), "b": np.arange(1000.0)})
    drift = column_drift(reference_profile(old, ["a", "b"]), old.with_columns(pl.col("b") + 900))
    found = summary(drift)
    assert (found["share_drifted"], found["drifted"], found["columns"]) == (0.5, 1, 2)
    assert (found["worst_column"], worst_columns(drift, 1)) == ("b", ["b"])


def test_no_current_rows_are_refused():
    with pytest.raises(DatasetError, match="at least one current row"):
        column_drift(reference_profile(frame_of([1.0]), ["x"]), frame_of([1.0]).clear())


def test_evidentlys_page_is_made_without_network_whatever_the_columns_hold(known, monkeypatch):
    import socket

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("something phoned home"))
    frame = known.with_columns(empty=pl.lit(None, pl.Float32), flat=pl.lit(1.0), late=pl.col("delay") > 0)
    frame = frame.with_columns(target=pl.col("weight"), prediction=pl.col("noise"), index=pl.col("hour"))
    columns = ["queue", "hour", "depot", "empty", "flat", "late", "target", "prediction", "index"]
    page = report_html(frame[:2000], frame[2000:], columns, seed=1, rows=300)
    assert all(name in page for name in columns if name != "empty")
    small, script = detach_script(page, "evidently.js")
    assert '<script src="evidently.js"></script>' in small and "queue" in small
    assert len(small) + len(script) == pytest.approx(len(page), abs=100)
    assert len(script) > 3_000_000 > len(small)


def test_a_profile_from_before_values_were_told_by_one_text_is_still_compared():
    numbers = {
        "kind": "number",
        "edges": [0.7],
        "counts": [50, 50, 0],
        "quantiles": [0.1] * 50 + [0.7] * 51,
        "deviation": 0.3,
    }
    names = {"kind": "category", "values": ["1.0", "2.0"], "counts": [50, 50, 0]}
    frame = pl.DataFrame({"x": [0.1, 0.7] * 50, "c": [1, 2] * 50})
    found = column_drift({"rows": 100, "columns": {"x": numbers, "c": names}}, frame)
    assert found["psi_raw"].to_list() == [0, 0]


INFINITE = float("inf")
WITH_VALUES = {
    "a single row": ([1.0], [1.0]),
    "constants": ([1.0] * 60, [2.0] * 60),
    "one value among nulls": ([1.0] + [None] * 59, [2.0] + [None] * 59),
    "some infinite": ([1.0, 2.0] * 30, [INFINITE, 2.0] * 30),
    "too large": ([1.0, 2.0] * 30, [1.7e308, -1.7e308, 0.0] * 20),
    "told apart by double precision alone": ([1.0, 1.0 + 4e-16] * 30, [1.0] * 60),
    "denormal": ([5e-324, 0.0] * 30, [0.0] * 60),
}


@pytest.mark.parametrize("sides", WITH_VALUES.values(), ids=WITH_VALUES)
def test_evidently_draws_whatever_numbers_there_are(sides):
    page = report_html(*(frame_of(side) for side in sides), ["x"], seed=0, rows=50)
    assert detach_script(page, "evidently.js")[1]


@given(
    columns=st.lists(st.text("<&ab_ ", min_size=1), min_size=1, max_size=4, unique=True),
    missing=st.sampled_from([None, float("nan"), INFINITE, 1e39]),
    left=st.booleans(),
    rows=st.integers(0, 3),
)
def test_a_page_on_columns_of_which_one_side_has_no_value_is_one_sentence(columns, missing, left, rows):
    empty = pl.DataFrame({c: pl.Series([missing] * 3, dtype=pl.Float64) for c in columns})
    full = pl.DataFrame({c: [1.0, 2.0, 3.0] for c in columns})
    page = report_html(*((empty, full) if left else (full, empty)), columns, seed=0, rows=rows)
    assert page.count("<p>There is nothing to draw: ") == 1
    assert f"of the {len(columns)} columns" in page
    assert detach_script(page, "evidently.js") == (page, "")


def test_numbers_are_reported_of_columns_without_a_value():
    profile = reference_profile(frame_of([None] * 60), ["x"])
    told = column_drift(profile, frame_of([None] * 60)).row(0, named=True)
    assert (told["nulls_reference"], told["nulls_current"], told["drifted"]) == (1.0, 1.0, False)


def test_every_column_of_a_report_has_its_meaning():
    report = column_drift(reference_profile(frame_of([1.0]), ["x"]), frame_of([1.0]))
    assert report.columns == [*MEANINGS] and all(MEANINGS.values())


@given(NUMBERS, NUMBERS, TEXTS, TEXTS)
def test_what_a_report_says_of_a_column_that_is_kept_whole_is_what_a_comparison_does(old, new, before, now):
    sides = [frame_of(numbers[:50], texts[:50]) for numbers, texts in ((old, before), (new, now))]
    report = column_drift(json.loads(json.dumps(reference_profile(sides[0], ["x", "c"]))), sides[1])
    exact = compare(summarize(sides[0], ["x", "c"]), sides[1])
    same = [name for name in exact.columns if name in report.columns and name != "wasserstein"]
    assert report.select(same).equals(exact.select(same))


def test_the_gap_of_a_column_of_many_values_is_within_its_error():
    draw = np.random.default_rng(3)
    old, new = frame_of(draw.normal(size=9000)), frame_of(draw.normal(0.2, size=4000))
    report = column_drift(reference_profile(old, ["x"]), new).row(0, named=True)
    exact = compare(summarize(old, ["x"]), new)["ks"][0]
    assert 0 < report["ks_error"] < 0.004
    assert abs(report["ks"] - exact) <= report["ks_error"]


def test_a_profile_of_before_has_no_values_for_a_gap_and_says_none():
    profile = reference_profile(frame_of([1.0, 2.0] * 50), ["x"])
    del profile["columns"]["x"]["points"]
    report = column_drift(profile, frame_of([1.0, 3.0] * 50)).row(0, named=True)
    assert report["ks"] is report["ks_error"] is None
    assert report["wasserstein"] > 0 and report["jensen_shannon"] > 0
