"""A recalibrated model of each kind gives the same numbers by every way in which it can be asked, and explains those."""

import numpy as np
import pytest

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.training.explained import SCORES, ExplainingScorer
from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.ml.training.kinds import kind_of, stored_as, trainer_kind
from mlops_assets.ml.training.recalibrated import FILE_PREFIX, Recalibration, parts, wrapped
from mlops_assets.spec.trainers import TrainerError
from resources.tracking.client import use_uri
from resources.tracking.tracking import Tracking
from tests.ml.training.trainers.test_every_trainer import KINDS

MENDED = Recalibration(slope=0.7, intercept=-0.4)
FEW = ["xgboost", "lightgbm", "function"]


@pytest.fixture(params=FEW, scope="module")
def both(request, make_spec, known, features):
    """The spec, the bytes as the trainer wrote them, and a kind's own name."""
    fixed = {"kind": request.param, "categories": ["depot"]}
    spec = make_spec(trainer=fixed | KINDS[request.param])
    return spec, fit(known, spec, features, rounds=5).model, request.param


def test_its_scores_are_those_of_its_model_recalibrated_by_frame_matrix_column_and_row(both, known):
    spec, model, kind = both
    content = wrapped(model, MENDED)
    plain = Scorer(model, code=spec.code, kind=kind)
    scorer = Scorer(content, code=spec.code, kind=kind)
    assert kind_of(content, spec.code) == kind and parts(content) == (model, MENDED)
    rows = known.head(40)
    expected = MENDED.scores(plain.predict(rows))
    assert scorer.predict(rows).tobytes() == expected.tobytes()
    assert (scorer.features, scorer.categories, scorer.task) == (plain.features, plain.categories, plain.task)
    assert (scorer.by_columns is None) == (plain.by_columns is None)
    if scorer.by_columns is None:
        return
    assert scorer.predict_matrix(scorer.encoding.matrix(rows)).tobytes() == expected.tobytes()
    columns = rows.select(scorer.features)
    by_columns, _ = scorer.by_columns.predict(columns.to_dict(as_series=False), rows.height)
    by_row = [scorer.by_columns.one(row)[0] for row in columns.to_dicts()]
    assert by_columns.tobytes() == np.concatenate(by_row).tobytes() == expected.tobytes()


def test_its_contributions_give_its_scores(both, known):
    spec, model, _ = both
    scorer = ExplainingScorer(wrapped(model, MENDED), code=spec.code)
    if scorer.contributions is None:
        return
    inner = ExplainingScorer(model, code=spec.code).contributions(known.head(30))
    told = scorer.contributions(known.head(30))
    assert told.values == pytest.approx(0.7 * inner.values) and told.base == pytest.approx(
        0.7 * inner.base - 0.4
    )
    raw = told.base + told.values.sum(axis=1)
    assert SCORES[told.link](raw) == pytest.approx(scorer.predict(known.head(30)), abs=1e-5)


def test_of_a_regression_it_is_refused(make_regression_spec, known, features):
    spec = make_regression_spec(trainer={"rounds": 3, "categories": ["depot"]})
    with pytest.raises(DatasetError, match="only a classifier's scores are chances"):
        Scorer(wrapped(fit(known, spec, features).model, MENDED), code=spec.code)


def test_its_file_is_told_from_those_that_a_library_opens():
    for kind in ("xgboost", "lightgbm"):
        kept_as = stored_as(FILE_PREFIX + trainer_kind(kind).file)
        assert kept_as.flavor is None and "mlops-assets" in kept_as.packages and kind in kept_as.packages
    with pytest.raises(TrainerError):
        stored_as(f"{FILE_PREFIX}notes.txt")


@pytest.mark.nightly
def test_mlflow_keeps_it_and_scores_as_we_do(make_spec, known, features, tmp_path):
    import mlflow.pyfunc

    spec = make_spec(trainer={"categories": ["depot"], "rounds": 5})
    content = wrapped(fit(known, spec, features).model, MENDED)
    file = FILE_PREFIX + trainer_kind(spec.trainer.kind).file
    tracking = Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "artifacts"))
    example = known.select([*features, "depot"]).head(3)
    about = {"params": {}, "history": {}, "metrics": {}, "tags": {}, "example": example, "file": file}
    run = tracking.log_fit("late_parcel", content, kind="challenger", identity="one", **about)
    version = tracking.register("late_parcel", run, "one")
    assert tracking.load(version) == content and version.file == file
    with use_uri(tracking.uri):
        model = mlflow.pyfunc.load_model(f"models:/late_parcel/{version.number}")
    some = known.select([*features, "depot"]).head(50)
    assert model.predict(some.to_pandas()) == pytest.approx(Scorer(content).predict(some), rel=1e-5)
