"""Rows that a version cannot score are told apart from those that it can, however many of them fail."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.stages.rollout_scores import MOST_FAULTS, Faults


class Breaks:
    """Scores rows as they are, and raises where any of them is bad."""

    def __init__(self) -> None:
        self.name, self.calls = "version 1", 0

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        self.calls += 1
        if frame["bad"].any():
            raise RuntimeError("out of order")
        return frame["value"].to_numpy()


def scores(bad: list[bool]) -> tuple[np.ndarray, Any]:
    frame = pl.DataFrame({"bad": bad, "value": np.arange(len(bad), dtype=float)})
    scorer = Breaks()
    return Faults(scorer).scores(frame), scorer  # type: ignore[arg-type]


@given(st.lists(st.booleans(), min_size=1, max_size=MOST_FAULTS))
def test_exactly_the_rows_that_fail_have_no_score(bad):
    result, _ = scores(bad)
    assert np.isnan(result).tolist() == bad
    good = ~np.array(bad)
    assert (result[good] == np.flatnonzero(good)).all()


def test_one_row_in_fifty_is_counted_to_the_last_and_a_version_that_fails_all_is_believed_soon():
    rare, _ = scores([n % 50 == 0 for n in range(10_000)])
    assert np.isnan(rare).sum() == 200
    every, scorer = scores([True] * 10_000)
    assert np.isnan(every).all() and scorer.calls < 400


def test_another_shape_is_a_fault_of_every_row():
    scorer = SimpleNamespace(name="version 1", predict=lambda frame: np.zeros(frame.height + 1))
    assert np.isnan(Faults(scorer).scores(pl.DataFrame({"value": [1.0, 2.0]}))).all()  # type: ignore[arg-type]
