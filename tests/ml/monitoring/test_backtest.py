"""A policy tried on history trains when it says, scores with what it had, and never looks ahead."""

from datetime import timedelta

import polars as pl
import pytest

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.monitoring.backtest import HistoryPartition, backtest
from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.spec.model import Gate
from mlops_assets.spec.retrain import Retrain
from tests.ml.conftest import FEATURES, parcel_spec, parcels

WEEKS = 10


@pytest.fixture(scope="module")
def history():
    """Ten weeks of parcels, and a trainer that notes what it was asked for."""
    spec = parcel_spec(window={"hold_out_days": 7, "minimum_days": 28}, retrain={"cool_down_days": 7})
    frame = parcels(96 * 7 * WEEKS)
    asked: list[tuple[str, bool]] = []

    def rows_until(moment):
        return labelled(frame, spec, moment)

    def train(name, now, held, rounds):
        asked.append((name, held))
        rows = rows_until(spec.calendar.days_before(now, 7) if held else now)
        fitted = fit(rows, spec, [*spec.trainer.categories, *FEATURES], rounds=rounds)
        return fitted.model, fitted.rounds

    def history_week(name):
        span = spec.calendar.partition(name)
        inside = frame.filter(pl.col("sent").is_between(span.start, span.end, closed="left"))
        start = spec.calendar.days_before(span.end, 7)
        return HistoryPartition(
            name, span.end, inside, lambda: rows_until(span.end).filter(pl.col("sent") >= start)
        )

    return spec, [history_week(name) for name in spec.calendar.names()[:WEEKS]], train, asked


def test_never_retraining_trains_once_when_there_is_enough_history(history):
    spec, weeks, train, asked = history
    asked.clear()
    result = backtest(spec, Retrain(cool_down_days=7), weeks, train)
    assert result.retrained == result.promoted == [weeks[3].name]
    assert asked == [(weeks[3].name, True), (weeks[3].name, False)]


def test_every_two_weeks_trains_every_two_weeks_and_scores_all_weeks_after_the_first(history):
    spec, weeks, train, _ = history
    result = backtest(spec, Retrain(cool_down_days=7, max_age_days=14), weeks, train)
    assert result.retrained == [weeks[i].name for i in (3, 5, 7, 9)]
    assert result.scored.height == sum(w.rows.height for w in weeks[4:])
    assert result.scored["parcel"].is_unique().all()


def test_a_week_is_scored_by_the_model_that_was_there_before_it(history):
    spec, weeks, train, _ = history
    result = backtest(spec, Retrain(cool_down_days=7), weeks, train)
    challenger, rounds = train(weeks[3].name, weeks[3].end, True, None)
    champion, _ = train(weeks[3].name, weeks[3].end, False, rounds)
    expected = Scorer(champion).predict(weeks[4].rows)
    found = result.scored.filter(pl.col("parcel").is_in(weeks[4].rows["parcel"].implode()))[
        "score"
    ].to_numpy()
    assert (found == expected).all()
    assert challenger != champion


def test_a_week_that_is_worse_than_at_promotion_leads_to_a_retraining(history):
    spec, weeks, train, _ = history
    upset = weeks[6].rows.with_columns(queue=-pl.col("queue"))
    changed = [
        *weeks[:6],
        HistoryPartition(weeks[6].name, weeks[6].end, upset, weeks[6].hold_out),
        *weeks[7:],
    ]
    policy = Retrain(cool_down_days=7, metric_worse_by=0.2)
    assert backtest(spec, policy, weeks, train).retrained == [weeks[3].name]
    assert weeks[6].name in backtest(spec, policy, changed, train).retrained


def test_no_row_is_scored_before_there_is_a_champion(history):
    spec, weeks, train, _ = history
    assert backtest(spec, Retrain(cool_down_days=7), weeks[:3], train).scored.is_empty()
    first = backtest(spec, Retrain(cool_down_days=7), weeks, train).scored["sent"].min()
    assert first >= weeks[3].end - timedelta(0)


def test_small_losses_do_not_add_up_on_history_either(history):
    spec, weeks, train, _ = history
    rounds_of = dict(zip([weeks[i].name for i in (3, 5, 7, 9)], (9, 4, 2, 2), strict=True))

    def weaker(name, now, held, rounds):
        return train(name, now, held, rounds_of[name])[0], rounds_of[name]

    def promoted(**gate):
        rule = {"metric": "log_loss", "floors": {"auc": 0.3}, "evidence": "point", "tolerance": 0.05, **gate}
        unguarded = {"slice_tolerance": None, "calibration_tolerance": None}
        given = spec.model_copy(update={"gate": Gate.model_validate(rule | {"guards": unguarded})})
        policy = Retrain(cool_down_days=7, max_age_days=14)
        return backtest(given, policy, weeks, weaker).promoted

    assert promoted(yearly_margin=1.0) == list(rounds_of)
    assert promoted() == list(rounds_of)[:2]
