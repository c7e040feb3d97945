"""The comparison of policies fits what nobody fitted before, and says what it is doing and when it ends."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_assets.ml.monitoring.backtest import backtest
from mlops_assets.replay.clock import Progress
from mlops_assets.replay.fits import KINDS, Fits
from mlops_assets.replay.policies import expected_trainings, history_of
from mlops_assets.spec.retrain import Retrain
from resources.tracking.tracking import Tracking
from tests.ml.conftest import parcel_spec, parcels
from tests.parcel_weeks import TRAINER, parcel_lake

SPEC = parcel_spec(
    trainer=TRAINER, window={"hold_out_days": 14, "minimum_days": 28}, retrain={"cool_down_days": 14}
)
WEEKS = 12


@pytest.fixture
def project(tmp_path) -> Any:
    lake = parcel_lake(tmp_path / "lake", SPEC, parcels(WEEKS * 7 * 96))
    for week in lake.partitions(f"{SPEC.name}/training_set"):
        lake.write(f"{SPEC.name}/drift", lake.read(f"{SPEC.name}/training_set", [week]).head(0), week)
    tracking = Tracking(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifacts=str(tmp_path / "artifacts"))
    return SimpleNamespace(lake=lake, tracking=tracking, resources={"compute": None})


def fits_of(project: Any) -> Fits:
    return Fits(
        project, SPEC, Progress(0), expected_trainings(SPEC, project.lake.partitions(f"{SPEC.name}/drift"))
    )


def test_every_four_weeks_from_the_first_that_has_history_enough_is_when_the_policy_trains(project):
    weeks = project.lake.partitions(f"{SPEC.name}/drift")
    fits = fits_of(project)
    monthly = Retrain(cool_down_days=14, max_age_days=28)
    lived = backtest(SPEC, monthly, history_of(SPEC, project.lake), fits)
    assert lived.retrained == expected_trainings(SPEC, weeks) == [weeks[3], weeks[7], weeks[11]]


def test_policies_that_train_on_the_same_rows_share_the_fit(project):
    fits, history = fits_of(project), history_of(SPEC, project.lake)
    never = backtest(SPEC, Retrain(cool_down_days=14), history, fits)
    once = fits.fitted
    monthly = backtest(SPEC, Retrain(cool_down_days=14, max_age_days=28), history, fits)
    assert never.retrained == monthly.retrained[:1] and once == 2
    assert fits.fitted == len(fits.models) == len(monthly.retrained) + len(monthly.promoted)


def test_each_fit_is_told_with_its_number_and_from_the_second_on_with_the_time_that_is_left(project, capsys):
    fits = fits_of(project)
    backtest(SPEC, Retrain(cool_down_days=14, max_age_days=28), history_of(SPEC, project.lake), fits)
    lines = capsys.readouterr().out.splitlines()
    told = [
        re.search(r"comparison of policies: (\w+), fit (\d+) of at most (\d+)(, about .* to go)?$", line)
        for line in lines
    ]
    assert [int(one[2]) for one in told if one] == list(range(1, fits.fitted + 1))
    assert told[0] and told[0][4] is None and told[0][3] == "6"
    assert all(one and one[4] for one in told[1:])


def test_what_is_left_shrinks_with_every_fit_and_is_nothing_after_the_last(project):
    fits = fits_of(project)
    for week, kind in list(fits.ahead):
        fits(week, history_of(SPEC, project.lake)[0].end, kind == KINDS[0], None if kind == KINDS[0] else 3)
        fits.seconds, fits.learnt_partitions = 10.0, 5
        assert fits.to_go(week, kind) == 2.0 * sum(fits.ahead.values())
    assert fits.ahead == {} and fits.to_go("2020-12-28", KINDS[0]) == 0
