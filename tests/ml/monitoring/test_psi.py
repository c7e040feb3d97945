"""PSI by its definition on sides of unequal size, less what chance makes of it: few rows and rare categories are no drift."""

import json
import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from mlops_assets.ml.monitoring.drift import (
    column_drift,
    reference_profile,
    score_drift,
    score_profile,
    summary,
)
from mlops_assets.ml.monitoring.psi import LEAST_ROWS, chi_square_quantile, measured, pooled, psi

COUNTS = st.lists(st.integers(1, 5000), min_size=2, max_size=30)
ROWS = (LEAST_ROWS, 200, 1000)


def by_definition(old, new):
    """A row at a time, from the shares of each side's own rows."""
    before, now = Counter(old), Counter(new)
    shares = [(before[v] / len(old), now[v] / len(new)) for v in {*before, *now}]
    return sum((q - p) * math.log(q / p) for p, q in shares)


def drawn(draw, shares, rows, prefix="c"):
    numbers = draw.choice(len(shares), rows, p=np.asarray(shares) / np.sum(shares))
    return pl.DataFrame({"x": [f"{prefix}{n}" for n in numbers]})


def drift_of(old, new, categories=("x",)):
    profile = json.loads(json.dumps(reference_profile(old, ["x"], categories)))
    return column_drift(profile, new).row(0, named=True)


@pytest.mark.parametrize("rows", [(1000, 300), (300, 1000), (700, 5000)])
def test_psi_is_that_of_the_definition_whatever_the_sizes_of_the_sides(rows):
    draw = np.random.default_rng(rows[0])
    old, new = drawn(draw, [5, 3, 2, 1], rows[0]), drawn(draw, [3, 3, 3, 2], rows[1])
    found = drift_of(old, new)
    assert found["psi_raw"] == pytest.approx(by_definition(old["x"].to_list(), new["x"].to_list()))
    assert found["psi_expected"] == pytest.approx(3 * (1 / rows[0] + 1 / rows[1]))
    assert found["psi"] == pytest.approx(found["psi_raw"] - found["psi_expected"])


@given(COUNTS, st.integers(2, 50))
def test_a_side_that_is_many_times_as_large_has_the_same_shares(counts, times):
    side = np.array(counts, np.float64)
    assert psi(side, times * side) == pytest.approx(0, abs=0.05)
    if min(counts) >= 10:
        assert psi(side, times * side) == pytest.approx(0, abs=1e-12)


@given(COUNTS, st.randoms(use_true_random=False))
def test_psi_is_symmetric_and_does_not_see_bins_that_are_empty_on_both_sides(counts, random):
    a, b = np.array(counts, np.float64), np.array(random.sample(counts, len(counts)), np.float64)
    assert psi(a, b) == pytest.approx(psi(b, a))
    assert psi(np.append(a, 0), np.append(b, 0)) == psi(a, b) >= 0


def test_what_chance_reaches_is_the_chi_square_quantile():
    for freedom in (1, 2, 5, 10, 50, 500):
        assert chi_square_quantile(freedom) == pytest.approx(chi2.ppf(0.999, freedom), rel=0.04)
    assert chi_square_quantile(0) == 0


def test_the_raw_figure_of_equal_distributions_is_on_average_the_expected_one():
    draw, found = np.random.default_rng(0), []
    for _ in range(400):
        sides = (draw.multinomial(rows, [0.1] * 10).astype(float) for rows in (3000, 600))
        found.append(measured(*sides))
    assert np.mean([f.raw for f in found]) == pytest.approx(found[0].expected, rel=0.06)
    assert found[0].expected == pytest.approx(9 * (1 / 3000 + 1 / 600))


@pytest.mark.parametrize("reference", ROWS)
@pytest.mark.parametrize("rows", ROWS)
def test_categories_of_one_distribution_have_not_drifted_however_many_there_are(reference, rows):
    draw, drifted, trials = np.random.default_rng(reference + rows), [], 40
    for size in (2, 10, 20, 50, 200, 1000):
        for shares in (np.ones(size), 1 / np.arange(1, size + 1)):
            for _ in range(trials):
                sides = (drawn_counts(draw, shares, n) for n in (reference, rows))
                drifted.append(measured(*pooled(*sides, reference, rows)).exceeds(0.25))
    assert np.mean(drifted) < 0.02


def drawn_counts(draw, shares, rows):
    counts = draw.multinomial(rows, shares / np.sum(shares))
    return {str(place): int(count) for place, count in enumerate(counts) if count}


@pytest.mark.parametrize("rows", ROWS)
def test_numbers_of_one_distribution_have_not_drifted(rows):
    draw, drifted = np.random.default_rng(rows), []
    for _ in range(60):
        profile = score_profile(draw.normal(size=1000))
        drifted.append(score_drift(profile, draw.normal(size=rows))["drifted"])
    assert np.mean(drifted) <= 0.05


@pytest.mark.parametrize("reference", ROWS)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("size", [2, 10, 50, 1000])
def test_a_planted_shift_is_found_whatever_the_number_of_categories(reference, rows, size):
    draw, even = np.random.default_rng(0), np.ones(size)
    old = drawn(draw, even, reference)
    crowded = np.append(even[:-1], 9 * size)
    assert drift_of(old, drawn(draw, crowded, rows))["drifted"], "one category takes nearly all"
    if size <= 5 * reference:
        assert drift_of(old, drawn(draw, even, rows, prefix="new"))["drifted"], "none is known"
    half = pl.concat([drawn(draw, even, rows), pl.DataFrame({"x": ["other"] * rows})])
    assert drift_of(old, half)["drifted"], "a new one takes half"


@pytest.mark.parametrize("rows", ROWS)
def test_a_planted_shift_of_a_number_is_found(rows):
    draw = np.random.default_rng(1)
    profile = score_profile(draw.normal(size=1000))
    assert score_drift(profile, draw.normal(1.5, size=rows))["drifted"]


def test_a_users_own_value_other_is_none_of_the_pooled_ones():
    rare = [f"r{i}" for i in range(40)]
    old = pl.DataFrame({"x": ["other"] * 60 + rare})
    new = pl.DataFrame({"x": ["other"] * 20 + rare * 2})
    found = drift_of(old, new)
    assert found["drifted"]
    assert found["psi_raw"] == pytest.approx(
        by_definition(["other"] * 6 + ["r"] * 4, ["o"] * 0 + ["other"] * 2 + ["r"] * 8)
    )


@pytest.mark.parametrize("sizes", [(20, 1000), (1000, 20), (49, 49)])
def test_too_few_rows_on_either_side_are_said_and_no_figure_is_given(sizes):
    old, new = (pl.DataFrame({"x": np.arange(rows, dtype=float)}) for rows in sizes)
    found = drift_of(old, new, ())
    assert {found[name] for name in ("psi", "psi_raw", "psi_expected", "psi_chance", "drifted")} == {None}
    assert (
        found["remark"]
        == f"too few rows: {sizes[1]} against {sizes[0]} of the reference, 50 on each side are needed"
    )
    assert found["nulls_current"] == 0.0


def test_columns_of_too_few_rows_are_in_no_share():
    nothing = {"column": "c", "psi": None, "drifted": None}
    told = [{"column": "a", "psi": 0.5, "drifted": True}, {"column": "b", "psi": 0.1, "drifted": False}]
    schema = {"column": pl.String, "psi": pl.Float64, "drifted": pl.Boolean}
    some = summary(pl.DataFrame([*told, nothing], schema=schema))
    assert (some["share_drifted"], some["columns"], some["too_few_rows"]) == (0.5, 2, 1)
    none = summary(pl.DataFrame([nothing], schema=schema))
    assert (none["share_drifted"], none["worst_column"], none["worst_psi"]) == (None, None, None)
