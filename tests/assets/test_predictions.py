"""Who scores a row: the version that was champion at the row's prediction time, or nobody."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from mlops_assets.stages import scoring
from tests.pumps.project import SPEC

DAY = datetime(2024, 2, 1, tzinfo=UTC)


class VersionScorer:
    """Stands in for a model: its score is its own version number."""

    def __init__(self, number: int, **_: object):
        self.number = number

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return np.full(frame.height, float(self.number))


@pytest.fixture(autouse=True)
def scorers(monkeypatch):
    monkeypatch.setattr(scoring, "Scorer", VersionScorer)


def scored(promotions: dict[int, list[datetime]], times: list[datetime]) -> list[tuple[datetime, int]]:
    rows = pl.DataFrame({"check_id": [str(i) for i in range(len(times))], "checked_at": times})
    versions = [
        SimpleNamespace(number=n, promotions=moments, trainer=None) for n, moments in promotions.items()
    ]
    tracking = SimpleNamespace(load=lambda version: version.number)
    result = scoring.score(SPEC, rows, versions, tracking)  # type: ignore[arg-type]
    assert (result["score"] == result["model_version"]).all()
    return list(result.select("checked_at", "model_version").rows())


def test_a_row_from_before_the_first_champion_is_not_scored():
    assert scored({1: [DAY]}, [DAY - timedelta(minutes=1)]) == []


def test_a_row_is_scored_by_the_champion_of_its_own_prediction_time():
    times = [DAY + timedelta(hours=h) for h in (30, 1, 24, 23)]
    found = scored({1: [DAY], 3: [DAY + timedelta(days=1)]}, times)
    assert [version for _, version in found] == [3, 1, 3, 1]
    assert [moment for moment, _ in found] == times


def test_a_version_that_came_back_scores_again():
    promotions = {1: [DAY, DAY + timedelta(days=2)], 2: [DAY + timedelta(days=1)]}
    times = [DAY + timedelta(days=d, hours=1) for d in range(3)]
    assert [version for _, version in scored(promotions, times)] == [1, 2, 1]


def test_a_version_that_was_never_promoted_scores_nothing():
    assert scored({1: []}, [DAY]) == []
