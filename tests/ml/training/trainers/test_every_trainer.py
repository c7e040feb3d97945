"""What holds for each kind of trainer: it learns, repeats itself byte by byte, and goes on where it was broken off."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError, split_newest
from mlops_assets.ml.judging.metrics import auc
from mlops_assets.ml.training import distributed
from mlops_assets.ml.training.fit import Fit, Scorer, fit
from mlops_assets.ml.training.kinds import kind_of
from mlops_assets.ml.training.trainers import function
from mlops_assets.ml.training.trainers.base import aside, pack
from mlops_assets.ml.training.trainers.function import MAGIC
from resources.storage.addresses import storage_at
from tests.ml.training.trainers.loops import Rates

KINDS = {
    "xgboost": {"rounds": 40, "parameters": {"subsample": 0.8, "colsample_bytree": 0.6}},
    "lightgbm": {
        "rounds": 40,
        "parameters": {"bagging_fraction": 0.8, "bagging_freq": 1, "feature_fraction": 0.7},
    },
    "torch_tabular": {"rounds": 8, "batch_size": 128, "hidden": [32, 16]},
    "function": {
        "rounds": 6,
        "loop": "tests.ml.training.trainers.loops:depot_rates",
        "scorer": "tests.ml.training.trainers.loops:Rates",
    },
}
LEARNED = {"xgboost": 0.8, "lightgbm": 0.8, "torch_tabular": 0.75, "function": 0.55}


without_torch = find_spec("torch") is None or find_spec("safetensors") is None
TORCH = pytest.param(
    "torch_tabular", marks=pytest.mark.skipif(without_torch, reason="pip install 'mlops-assets[torch]'")
)
PARAMS = [kind if kind != "torch_tabular" else TORCH for kind in KINDS]


@pytest.fixture(params=PARAMS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def spec_of(make_spec, kind) -> Callable:
    def spec(**changes):
        fixed = {"kind": kind, "categories": ["depot"], "early_stopping_rounds": 5}
        return make_spec(trainer=fixed | KINDS[kind] | changes)

    return spec


FITS: dict[str, Fit] = {}
"""What the fit of a kind's spec, with nothing changed, came to: made once for all that look at it."""


@pytest.fixture
def fitted(spec_of, kind, known, features) -> Fit:
    if kind not in FITS:
        FITS[kind] = fit(known, spec_of(), features)
    return FITS[kind]


class BrokenError(Exception):
    pass


class BrokenOff(distributed.Alone):
    """A worker that is lost after its second checkpoint."""

    saved = 0

    def save(self, state):
        super().save(state)
        self.saved += 1
        if self.saved == 2:
            raise BrokenError


def reach_of(folder):
    class Storage:
        address, storage = "", storage_at(folder)

        def connect(self, where):
            raise AssertionError("Ray was asked for")

    return Storage()


def test_it_learns_and_its_bytes_say_what_it_is(spec_of, kind, known, features, fitted):
    scorer = Scorer(fitted.model, code=spec_of().code)
    assert kind_of(fitted.model) == kind
    assert auc(known["_label"].to_numpy(), scorer.predict(known)) > LEARNED[kind]
    assert scorer.features == (*features, "depot")
    assert scorer.categories == {"depot": ("north", "south", "west")}
    assert scorer.task == "classification"


def test_the_model_so_far_at_the_best_round_is_the_one_that_is_kept(
    spec_of, known, features, fitted, monkeypatch
):
    told = {}

    class Asking(distributed.Alone):
        def reached(self, rounds, model):
            told[rounds] = aside(model)

    monkeypatch.setattr(distributed, "Alone", Asking)
    asking = fit(known, spec_of(), features)
    assert asking.model == fitted.model == told[fitted.rounds]
    assert sorted(told)[: fitted.rounds] == list(range(1, fitted.rounds + 1))


def test_the_same_rows_in_any_order_give_the_same_bytes(spec_of, known, features, fitted):
    shuffled = known.sample(fraction=1, shuffle=True, seed=3)
    assert fit(shuffled, spec_of(), features).model == fitted.model


def test_a_fit_that_was_broken_off_ends_as_one_that_was_not(spec_of, known, features, tmp_path, monkeypatch):
    spec = spec_of(checkpoint_every=2)
    unbroken = fit(known, spec, features)
    reach = reach_of(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "Alone", BrokenOff)
        with pytest.raises(BrokenError):
            fit(known, spec, features, reach=reach, identity="run")
    assert (tmp_path / "run" / "checkpoint").exists()
    resumed = fit(known, spec, features, reach=reach, identity="run")
    assert (resumed.rounds, resumed.history) == (unbroken.rounds, unbroken.history)
    assert resumed.model == unbroken.model
    assert not (tmp_path / "run").exists()


def test_a_fit_that_was_broken_off_goes_on_from_its_checkpoint(
    spec_of, known, features, tmp_path, monkeypatch
):
    spec, reach, told = spec_of(checkpoint_every=2), reach_of(tmp_path), []

    class Telling(distributed.Alone):
        def reached(self, rounds, model):
            told.append(rounds)

    with monkeypatch.context() as patched:
        patched.setattr(distributed, "Alone", BrokenOff)
        with pytest.raises(BrokenError):
            fit(known, spec, features, reach=reach, identity="run")
    monkeypatch.setattr(distributed, "Alone", Telling)
    fit(known, spec, features, reach=reach, identity="run")
    assert min(told) == 5, "four rounds were done when it was lost"


def test_another_fit_does_not_take_up_the_checkpoint(spec_of, known, features, tmp_path, monkeypatch):
    spec, reach = spec_of(checkpoint_every=2), reach_of(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "Alone", BrokenOff)
        with pytest.raises(BrokenError):
            fit(known, spec, features, reach=reach, identity="one")
    few = known.head(500)
    assert fit(few, spec, features, reach=reach, identity="two").model == fit(few, spec, features).model


def test_a_refit_takes_exactly_the_rounds_given(spec_of, known, features):
    refitted = fit(known, spec_of(), features, rounds=3)
    assert (refitted.rounds, refitted.history, refitted.rows) == (3, {}, known.height)


def test_the_best_round_is_what_a_refit_on_the_older_rows_gives(spec_of, known, features, fitted):
    spec = spec_of()
    older, _ = split_newest(known, "sent", spec.trainer.validation_share)
    again = fit(older, spec, features, rounds=fitted.rounds)
    first, second = (Scorer(model, code=spec.code).predict(known) for model in (fitted.model, again.model))
    np.testing.assert_array_equal(first, second)


def test_rows_score_alike_alone_and_together_and_strange_values_pass(spec_of, known, fitted):
    scorer = Scorer(fitted.model, code=spec_of().code)
    some = known.head(20)
    alone = [scorer.predict(some[i])[0] for i in range(some.height)]
    np.testing.assert_allclose(scorer.predict(some), alone, rtol=1e-5)
    strange = some.with_columns(depot=pl.lit("moon"), queue=pl.lit(None, pl.Float32))
    assert np.isfinite(scorer.predict(strange)).all()
    assert scorer.predict(some.clear()).shape == (0,)


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", TORCH])
def test_a_regression_predicts_the_value(kind, make_regression_spec, known, features):
    frame = known.with_columns(_label=pl.col("delay").cast(pl.Float32))
    trainer = {"kind": kind, "categories": ["depot"], **KINDS[kind]}
    fitted = fit(frame, make_regression_spec(trainer=trainer), features)
    error = Scorer(fitted.model).predict(frame) - frame["delay"].to_numpy()
    assert np.abs(error).mean() < 0.8 * np.abs(frame["delay"] - frame["delay"].mean()).mean()


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", TORCH])
def test_importances_are_shares_and_the_strongest_feature_leads(kind, fitted):
    importance = fitted.importance
    assert sum(importance.values()) == pytest.approx(1)
    assert max(importance, key=importance.__getitem__) == "queue"


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [("xgboost", "nthread", "trainer.threads"), ("lightgbm", "num_iterations", "trainer.rounds")],
)
def test_a_parameter_that_the_spec_has_a_field_for_is_refused(kind, name, field, spec_of, known, features):
    with pytest.raises(DatasetError, match=f"parameters.{name}=4 .* set {field}"):
        fit(known, spec_of(parameters={name: 4}), features)


def test_bytes_that_no_trainer_wrote_are_refused():
    with pytest.raises(DatasetError, match="is no model of xgboost, function, lightgbm, torch_tabular:"):
        Scorer(b"\x80\x04pickle")


@pytest.mark.parametrize("kind", ["xgboost", TORCH])
def test_a_library_that_cannot_use_the_gpu_is_refused_rather_than_left_to_the_cpu(
    kind, spec_of, known, features, monkeypatch
):
    monkeypatch.setattr("mlops_assets.ml.training.ladder.choose.__defaults__", (lambda: True,))
    if kind == "xgboost":
        monkeypatch.setattr("xgboost.build_info", lambda: {"USE_CUDA": False})
    else:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DatasetError, match=r"trainer.gpu=true, and .* CUDA"):
        fit(known, spec_of(gpu=True), features)


def test_torch_missing_is_told_with_the_extra_to_install(make_spec, known, features, monkeypatch):
    from mlops_assets.ml.training.trainers import base

    monkeypatch.setattr(base, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(DatasetError, match=r"needs torch: pip install 'mlops-assets\[torch\]'"):
        fit(known, make_spec(trainer={"kind": "torch_tabular"}), features)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"loop": "tests.ml.training.trainers.loops:nothing"},
            "trainer.loop='tests.ml.training.trainers.loops:nothing' cannot be",
        ),
        ({"scorer": "no.such:Thing"}, "trainer.scorer='no.such:Thing' cannot be imported"),
        (
            {"loop": "tests.ml.training.trainers.loops:returns_text"},
            "returned a str: return the model's bytes",
        ),
    ],
)
def test_a_loop_of_ones_own_that_cannot_work_is_told_why(changes, said, make_spec, known, features):
    trainer = {"kind": "function", "categories": ["depot"]} | KINDS["function"] | changes
    with pytest.raises(DatasetError, match=said):
        fit(known, make_spec(trainer=trainer), features)


def test_a_model_of_ones_own_is_read_by_the_scorer_it_names(make_spec, known, features):
    trainer = {"kind": "function", "categories": ["depot"], "early_stopping_rounds": 5} | KINDS["function"]
    spec = make_spec(trainer=trainer)
    model = fit(known, spec, features).model
    body = model.split(b"\n", 2)[2]
    np.testing.assert_array_equal(Scorer(model, code=spec.code).predict(known), Rates(body).predict(known))


def with_reader(path: str) -> bytes:
    """A model file as an attacker writes it: any import path as its reader, and any body."""
    header = {"scorer": path, "encoding": {}, "task": "classification"}
    return MAGIC + pack(header, b"touch planted")


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "subprocess:getoutput",
        "builtins:eval",
        "pickle:loads",
        "tests.ml.training.trainers.loops:Rates",
    ],
)
def test_a_class_that_only_the_file_names_is_never_imported(path, monkeypatch):
    monkeypatch.setattr(function, "import_module", lambda name: pytest.fail(f"{name} was imported"))
    with pytest.raises(DatasetError, match=f"names '{path}' as its reader, which the spec does not"):
        Scorer(with_reader(path), code={"tests.ml.training.trainers.loops:Other"})


@pytest.mark.parametrize(
    "path", ["os:system", "tests.ml.training.trainers.loops:depot_rates", "builtins:dict"]
)
def test_what_a_spec_names_is_not_called_unless_it_is_a_scorer(
    path, make_spec, known, features, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=r"is no subclass of .*ByteScorer"):
        Scorer(with_reader(path), code={path})
    trainer = {"kind": "function", **KINDS["function"], "scorer": path}
    with pytest.raises(DatasetError, match=r"is no subclass of .*ByteScorer"):
        fit(known, make_spec(trainer=trainer), features)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_than_its_versions_is_refused(spec_of, kind, known, features):
    model = fit(known, spec_of(), features, rounds=2).model
    assert Scorer(model, code=spec_of().code, kind=kind).task == "classification"
    other = "xgboost" if kind != "xgboost" else "function"
    with pytest.raises(DatasetError, match=f"made by trainer {other}, and its file is one of trainer {kind}"):
        Scorer(model, code=spec_of().code, kind=other)


@given(st.binary(max_size=200), st.sampled_from([b"", MAGIC, b"tree\n", b"{", b'\x10\0\0\0\0\0\0\0{"a":1}']))
def test_no_bytes_bring_a_scorer_down_with_anything_but_a_sentence(content, start):
    with pytest.raises(DatasetError):
        Scorer(start + content)


NASTY = {"queue": "temp [C]", "weight": 'say "hi", {a: <b>}', "hour": "größe %\t", "noise": "f0"}


def test_features_may_be_called_anything(kind, spec_of, known, features):
    """Brackets, quotes and the names that a library would give itself: the same model, under the names of the user."""
    plain = fit(known, spec_of(), features, rounds=4)
    nasty = fit(known.rename(NASTY), spec_of(), [NASTY[name] for name in features], rounds=4)
    first, second = (
        Scorer(fitted.model, code=spec_of().code).predict(frame)
        for fitted, frame in ((plain, known), (nasty, known.rename(NASTY)))
    )
    np.testing.assert_array_equal(first, second)
    assert nasty.importance == {NASTY.get(name, name): share for name, share in plain.importance.items()}


def test_mlflows_example_of_such_a_model_has_the_names_that_the_file_has(make_spec, known, features):
    import xgboost

    from mlops_assets.ml.training.trainers.xgboost import example_frame

    spec = make_spec(trainer={"kind": "xgboost", "categories": ["depot"]})
    model = fit(known.rename(NASTY), spec, [NASTY[name] for name in features], rounds=2).model
    booster = xgboost.Booster(model_file=bytearray(model))
    example = example_frame(booster, known.rename(NASTY).head(3))
    assert list(example.columns) == booster.feature_names == ["f0", "f1", "f2", "f3", "f4"]
    np.testing.assert_array_equal(example["f0"], known["queue"].cast(pl.Float64).head(3).to_numpy())


@pytest.mark.parametrize("value", [float("inf"), -1e39])
def test_training_refuses_what_single_precision_cannot_hold_and_scoring_counts_it_as_missing(
    spec_of, known, features, value
):
    rows = known[:200].with_columns(queue=pl.col("queue").cast(pl.Float64))
    wrong = rows.with_columns(queue=pl.when(pl.int_range(pl.len()) < 3).then(value).otherwise("queue"))
    with pytest.raises(DatasetError, match="column 'queue' holds 3 of 200 values"):
        fit(wrong, spec_of(), features)
    scorer = Scorer(fit(rows, spec_of(rounds=2), features, rounds=2).model, code=spec_of().code)
    missing = rows.with_columns(queue=pl.when(pl.int_range(pl.len()) >= 3).then("queue"))
    for few in (3, 200):
        assert scorer.predict(wrong[:few]).tolist() == scorer.predict(missing[:few]).tolist()
