"""Every statistic of every column from a summary is that of the rows themselves, or within the error that is stated."""

import math
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.monitoring.comparison import SCHEMA, compare, compare_scan
from mlops_assets.ml.monitoring.drift import column_drift, reference_profile
from mlops_assets.ml.monitoring.reference_summary import Summary, summarize

VALUES = st.floats(-1e6, 1e6, width=32) | st.sampled_from([-2.0, 0.0, 1.0])
MISSING = st.sampled_from([None, math.nan, math.inf, -math.inf])
NUMBERS = st.lists(VALUES | MISSING, min_size=1, max_size=120) | st.lists(
    st.sampled_from([0.0, 1.0]), min_size=50, max_size=90
)
TEXTS = st.lists(st.none() | st.sampled_from("abcdef"), min_size=1, max_size=120)
PSI = ("psi", "psi_raw", "psi_expected", "psi_chance", "nulls_reference", "nulls_current", "remark")
FLOAT = {"rel": 1e-9, "abs": 1e-9}


def frame_of(values, kind=pl.Float64):
    return pl.DataFrame({"x": pl.Series(values, dtype=kind)})


def told(reference, current, kind=pl.Float64, categories=(), **kept):
    summary = Summary.from_bytes(summarize(frame_of(reference, kind), ["x"], categories, **kept).to_bytes())
    return compare(summary, frame_of(current, kind)).row(0, named=True)


def finite(values):
    return [v for v in values if v is not None and math.isfinite(v)]


@given(NUMBERS, NUMBERS)
def test_of_numbers_kept_whole_the_figures_are_exact_or_not_given(reference, current):
    found, old, new = told(reference, current), finite(reference), finite(current)
    if not old or not new:
        assert found["ks"] is found["wasserstein"] is found["ks_error"] is found["wasserstein_error"] is None
        return
    distance = stats.wasserstein_distance(old, new) / max(np.std(old), 1e-3)
    assert found["ks"] == pytest.approx(stats.ks_2samp(old, new).statistic, **FLOAT)
    assert found["wasserstein"] == pytest.approx(distance, **FLOAT)
    assert (found["ks_error"], found["wasserstein_error"], found["chi_square"]) == (0, 0, None)


@given(NUMBERS, NUMBERS, st.integers(1, 30))
def test_of_numbers_kept_by_ranks_the_figures_are_within_the_stated_error(reference, current, ranks):
    exact, found = told(reference, current), told(reference, current, exact_values=0, ranks=ranks)
    assert {name: exact[name] for name in PSI} == {name: found[name] for name in PSI}
    if exact["ks"] is None:
        assert found["ks"] is found["wasserstein"] is None
        return
    assert found["ks_error"] < 1 / ranks
    assert abs(found["ks"] - exact["ks"]) <= found["ks_error"] + 1e-12
    slack = 1e-9 * (1 + exact["wasserstein"] + found["wasserstein_error"])
    assert abs(found["wasserstein"] - exact["wasserstein"]) <= found["wasserstein_error"] + slack


@given(NUMBERS, NUMBERS, TEXTS, TEXTS)
def test_the_psi_is_that_of_the_reports(reference, current, old, new):
    sides = [
        pl.DataFrame({"x": x[:rows], "c": c[:rows]}, schema={"x": pl.Float64, "c": pl.String})
        for x, c in ((reference, old), (current, new))
        if (rows := min(len(x), len(c)))
    ]
    report = column_drift(reference_profile(sides[0], ["x", "c"]), sides[1])
    found = compare(summarize(sides[0], ["x", "c"]), sides[1])
    assert found.select("column", *PSI).equals(report.select("column", *PSI))


@given(TEXTS, TEXTS)
def test_of_categories_chi_square_is_scipys_and_what_is_new_is_counted(old, new):
    found = told(old, new, pl.String)
    counts = {c: (old.count(c), new.count(c)) for c in {*old, *new} - {None}}
    sides = np.array(list(counts.values())).T
    if len(counts) > 1 and sides.sum(axis=1).all():
        theirs = stats.chi2_contingency(sides, correction=False)
        assert (found["chi_square"], found["chi_square_freedom"]) == pytest.approx(
            (theirs.statistic, theirs.dof), **FLOAT
        )
    else:
        assert found["chi_square"] is found["chi_square_freedom"] is None
    unseen = [c for c in new if c is not None and c not in old]
    assert (found["new_categories"], found["new_share"]) == (len({*unseen}), len(unseen) / len(new))
    assert found["ks"] is found["wasserstein"] is None


@given(NUMBERS, NUMBERS, TEXTS, st.integers(1, 50), st.sampled_from([0, 1000]))
def test_rows_that_are_read_in_parts_are_told_of_as_those_in_memory(
    reference, current, texts, at_once, exact
):
    rows = min(len(current), len(texts))
    old = pl.DataFrame(
        {"x": reference, "c": ["a"] * len(reference)}, schema={"x": pl.Float64, "c": pl.String}
    )
    now = pl.DataFrame({"x": current[:rows], "c": texts[:rows]}, schema={"x": pl.Float64, "c": pl.String})
    summary = summarize(old, ["x", "c"], exact_values=exact, ranks=7)
    whole, parts = compare(summary, now), compare_scan(summary, now.lazy(), at_once)
    apart = ("wasserstein", "wasserstein_error")
    assert parts.drop(apart).equals(whole.drop(apart))
    first, second = (frame.row(0, named=True) for frame in (whole, parts))
    if first["wasserstein"] is None:
        assert second["wasserstein"] is None
        return
    error = first["wasserstein_error"] + second["wasserstein_error"]
    assert abs(first["wasserstein"] - second["wasserstein"]) <= error + 1e-9 * (
        1 + first["wasserstein"] + error
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, False, None] * 30, pl.Boolean),
        ([Decimal("1.50"), Decimal("2.25"), None] * 30, pl.Decimal(10, 2)),
        (list(range(90)), pl.Int16),
        ([1.5] * 90, pl.Float32),
        ([None] * 90, pl.Float64),
        ([math.inf] * 90, pl.Float64),
        ([1e39, -1e39, 0.0] * 30, pl.Float64),
        ([1.7e308, -1.7e308] * 45, pl.Float64),
    ],
)
@pytest.mark.parametrize("kept", [{}, {"exact_values": 0, "ranks": 9}])
@pytest.mark.parametrize("categories", [(), ("x",)])
def test_a_column_of_any_kind_has_not_moved_from_itself(values, kind, kept, categories):
    found = told(values, values, kind, categories, **kept)
    distances = ("ks", "jensen_shannon", "chi_square", "psi_raw", "new_share")
    assert {found[name] for name in distances} <= {0.0, None}
    numbers = [value for name, value in found.items() if SCHEMA[name] == pl.Float64 and value is not None]
    assert all(math.isfinite(value) for value in numbers)


def test_lists_and_a_frame_without_rows_are_refused():
    summary = summarize(frame_of([1.0, 2.0]), ["x"])
    with pytest.raises(DatasetError, match="column 'x' holds List"):
        compare(summary, pl.DataFrame({"x": [[1.0]]}))
    for empty in (compare, lambda s, f: compare_scan(s, f.lazy())):
        with pytest.raises(DatasetError, match="at least one current row"):
            empty(summary, frame_of([]))
    with pytest.raises(DatasetError, match="lacks"):
        compare(summary, pl.DataFrame({"y": [1.0]}))


def test_every_row_below_or_above_the_reference_is_as_far_as_it_can_be():
    for kept in ({}, {"exact_values": 0, "ranks": 3}):
        for shift in (-10.0, 10.0):
            found = told([0.0] * 60, [shift] * 60, **kept)
            assert (found["ks"], found["wasserstein"]) == (1.0, pytest.approx(10 / 1e-3))
