"""When a search is over, and which trial comes next: without Ray."""

from datetime import UTC, datetime

from mlops_assets.ml.training.shards import Files
from mlops_assets.ml.tuning.search import Plan, search_parameters
from mlops_assets.ml.tuning.trials import Trial
from mlops_assets.spec.search import space_of
from resources.storage.addresses import storage_at
from tests.ml.conftest import FEATURES
from tests.parcel_weeks import search_spec

FILES = Files((), datetime(2020, 7, 6, tzinfo=UTC))


class NoRay:
    """A reach that nobody may ask for a Ray."""

    address, storage = "", storage_at("nowhere")

    def connect(self, where):
        raise AssertionError("Ray was asked for")


def run(spec, done):
    return search_parameters(FILES, spec, FEATURES, NoRay(), done, lambda trial: None, "a-search")


def plan_of(spec, done=(), heard=lambda trial: None):
    return Plan(spec, space_of(spec.search, spec.trainer), list(done), heard)


def test_minutes_of_a_search_that_was_broken_off_count():
    done = [Trial(n, {"max_depth": n + 2}, "finished", 0.7, ended=31.0 * (n + 1)) for n in range(2)]
    assert run(search_spec(trials=None, minutes=1), done) == done


def test_a_search_whose_trials_are_all_done_starts_no_ray():
    done = [Trial(n, {"max_depth": n + 2}, "finished", 0.7) for n in range(6)]
    assert run(search_spec(), done) == done


def test_trials_that_were_under_way_when_a_search_was_killed_are_made_first():
    done = [Trial(n, {}, "finished", 0.7) for n in (0, 1, 3)]
    plan = plan_of(search_spec(trials=6), done)
    numbers = []
    while not plan.over():
        numbers.append(plan.next()[0])
    assert numbers == [2, 4, 5]


def test_what_is_told_of_a_trial_that_tune_lost_is_a_failure_of_that_trial_alone():
    heard = []
    plan = plan_of(search_spec(trials=2), [Trial(0, {}, "finished", 0.7)], heard.append)
    number, values = plan.next()
    plan.end(number, state="failed", rungs=[], problem="its process was lost 4 times")
    assert plan.over() and plan.broken is None
    assert [(t.number, t.parameters, t.state) for t in heard] == [(1, values, "failed")]


def test_nothing_starts_after_an_error_of_whoever_is_told():
    def heard(trial):
        raise ConnectionError("MLflow is away")

    plan = plan_of(search_spec(trials=6), heard=heard)
    plan.end(plan.next()[0], state="finished", rungs=[], score=0.7)
    assert plan.over() and isinstance(plan.broken, ConnectionError)
