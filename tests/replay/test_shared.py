"""Partitions of a replay share a run up to the first at whose end something may be decided."""

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.monitoring.naive import naive_rule
from mlops_assets.replay.shared import SharedRuns, in_a_row
from mlops_assets.spec.files import specs_in
from mlops_assets.spec.rollout import RolloutPlan
from resources.use_case_folders import use_case_folder

BUYS, SPENDS = specs_in(use_case_folder("purchases"))
CALENDAR = BUYS.calendar
DAYS = CALENDAR.names()


def project(attempts: dict[str, list[str]], served: bool = True) -> SimpleNamespace:
    lake = SimpleNamespace(records=lambda folder: attempts.get(folder.partition("/")[0], []))
    return SimpleNamespace(lake=lake, tracking=SimpleNamespace(champion=lambda name: served or None))


@pytest.mark.parametrize(
    ("attempts", "served", "waiting", "last"),
    [
        ({}, False, DAYS, "1997-05-14"),
        ({"buys_again": ["1997-05-14"]}, True, DAYS[134:], "1997-06-11"),
        ({"buys_again": ["1997-07-09"], "spends_next": []}, True, DAYS[190:], "1997-07-27"),
        ({"buys_again": ["1997-05-14"]}, True, DAYS[300:], DAYS[300]),
        ({"buys_again": [DAYS[-3]], "spends_next": [DAYS[-3]]}, True, DAYS[-2:], DAYS[-1]),
    ],
)
def test_they_end_where_the_first_model_may_be_trained(attempts, served, waiting, last):
    shared = SharedRuns(project(attempts, served), [BUYS, SPENDS])
    assert waiting[shared.count(waiting) - 1] == last


@pytest.mark.parametrize(
    ("attempts", "end", "resting"),
    [
        ({}, "1997-05-14", {"spends_next"}),
        ({"buys_again": ["1997-07-09"]}, "1997-07-27", {"buys_again"}),
        ({"buys_again": ["1997-07-09"]}, "1997-08-06", set()),
        ({"buys_again": ["1997-05-14"]}, "1997-05-20", {"buys_again", "spends_next"}),
    ],
)
def test_a_model_rests_where_nothing_can_be_decided_on_it(attempts, end, resting, monkeypatch):
    shared = SharedRuns(project(attempts), [BUYS, SPENDS])
    assert shared.resting(end) == resting
    scored = {"1997-05-01": "features"}
    monkeypatch.setattr("mlops_assets.replay.shared.partitions_to_score", lambda *_: [*scored.items()])
    shared.project.resources = {"clock": None}
    jobs = [job for job, _ in shared.due(shared.resting(end))]
    assert jobs == [f"{name}_partition" for name in ("buys_again", "spends_next") if name not in resting]


def test_while_a_roll_out_is_under_way_each_partition_decides(monkeypatch):
    planned = BUYS.model_copy(update={"rollout": RolloutPlan(answers_influence_labels=False)})
    states = {planned.name: "running"}
    monkeypatch.setattr("mlops_assets.replay.shared.under_way", lambda _, name: states.get(name))
    shared = SharedRuns(project({planned.name: [DAYS[134]]}), [planned])
    assert shared.count(DAYS[135:]) == 1 and shared.resting(DAYS[135]) == set()
    states.clear()
    assert shared.count(DAYS[135:]) > 1 and shared.resting(DAYS[135]) == {planned.name}


def test_partitions_that_follow_each_other_are_one_group():
    assert [*in_a_row(CALENDAR, [*DAYS[3:6], *DAYS[8:9], *DAYS[11:13]])] == [
        DAYS[3:6],
        DAYS[8:9],
        DAYS[11:13],
    ]
    assert [*in_a_row(CALENDAR, [])] == []


def test_a_naive_rule_says_what_its_feature_says_and_takes_missing_values():
    rng = np.random.default_rng(0)
    size = rng.exponential(20, 400)
    rows = pl.DataFrame({"size": size, "_label": (rng.random(400) < size / (size + 20)).astype(np.float32)})
    rows = rows.with_columns(pl.when(pl.int_range(pl.len()) % 10 > 0).then("size").alias("size"))
    scores = naive_rule(rows, ["size"], "classification")(pl.DataFrame({"size": [0.0, 20.0, 200.0, None]}))
    assert 0 < scores[0] < scores[1] < scores[2] < 1 and 0 < scores[3] < 1
    amounts = rows.with_columns(pl.col("size").fill_null(0).log1p().alias("_label"))
    linear = naive_rule(amounts, ["size"], "regression")
    assert np.allclose(linear(pl.DataFrame({"size": [1.0, 9.0]})), np.log([2.0, 10.0]), atol=1e-6)
    with pytest.raises(DatasetError, match="both of 0 and of 1"):
        naive_rule(rows.with_columns(_label=1.0), ["size"], "classification")


def test_a_rule_in_days_allows_for_its_rounding():
    """What is told to two digits of a day may be seven minutes early."""
    shared = SharedRuns(project({"buys_again": ["1997-05-14"]}), [BUYS])
    until = shared._quiet_until(BUYS)
    assert until is not None
    assert timedelta() < CALENDAR.partition("1997-06-11").end - until < timedelta(minutes=10)
