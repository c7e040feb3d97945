"""The pictures of a comparison: one bar a day, one line a slice, small enough for a page, the same each time."""

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from PIL import Image

from benchmarks.simulated import two_models
from mlops_assets.ml.judging.gate import Contender, Verdict, judge
from mlops_assets.ml.judging.plots import evaluation_plots, evidence_plots
from mlops_assets.spec.model import ModelSpec


class Given:
    """A model that answers with what stands in a column."""

    def __init__(self, column: str):
        self.column = column

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return frame[self.column].to_numpy()


@pytest.fixture(scope="module")
def judged(make_spec) -> tuple[ModelSpec, Verdict, pl.DataFrame]:
    y, ours, theirs, day = two_models(np.random.default_rng(0), rows=400)
    start = datetime(2020, 3, 2, tzinfo=UTC)
    sent = [start + timedelta(days=int(d)) for d in day]
    depot = np.random.default_rng(1).integers(0, 30, len(y)).astype(str)
    rows = pl.DataFrame(
        {"_label": y, "ours": ours, "theirs": theirs, "sent": sent, "seen": sent, "depot": depot}
    )
    spec = make_spec(slices=["depot"], gate={"metric": "brier", "floors": {"auc": 0.1}})
    sides = [Contender(n, n, 1, Given(n), start - timedelta(days=1)) for n in ("ours", "theirs")]  # type: ignore[arg-type]
    return spec, judge(rows, sides[0], sides[1], spec), rows


def test_days_and_slices_are_drawn_alike_each_time_and_small(judged):
    spec, verdict, _ = judged
    drawn = evidence_plots(verdict, spec.gate)
    assert list(drawn) == ["gain_by_day", "gain_by_slice"]
    assert drawn == evidence_plots(verdict, spec.gate)
    for content in drawn.values():
        assert len(content) < 40_000
        assert Image.open(io.BytesIO(content)).size[0] == 640
    assert Image.open(io.BytesIO(drawn["gain_by_slice"])).size[1] == 100 + 18 * 30


def test_without_a_champion_there_is_nothing_to_draw(judged):
    spec, _, rows = judged
    side = Contender("ours", "ours", 1, Given("ours"), datetime(2020, 3, 1, tzinfo=UTC))  # type: ignore[arg-type]
    first = judge(rows, side, None, spec)
    assert evidence_plots(first, spec.gate) == {}


def test_the_champions_reliability_is_drawn_beside_the_challengers(judged):
    _, verdict, rows = judged
    labels = rows["_label"].to_numpy()
    alone = evaluation_plots(labels, verdict.score, "classification", {"only": 1.0})
    both = evaluation_plots(labels, verdict.score, "classification", {"only": 1.0}, verdict.champion_score)
    assert alone["reliability"] != both["reliability"]
    assert alone["roc"] == both["roc"]
