"""Parts of the change of the mean loss add up to it, by slice and by column, and each is told of what it is."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.metrics import row_losses
from mlops_assets.ml.monitoring.attribution import Explained
from mlops_assets.ml.monitoring.loss_attribution import (
    BY_SLICE,
    LOSS,
    THE_LABELS,
    Losses,
    expected,
    loss_by_column,
    loss_by_slice,
)
from mlops_assets.ml.training.explained import SCORES
from mlops_assets.ml.training.trainers.base import Link

FEATURES = ("a", "b", "c")
SEEDS, ROWS = st.integers(0, 10**6), st.integers(1, 60)


def frame_of(seed: int, rows: int) -> pl.DataFrame:
    """Losses with a slice that is text with gaps, and one of numbers that are so many that they are cut."""
    draw = np.random.default_rng(seed)
    site = draw.choice(["north", "south", f"only {seed}", None], rows).tolist()
    return pl.DataFrame(
        {
            LOSS: draw.exponential(size=rows),
            "site": pl.Series(site, dtype=pl.String),
            "size": draw.normal(size=rows),
        }
    )


def explained(seed: int, rows: int, link: Link, metric: str) -> tuple[Explained, Losses]:
    """Contributions, of which those of some rows cancel, and losses of drawn labels by a link."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(rows, 3)) * draw.choice([0.0, 1e-9, 1.0, 5.0], (rows, 1))
    label = (draw.random(rows) < 0.4).astype(np.float64)
    return Explained(FEATURES, np.full(rows, -0.3), values), lambda raw: row_losses(
        label, SCORES[link](raw), metric
    )


@settings(max_examples=60)
@given(SEEDS, ROWS, ROWS)
def test_parts_of_slices_add_up_to_the_change_of_the_mean_loss(seed, rows, more):
    before, now = frame_of(seed, rows), frame_of(seed + 1, more)
    change = now[LOSS].to_numpy().mean() - before[LOSS].to_numpy().mean()
    parts = loss_by_slice(before, now, ["site", "size"])
    assert dict(parts.schema) == BY_SLICE
    for name in ("site", "size"):
        of_one = parts.filter(pl.col("slice").str.starts_with(f"{name} "))
        assert of_one["change"].sum() == pytest.approx(change, abs=1e-9)
        assert (of_one["by_share"] + of_one["by_loss"]).to_list() == pytest.approx(of_one["change"].to_list())
        assert (of_one["rows_before"].sum(), of_one["rows_now"].sum()) == (pytest.approx(1), pytest.approx(1))
        assert of_one["share"].is_sorted(descending=True)


@settings(max_examples=60)
@given(
    SEEDS,
    ROWS,
    ROWS,
    st.sampled_from(
        [
            ("logit", "log_loss"),
            ("logit", "brier"),
            ("identity", "mae"),
            ("identity", "rmse"),
            ("log", "rmse"),
        ]
    ),
)
def test_parts_of_columns_and_of_the_labels_add_up_to_the_change_of_the_mean_loss(seed, rows, more, loss):
    (before, then), (now, today) = explained(seed, rows, *loss), explained(seed + 1, more, *loss)
    parts = loss_by_column(before, now, (then, today))
    whole = today(now.raw).mean() - then(before.raw).mean()
    assert parts["change"].sum() == pytest.approx(whole, rel=1e-6, abs=1e-6)
    assert parts["added_now"].sum() == pytest.approx(today(now.raw).mean(), rel=1e-6, abs=1e-6)
    assert set(parts["column"]) == {*FEATURES, THE_LABELS} and parts["share"].is_sorted(descending=True)


def test_rows_that_only_came_and_went_have_a_part_by_share_and_none_by_loss():
    before = pl.DataFrame({LOSS: [1.0, 1.0, 1.0, 3.0], "site": ["a", "a", "a", "b"]})
    now = pl.DataFrame({LOSS: [1.0, 3.0, 3.0, 3.0], "site": ["a", "b", "b", "b"]})
    parts = loss_by_slice(before, now, ["site"])
    assert parts["by_loss"].to_list() == [0.0, 0.0]
    assert parts["change"].to_list() == pytest.approx([0.5, 0.5])


def test_rows_that_have_another_loss_have_a_part_by_loss_and_none_by_share():
    before = pl.DataFrame({LOSS: [1.0, 1.0, 2.0, 2.0], "site": ["a", "a", "b", "b"]})
    now = pl.DataFrame({LOSS: [1.0, 1.0, 5.0, 5.0], "site": ["a", "a", "b", "b"]})
    first, second = loss_by_slice(before, now, ["site"]).to_dicts()
    assert (first["slice"], first["by_loss"], first["by_share"]) == ("site b", 1.5, 0.0)
    assert (second["slice"], second["change"]) == ("site a", 0.0)


def test_a_value_that_is_new_has_no_loss_of_before_and_a_part_by_share_alone():
    before = pl.DataFrame({LOSS: [1.0, 1.0], "site": ["a", "a"]})
    now = pl.DataFrame({LOSS: [1.0, 4.0], "site": ["a", "b"]})
    new = loss_by_slice(before, now, ["site"]).filter(pl.col("slice") == "site b").row(0, named=True)
    assert new["loss_before"] is None and new["loss_now"] == 4.0 and new["by_loss"] == 0.0 < new["by_share"]


def test_a_column_that_came_to_say_the_opposite_has_the_change():
    """In half of the rows the label follows the contribution of a; then it is turned round."""
    label = np.repeat([0.0, 1.0], 50)
    said = np.column_stack([4 * label - 2, np.zeros((100, 2))])
    before, now = (Explained(FEATURES, np.zeros(100), values) for values in (said, -said))

    def losses(raw: np.ndarray) -> np.ndarray:
        return row_losses(label, SCORES["logit"](raw), "log_loss")

    first, *others = loss_by_column(before, now, (losses, losses)).to_dicts()
    assert first["column"] == "a" and first["added_before"] < 0 < first["added_now"]
    assert first["change"] == pytest.approx(losses(now.raw).mean() - losses(before.raw).mean())
    assert [other["change"] for other in others] == [0.0, 0.0, 0.0]


def test_columns_that_cancel_each_other_have_opposite_parts():
    """Of a label that is 1 what raises a score helps, and what lowers it as much harms as much."""
    nothing, both = np.zeros((4, 3)), np.tile([1.0, -1.0, 0.0], (4, 1))
    before, now = (Explained(FEATURES, np.zeros(4), values) for values in (nothing, both))

    def losses(raw: np.ndarray) -> np.ndarray:
        return row_losses(np.ones(4), SCORES["logit"](raw), "log_loss")

    parts = dict(loss_by_column(before, now, (losses, losses)).select("column", "change").iter_rows())
    assert parts["a"] == pytest.approx(-0.5, abs=1e-6) and parts["b"] == pytest.approx(0.5, abs=1e-6)


def test_the_labels_have_what_changes_while_no_column_says_anything():
    nothing = Explained(FEATURES, np.full(10, -2.0), np.zeros((10, 3)))

    def losses(label: float) -> Losses:
        return lambda raw: row_losses(np.full(10, label), SCORES["logit"](raw), "log_loss")

    first = loss_by_column(nothing, nothing, (losses(0.0), losses(1.0))).row(0, named=True)
    assert (first["column"], first["share"]) == (THE_LABELS, 1.0) and first["change"] == pytest.approx(2.0)


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=12), st.floats(-5, 5), st.floats(0.1, 10))
def test_what_is_to_be_expected_moves_and_stretches_with_what_was(means, shift, scale):
    span, other = expected(means), expected([scale * mean + shift for mean in means])
    assert span is not None and other is not None and span[0] <= np.mean(means) <= span[1]
    assert other == pytest.approx([scale * end + shift for end in span], rel=1e-6, abs=1e-6)


def test_of_normal_means_the_next_lies_where_it_is_expected_in_95_of_100_cases():
    draws = np.random.default_rng(0).normal(size=(2000, 7))
    inside = [low <= row[-1] <= high for row in draws if (span := expected(row[:-1])) for low, high in [span]]
    assert 0.93 < np.mean(inside) < 0.97
    assert expected([1.0, 2.0, 3.0]) is None


def test_sides_without_rows_or_of_other_features_are_refused():
    frame, (one, loss) = frame_of(0, 5), explained(0, 5, "logit", "log_loss")
    narrow = Explained(("a",), one.base, one.values[:, :1])
    empty = Explained(FEATURES, np.array([]), np.empty((0, 3)))
    with pytest.raises(DatasetError, match="wait for labels of both"):
        loss_by_slice(frame.clear(), frame, ["site"])
    with pytest.raises(DatasetError, match="wait for labels of both"):
        loss_by_column(empty, one, (loss, loss))
    with pytest.raises(DatasetError, match="explain both by one model"):
        loss_by_column(narrow, one, (loss, loss))
