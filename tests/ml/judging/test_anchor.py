"""Small losses do not add up: a challenger that is not shown to be better than the champion must hold against the anchor too."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.simulated import lived
from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.anchor import Unjudged, anchor_criterion, budget, shown_better, without_anchor
from mlops_assets.ml.judging.gate import Contender, PromotionError, Verdict, judge
from mlops_assets.ml.judging.paired import Effect
from mlops_assets.spec.gate import Gate

MARGIN = 0.01
GAIN = st.one_of(st.floats(-0.1, 0.1), st.just(math.nan))
ERROR = st.floats(0.001, 0.1)
START = datetime(2020, 3, 2, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def gate(evidence: str = "non_inferiority", **more: Any) -> Gate:
    tolerance = {} if evidence == "superiority" else {"tolerance": MARGIN}
    return Gate.model_validate(
        {"metric": "mae", "floors": {"mae": 1e6}, "evidence": evidence, **tolerance, **more}
    )


def effect(gain: float, error: float = 0.003, clusters: int = 14) -> Effect:
    return Effect("mae", 20 - gain, 20, gain, error, clusters - 1.0, clusters, 1000)


@given(GAIN, ERROR, GAIN, ERROR, st.integers(2, 30), st.sampled_from(["non_inferiority", "point"]))
def test_it_passes_within_the_margin_or_by_superiority_over_the_champion_and_never_else(
    lost, error, gain, champions, clusters, evidence
):
    rule = gate(evidence, yearly_margin=0.03)
    against, over = effect(lost, error, clusters), effect(gain, champions, clusters)
    low, worst = (-math.inf if e.gain is None else e.interval(rule.alpha)[0] for e in (over, against))
    assert low is not None and worst is not None
    superior = clusters >= 5 and low > 0
    shown = clusters >= 5 and worst >= -0.03
    within = lost >= -0.03 if evidence == "point" else shown
    found = anchor_criterion("version 1", against, over, rule)
    assert shown_better(over, rule) == superior
    assert found.passes == (within or superior)
    assert ("only a challenger that is shown to be better than the champion" in found.text) == (
        not found.passes
    )
    assert without_anchor(Unjudged("version 1", "is gone"), over, rule).passes == superior


@pytest.mark.parametrize(
    ("evidence", "lost", "gain", "said"),
    [
        (
            "non_inferiority",
            0.0,
            0.0,
            "it is shown to be less than 0.01 worse than the anchor, version 3, p 0.0027",
        ),
        (
            "non_inferiority",
            -0.012,
            0.0,
            "it is 0.0120 worse than the anchor, version 3, not shown to be less than 0.01 worse, p 0.74: only a "
            "challenger that is shown to be better than the champion is promoted",
        ),
        (
            "non_inferiority",
            -0.012,
            0.01,
            "it is 0.0120 worse than the anchor, version 3, not shown to be less than 0.01 worse, p 0.74, but the "
            "challenger is shown to be better than the champion",
        ),
        ("point", -0.009, 0.0, "it is at most 0.01 worse than the anchor, version 3"),
        (
            "point",
            -0.012,
            0.0,
            "it is 0.0120 worse than the anchor, version 3, over the margin of 0.01: only a challenger that is shown to be "
            "better than the champion is promoted",
        ),
    ],
)
def test_the_clause_names_the_anchor_the_loss_and_what_would_help(evidence, lost, gain, said):
    assert anchor_criterion("version 3", effect(lost), effect(gain), gate(evidence)).text == said


def test_what_is_left_is_the_margin_less_what_the_champion_has_lost():
    assert budget(effect(-0.004), MARGIN) == pytest.approx((0.004, 0.006))
    assert budget(effect(-0.04), MARGIN) == pytest.approx((0.04, 0.0))
    assert budget(effect(0.004), MARGIN) == (0.0, MARGIN)
    assert budget(effect(math.nan), MARGIN) == (None, None)


def test_the_margin_is_the_tolerance_unless_the_spec_says_more():
    assert gate().anchor_margin == MARGIN
    assert gate(yearly_margin=0.02).anchor_margin == 0.02
    assert gate("point", tolerance=0).anchor_margin is None
    assert gate("point", tolerance=0, yearly_margin=0.02).anchor_margin == 0.02
    assert gate("superiority").anchor_margin is None
    with pytest.raises(ValidationError, match=r"yearly_margin=0\.002 is under gate\.tolerance=0\.01"):
        gate(yearly_margin=0.002)
    with pytest.raises(ValidationError, match=r"yearly_margin=0\.02 has no meaning for evidence superiority"):
        gate("superiority", yearly_margin=0.02)


class Off:
    """A model that is off by so much on every row, and a little by the day."""

    def __init__(self, by: float, seed: int):
        self.by, self.luck = by, np.random.default_rng(seed).normal(scale=0.003, size=14)

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return 20 + self.by + self.luck[frame["day"].to_numpy()]


def side(name: str, by: float, seed: int, until: datetime = LONG_AGO) -> Contender:
    return Contender(name, f"sha of {name}", 1000, Off(by, seed), until)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """A fortnight of rows whose label is 0."""
    day = np.repeat(np.arange(14), 20)
    sent = [START + timedelta(days=int(d), minutes=i % 60) for i, d in enumerate(day)]
    frame = pl.DataFrame({"_label": 0.0, "day": day, "sent": sent})
    return frame.with_columns(seen=pl.col("sent") + pl.duration(hours=30))


@pytest.fixture(scope="module")
def judged(rows, make_regression_spec):
    def verdict(challenger: float, anchor: Any, evidence: str = "non_inferiority", **more: Any) -> Verdict:
        rule = gate(evidence, **more)
        spec = make_regression_spec().model_copy(update={"gate": rule, "slices": []})
        return judge(rows, side("version 9", challenger, 1), side("version 8", 0.02, 2), spec, anchor)

    return verdict


def test_an_equal_of_the_champion_is_held_back_once_the_margin_is_spent(judged):
    found = judged(0.02, side("version 1", 0.0, 3))
    assert not found.promote and found.reason.startswith("Rejected: mae 20.0")
    assert "shown to be less than 0.01 worse, p " in found.reason
    assert "it is 0.02" in found.reason and "worse than the anchor, version 1" in found.reason
    assert found.anchor is not None and found.anchor.left == 0.0
    assert found.anchor.spent == pytest.approx(0.02, abs=0.002)
    assert judged(0.02, side("version 1", 0.0, 3), yearly_margin=0.05).promote


def test_one_that_is_shown_to_be_better_than_the_champion_is_promoted_though_the_margin_is_spent(judged):
    found = judged(0.012, side("version 1", 0.0, 3))
    assert found.promote and found.shown_better
    assert "but the challenger is shown to be better than the champion" in found.reason
    assert not judged(0.02, side("version 1", 0.0, 3)).shown_better


def test_a_champion_that_is_the_anchor_is_named_once_and_has_spent_nothing(judged):
    found = judged(0.02, side("version 8", 0.02, 2))
    assert found.promote and "anchor" not in found.reason
    assert [c.kind for c in found.criteria] == ["floor", "evidence", "anchor"]
    assert found.anchor is not None and (found.anchor.spent, found.anchor.left) == (0.0, MARGIN)


class Blind:
    """A model of features that are gone."""

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        raise DatasetError("the model needs the columns queue, which the frame lacks")


def test_where_the_anchor_cannot_be_compared_with_only_superiority_counts(judged):
    blind = Contender("version 1", "sha", 1, Blind(), LONG_AGO)  # type: ignore[arg-type]
    for anchor in (blind, Unjudged("version 1", "is not in the registry any more")):
        found = judged(0.02, anchor)
        assert not found.promote and "the anchor, version 1, " in found.reason
        assert found.anchor is not None and (found.anchor.spent, found.anchor.left) == (None, None)
        assert judged(0.01, anchor).promote


def test_a_rule_that_lets_something_worse_pass_is_not_judged_without_an_anchor(judged):
    for evidence in ("non_inferiority", "point"):
        with pytest.raises(PromotionError, match=f"gate.evidence={evidence} lets a challenger pass"):
            judged(0.02, None, evidence)
    found = judged(0.01, None, "superiority")
    assert found.promote and found.anchor is None


@given(
    until=st.datetimes(datetime(2020, 2, 20), datetime(2020, 3, 25)),
    who=st.sampled_from(["challenger", "champion", "anchor"]),
    delay=st.integers(-50, 50),
)
def test_a_model_is_judged_on_no_row_that_was_there_while_it_was_trained(
    rows, make_regression_spec, until, who, delay
):
    until = until.replace(tzinfo=UTC)
    given = rows.with_columns(seen=pl.col("sent") + pl.duration(hours=delay))
    spec = make_regression_spec().model_copy(update={"gate": gate(), "slices": []})
    names = {"challenger": "version 9", "champion": "version 8", "anchor": "version 1"}
    sides = [side(n, 0.0, i, until if w == who else LONG_AGO) for i, (w, n) in enumerate(names.items())]
    seen = sum(s < until or k <= until for s, k in given.select("sent", "seen").iter_rows())
    if not seen:
        assert judge(given, sides[0], sides[1], spec, sides[2]).anchor is not None
        return
    with pytest.raises(PromotionError, match=f"{names[who]} was trained on .* {seen} of 280 held-out"):
        judge(given, sides[0], sides[1], spec, sides[2])


def years(worse: float, anchored: bool) -> np.ndarray:
    """Loss and promotions of 300 simulated years under non-inferiority by 0.005."""
    rule, dice = gate(tolerance=0.005), np.random.default_rng(1)
    return np.array([lived(dice, rule, worse, 0.002, anchored) for _ in range(300)])


def test_a_year_of_challengers_a_little_worse_loses_less_than_the_margin_and_equal_ones_are_still_promoted():
    before, after = years(0.0025, anchored=False), years(0.0025, anchored=True)
    assert before[:, 0].mean() > 0.008
    assert after[:, 0].mean() < 0.005 and np.quantile(after[:, 0], 0.9) <= 0.005
    assert years(0.0, anchored=True)[:, 1].mean() > 13 / 2
