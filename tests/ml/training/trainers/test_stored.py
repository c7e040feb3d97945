"""Every kind of model is kept in MLflow in its own format, found again by its hash, and loaded without a pickle."""

import pickle

import numpy as np
import pytest

from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.ml.training.kinds import trainer_kind
from resources.tracking.tracking import Tracking, TrackingError
from tests.ml.training.trainers.test_every_trainer import KINDS, PARAMS


@pytest.fixture(params=PARAMS, scope="module")
def stored(request, make_spec, known, features, tmp_path_factory):
    """A registry with one version, its fit, and the folder of files."""
    folder = tmp_path_factory.mktemp("registry")
    fixed = {"kind": request.param, "categories": ["depot"], "early_stopping_rounds": 5}
    spec = make_spec(trainer=fixed | KINDS[request.param])
    fitted = fit(known, spec, features, rounds=4)
    tracking = Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))
    run = tracking.log_fit(
        "late_parcel",
        fitted.model,
        kind="challenger",
        identity="one",
        params={},
        history={},
        metrics={},
        tags={},
        example=known.select([*features, "depot"]).head(3),
        file=trainer_kind(request.param).file,
    )
    return tracking, tracking.register("late_parcel", run, "one"), fitted, folder / "artifacts", spec.code


def test_a_version_is_found_again_byte_by_byte_and_no_pickle_lies_beside_it(stored):
    tracking, version, fitted, folder, _ = stored
    assert tracking.load(version) == fitted.model
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "requirements.txt"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt"))]


def test_mlflow_itself_can_load_and_score_it(stored, known, features, monkeypatch):
    import mlflow.pyfunc

    from mlops_assets.spec import files
    from resources.tracking.client import use_uri

    tracking, version, fitted, _, code = stored
    monkeypatch.setattr(files, "declared_code", lambda: code)
    with use_uri(tracking.uri):
        model = mlflow.pyfunc.load_model(f"models:/late_parcel/{version.number}")
    some = known.select([*features, "depot"]).head(50)
    scorer = Scorer(fitted.model, code=code)
    rows = some.to_pandas()
    if version.tags["model_file"] == "model.ubj":
        codes = {name: float(i) for i, name in enumerate(scorer.categories["depot"])}
        rows["depot"] = rows["depot"].map(codes)
        rows = rows.astype("float64")
    np.testing.assert_allclose(model.predict(rows), scorer.predict(some), rtol=1e-5)


def test_nothing_is_unpickled_when_a_stored_model_is_read_and_asked(stored, known, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    tracking, version, fitted, _, code = stored
    expected = Scorer(fitted.model, code=code).predict(known.head(5))
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    again = Scorer(tracking.load(version), code=code)
    np.testing.assert_array_equal(again.predict(known.head(5)), expected)


def test_a_changed_file_is_refused(stored):
    tracking, version, _, folder, _ = stored
    (file,) = folder.rglob(version.tags["model_file"])
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(TrackingError, match="the file was changed or cut"):
        tracking.load(version)
    file.write_bytes(content)
