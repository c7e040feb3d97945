"""Scores that are the chances they claim to be are left alone; those that are not are told by how, and what would mend them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.paired import holm
from mlops_assets.ml.monitoring.calibration import (
    CALIBRATION_COLUMNS,
    Calibration,
    Figure,
    by_slice,
    calibration,
    corrected,
    evening_shift,
    remedy_in,
    shown,
    verdict,
)
from mlops_assets.ml.monitoring.estimation import log_odds
from mlops_assets.ml.scores import ScoreError
from mlops_assets.spec.columns import CLUSTER, LABEL, SCORE
from tests.ml.conftest import MANY, between

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
ALPHA = 0.05


def rows_of(
    seed: int, days: int = 7, rows: int = 100, luck: float = 0.4, slope: float = 1.0, shift: float = 0.0
) -> Rows:
    """Labels, scores and days: the log odds of a label are `slope` times the score's, more `shift` and the day's luck."""
    draw = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows)
    odds = draw.normal(-0.5, 1.2, days * rows)
    chance = 1 / (1 + np.exp(-(slope * odds + shift + draw.normal(0, luck, days)[day])))
    return (draw.random(len(day)) < chance).astype(np.float64), 1 / (1 + np.exp(-odds)), day


def off(rows: Rows) -> bool:
    one = calibration(*rows)
    assert one is not None
    return corrected([one])[0].remedy(ALPHA) != "none"


@MANY
def test_calibrated_scores_are_called_off_as_rarely_as_the_level_says_although_days_share_their_luck(many):
    assert sum(off(rows_of(seed)) for seed in range(many)) <= many * ALPHA * 2
    assert between(sum(off(rows_of(seed, luck=0.0)) for seed in range(many)), many, ALPHA)


def test_scores_that_are_off_only_on_average_ask_for_a_shift_and_the_shift_evens_them():
    y, score, day = rows_of(1, days=14, luck=0.1, shift=0.6)
    one = calibration(y, score, day)
    assert one is not None and corrected([one])[0].remedy(ALPHA) == "shift"
    assert one.large.low < one.large.value < one.large.high and one.large.low > 0
    moved = 1 / (1 + np.exp(-(log_odds(score) + one.shift)))
    assert moved.mean() == pytest.approx(y.mean(), abs=1e-9) and one.shift == pytest.approx(0.6, abs=0.2)
    said = verdict(one, ALPHA)
    assert said.startswith("scores are too low by ") and "to the log odds of every score" in said
    assert "`mlops recalibrate late_parcel`" in verdict(one, ALPHA, "late_parcel")
    assert remedy_in(one.row(), ALPHA) == "shift" and remedy_in({}, ALPHA) is None


@pytest.mark.parametrize(
    ("slope", "words"), [(0.5, "scores are too extreme"), (2.0, "scores are not extreme enough")]
)
def test_a_slope_that_is_off_asks_for_platts_curve_and_says_which_way(slope, words):
    one = calibration(*rows_of(2, days=14, rows=300, luck=0.1, slope=slope))
    assert one is not None and corrected([one])[0].remedy(ALPHA) == "platt"
    assert one.slope.value == pytest.approx(slope, abs=0.2)
    assert words in verdict(one, ALPHA) and "read scores as an order" in verdict(one, ALPHA)


def test_of_calibrated_scores_there_is_nothing_to_do():
    one = calibration(*rows_of(3))
    assert one is not None and verdict(one, ALPHA).startswith("calibrated as far as can be told")
    assert verdict(one, ALPHA).endswith("nothing to do") and shown(one, ALPHA) == "nothing shown"
    assert (one.rows, one.days) == (700, 7) and tuple(one.row()) == CALIBRATION_COLUMNS


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.4, 2), st.floats(-1, 1))
def test_the_interval_is_that_of_one_newton_step_without_each_day(seed, slope, shift):
    """CV3L written out with matrices: a step without a day is its score by the information of the others."""
    y, score, day = rows_of(seed, days=5, rows=60, slope=slope, shift=shift)
    one = calibration(y, score, day)
    assert one is not None
    design = np.column_stack([log_odds(score), np.ones(len(y))])
    chance = 1 / (1 + np.exp(-(design @ [one.slope.value, one.intercept.value])))
    weighed = design * (chance * (1 - chance))[:, None]
    steps = [
        np.linalg.solve(
            design[day != code].T @ weighed[day != code], design[day == code].T @ (y - chance)[day == code]
        )
        for code in range(5)
    ]
    half = 2.776445 * np.sqrt(4 / 5 * (np.array(steps) ** 2).sum(axis=0))
    widths = [figure.high - figure.value for figure in (one.slope, one.intercept)]
    assert widths == pytest.approx(half, rel=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_the_names_of_days_matter(seed, dice):
    y, score, day = rows_of(seed, days=4, rows=40)
    places = dice.sample(range(len(y)), len(y))
    names = np.array([f"day {code}" for code in dice.sample(range(9), 4)])
    one, other = calibration(y, score, day), calibration(y[places], score[places], names[day][places])
    assert one is not None and other is not None
    assert [*other.row().values()] == pytest.approx([*one.row().values()], rel=1e-6, abs=1e-9)


@given(st.floats(-3, 3), st.integers(0, 10**6))
def test_the_shift_that_evens_means_undoes_one_that_parted_them(shift, seed):
    odds = np.random.default_rng(seed).normal(size=30)
    assert evening_shift(odds, 1 / (1 + np.exp(-(odds + shift)))) == pytest.approx(shift, abs=1e-9)


def test_it_is_not_defined_of_one_class_a_constant_score_one_day_parted_labels_or_no_row():
    y, score, day = rows_of(4)
    flat, parted = np.full(len(y), 0.3), np.where(y > 0.5, 0.8, 0.2)
    nothing = np.array([])
    for rows in (
        (np.ones(len(y)), score, day),
        (y, flat, day),
        (y, parted, day),
        (y, score, np.zeros(len(y))),
        (nothing, nothing, nothing),
    ):
        assert calibration(*rows) is None


def test_it_is_not_defined_where_one_day_alone_has_scores_that_differ():
    y, score, day = rows_of(5, days=2)
    assert calibration(y, np.where(day == 0, score, 0.3), day) is None


def test_rows_that_do_not_match_and_scores_that_are_no_numbers_are_refused():
    y, score, day = rows_of(6)
    with pytest.raises(DatasetError, match="give equally many"):
        calibration(y[1:], score, day)
    with pytest.raises(ScoreError, match="no finite number"):
        calibration(y, np.where(day == 0, np.nan, score), day)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_p_values_of_slices_are_corrected_for_all_of_both_questions(pairs):
    plain = calibration(*rows_of(7, days=3, rows=30))
    assert plain is not None

    def with_p(figure: Figure, p: float) -> Figure:
        return replace(figure, p=p)

    parts: list[Calibration] = [
        replace(plain, large=with_p(plain.large, large), slope=with_p(plain.slope, slope))
        for large, slope in pairs
    ]
    adjusted = [p for one in corrected(parts) for p in (one.large.p, one.slope.p)]
    assert adjusted == holm([p for pair in pairs for p in pair])
    assert all(one.large.low == plain.large.low for one in corrected(parts))


def test_the_slice_that_is_off_is_told_and_one_that_is_too_small_or_of_one_class_is_left_out():
    parts = {
        "north": rows_of(8, rows=200, luck=0.1),
        "south": rows_of(9, rows=200, luck=0.1, shift=1.0),
        "tiny": rows_of(10, rows=5),
    }
    flat = rows_of(11)
    parts["west"] = (np.zeros(len(flat[0])), *flat[1:])
    frame = pl.concat(
        pl.DataFrame({LABEL: y, SCORE: score, CLUSTER: day}).with_columns(site=pl.lit(name))
        for name, (y, score, day) in parts.items()
    )
    lines = {line["value"]: line for line in by_slice(frame, ["site"], ALPHA)}
    assert [*lines] == ["north", "south"]
    assert lines["north"]["shown"] == "nothing shown"
    assert lines["south"]["shown"].startswith("scores are too low by ")
    assert lines["south"]["low"] > 0 and (lines["south"]["rows"], lines["south"]["days"]) == (1400, 7)
