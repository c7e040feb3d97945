"""A search on a real Ray Tune: repeatable, stopped early where trials are bad, and the training's own fit each time."""

import hashlib
from pathlib import Path

import pytest

from mlops_assets.ml.dataset import DatasetError, labelled
from mlops_assets.ml.judging.metrics import evaluate
from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.ml.training.ladder import ComputeError
from mlops_assets.ml.training.shards import Files
from mlops_assets.ml.tuning.search import search_parameters
from mlops_assets.ml.tuning.trials import better, with_found
from resources.compute.compute import Compute
from tests.ml.conftest import FEATURES, parcels
from tests.ml.training.trainers.test_every_trainer import TORCH
from tests.parcel_weeks import search_spec


@pytest.fixture(scope="module")
def compute(tmp_path_factory):
    """A private Ray of two CPUs, whatever the machine has; one for all tests of this file."""
    import ray

    reach = Compute(folder=str(tmp_path_factory.mktemp("training")), cpus=2)
    yield reach
    ray.shutdown()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of parcels."""
    folder, frame = tmp_path_factory.mktemp("weeks"), parcels(1200)
    for i, name in enumerate("ab"):
        frame[600 * i : 600 * (i + 1)].write_parquet(folder / f"{name}.parquet")
    return Files((str(folder / "a.parquet"), str(folder / "b.parquet")), frame["seen"].max())


def run(files, spec, compute, done=(), heard=None):
    return search_parameters(files, spec, FEATURES, compute, done, heard or (lambda trial: None), "a-search")


def lasting(trials):
    """Trials without what was timed."""
    return [
        {k: v for k, v in trial.record().items() if k not in ("seconds", "cpu_seconds", "ended")}
        for trial in trials
    ]


def test_one_at_a_time_the_same_seed_gives_the_same_trials_and_another_seed_others(compute, files):
    spec = search_spec()
    heard = []
    one = run(files, spec, compute, heard=heard.append)
    again, other = run(files, spec, compute), run(files, search_spec(seed=1), compute)
    assert lasting(one) == lasting(again)
    assert [t.parameters for t in one] != [t.parameters for t in other]
    assert heard == one and [t.number for t in one] == list(range(6))
    assert [t.ended for t in one] == sorted(t.ended for t in one)
    assert list(Path(compute.folder).iterdir()) == []


def test_the_first_trial_is_the_spec_as_it_stands(compute, files):
    spec = search_spec(trials=1)
    (first,) = run(files, spec, compute)
    assert first.parameters == {"eta": 0.05, "max_depth": 2}
    assert first.sha256 == hashlib.sha256(fit(files, spec, FEATURES).model).hexdigest()


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_the_winner_trained_again_gives_the_bytes_of_its_trial_and_scores_as_it_did(compute, files, metric):
    spec = search_spec(metric=metric)
    winner = better(metric, run(files, spec, compute))[0]
    model = fit(files, with_found(spec, winner.parameters), FEATURES).model
    assert hashlib.sha256(model).hexdigest() == winner.sha256
    rows = files.part(spec, 0, 1)
    newest = rows[files.survey(spec, FEATURES, stops=True).rows - round(0.15 * rows.height) :]
    assert labelled(newest, spec, files.known_by).height == newest.height
    scored = evaluate(newest["_label"].to_numpy(), Scorer(model).predict(newest), spec.task)
    assert scored[metric] == winner.score


def test_a_search_given_its_first_trials_goes_on_as_if_it_had_not_been_broken_off(compute, files):
    spec = search_spec(trials=9, asha={"grace": 3})
    unbroken = run(files, spec, compute)
    heard = []
    resumed = run(files, spec, compute, done=unbroken[:4], heard=heard.append)
    assert lasting(resumed) == lasting(unbroken)
    assert [t.number for t in heard] == [4, 5, 6, 7, 8]
    assert {t.state for t in unbroken} == {"finished", "stopped"}


def test_bad_trials_are_stopped_at_a_rung_and_never_win(compute, files):
    space = {"eta": {"low": 0.0001, "high": 0.5, "log": True}}
    trials = run(files, search_spec(trials=12, metric="log_loss", space=space, asha={"grace": 4}), compute)
    stopped = [t for t in trials if t.state == "stopped"]
    assert stopped and {t.rounds for t in stopped} <= {4, 12}
    for trial in stopped:
        earlier = [dict(t.rungs).get(trial.rounds) for t in trials if t.number < trial.number]
        assert sum(score < trial.score for score in earlier if score is not None) >= 1
    assert better("log_loss", trials)[0] not in stopped
    unstopped = run(files, search_spec(trials=4, metric="log_loss", space=space, asha=None), compute)
    assert {t.state for t in unstopped} == {"finished"} and not any(t.rungs for t in unstopped)


def test_a_trial_whose_values_the_library_refuses_fails_alone(compute, files):
    trials = run(files, search_spec(trials=6, space={"max_depth": {"choices": [2, -5]}}), compute)
    failed = [t for t in trials if t.state == "failed"]
    assert len(trials) == 6 and 0 < len(failed) < 6
    assert all(t.parameters == {"max_depth": -5} and "max_depth" in t.problem for t in failed)


def test_a_spec_that_cannot_be_trained_ends_the_search_with_its_own_error(compute, files):
    spec = search_spec(trainer={"parameters": {"max_depth": -5}})
    with pytest.raises(DatasetError, match=r"first trial, the spec as it stands, failed: .*max_depth"):
        run(files, spec, compute)


def test_a_trial_whose_model_gives_no_finite_number_fails_and_is_not_run_again(compute, files):
    trainer = KINDS["function"] | {"scorer": "tests.ml.training.trainers.loops:Gaps", "categories": ["depot"]}
    spec = search_spec(trials=2, space={"share": {"low": 0, "high": 1}})
    spec = type(spec).model_validate(spec.model_dump() | {"trainer": trainer})
    heard = []
    with pytest.raises(DatasetError, match=r"as it stands, failed: the trial's model gives no finite number"):
        run(files, spec, compute, heard=heard.append)
    assert heard == []


def test_an_error_of_whoever_is_told_ends_the_search_and_is_theirs(compute, files):
    def heard(trial):
        if trial.number == 2:
            raise ConnectionError("MLflow is away")

    with pytest.raises(ConnectionError, match="MLflow is away"):
        run(files, search_spec(), compute, heard=heard)


def test_two_at_a_time_all_trials_are_made_once(compute, files):
    trials = run(files, search_spec(trials=7, concurrent=2), compute)
    assert [t.number for t in trials] == list(range(7))


KINDS = {
    "lightgbm": {"kind": "lightgbm", "parameters": {}},
    "torch_tabular": {"kind": "torch_tabular", "rounds": 4, "batch_size": 128, "hidden": [8]},
    "function": {
        "kind": "function",
        "loop": "tests.ml.training.trainers.loops:depot_rates",
        "scorer": "tests.ml.training.trainers.loops:Rates",
        "rounds": 4,
        "parameters": {},
    },
}


@pytest.mark.parametrize(
    "kind", ["lightgbm", pytest.param(*TORCH.values, marks=[*TORCH.marks, pytest.mark.nightly]), "function"]
)
def test_every_kind_of_trainer_can_be_searched(compute, files, kind):
    space = {"space": {"share": {"low": 0, "high": 1}}} if kind == "function" else {}
    spec = search_spec(trials=3, asha={"grace": 1}, **space)
    given = {"categories": ["depot"], "threads": 1, "early_stopping_rounds": 3, "rounds": 9, **KINDS[kind]}
    spec = type(spec).model_validate(spec.model_dump() | {"trainer": given})
    trials = run(files, spec, compute)
    winner = better("auc", trials)[0]
    model = fit(files, with_found(spec, winner.parameters), FEATURES).model
    assert len(trials) == 3 and hashlib.sha256(model).hexdigest() == winner.sha256
    assert all(trial.rungs for trial in trials)


def test_no_trial_starts_when_the_minutes_are_over_and_the_first_always_does(compute, files):
    assert [t.number for t in run(files, search_spec(trials=None, minutes=1e-6), compute)] == [0]


def test_a_gpu_that_ray_does_not_have_is_told_at_once(compute, files):
    with pytest.raises(ComputeError, match="need GPU 1; Ray has GPU 0"):
        run(files, search_spec(trainer={"gpu": True}), compute)
