"""What is held out stays out: whatever stands in the held-out rows, challengers and trials are the same to the byte."""

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.tuning.trials import _prepared
from mlops_assets.replay.clock import Progress
from mlops_assets.replay.fits import Fits
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages import searching
from mlops_assets.stages.judging import hold_out
from mlops_assets.stages.training import train_challenger, training_files
from mlops_assets.stages.training_set import TrainingData, training_data
from resources.lake.lake import Lake
from resources.systems import Systems
from resources.tracking.tracking import Tracking
from tests.ml.conftest import parcels
from tests.ml.training.trainers.test_every_trainer import KINDS, PARAMS
from tests.parcel_weeks import parcel_lake, search_spec

SPEC = search_spec(trainer={"rounds": 8})
WEEK, ROWS = "2020-02-10", 4000
START = SPEC.calendar.days_before(datetime.fromisoformat("2020-02-17T00:00Z"), SPEC.window.hold_out_days)


def corrupted(seed: int) -> pl.DataFrame:
    """Parcels of which everything but key and times is made up anew where the label was not known on START."""
    rows, dice = parcels(ROWS), np.random.default_rng(seed)

    def made_up(name: str, kind: pl.DataType) -> pl.Expr:
        values = (
            dice.normal(scale=50, size=ROWS) if kind.is_numeric() else dice.choice(["moon", "mars"], ROWS)
        )
        series = pl.Series(values).cast(kind)
        return pl.when(dice.random() < 0.9).then(pl.lit(series)).alias(name)

    kept = {"parcel", "sent", "seen"}
    noise = rows.with_columns(made_up(n, kind) for n, kind in rows.schema.items() if n not in kept)
    held = pl.col("seen") > START
    return pl.concat([rows.filter(~held), noise.filter(held)]).sort("sent")


@pytest.fixture(scope="module")
def data_of(tmp_path_factory):
    """Training data of six weeks of parcels: as they are, or corrupted by a seed."""

    def data(seed: int | None = None) -> TrainingData:
        frame = parcels(ROWS) if seed is None else corrupted(seed)
        lake = parcel_lake(tmp_path_factory.mktemp("lake"), SPEC, frame)
        return training_data(SPEC, lake, WEEK)

    return data


@pytest.fixture(scope="module")
def clean(data_of) -> TrainingData:
    return data_of()


@pytest.fixture(scope="module")
def tracking(tmp_path_factory) -> Tracking:
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))


def model_of(spec: ModelSpec, data: TrainingData, held: bool = True) -> bytes:
    return fit(training_files(spec, data, hold_out=held), spec, data.features).model


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000))
def test_no_challenger_share_or_survey_changes_with_the_held_out_rows(data_of, clean, seed):
    data = data_of(seed)
    assert data.digest != clean.digest
    assert model_of(SPEC, data) == model_of(SPEC, clean)
    ours, theirs = (training_files(SPEC, d) for d in (data, clean))
    surveys = [files.survey(SPEC, data.features, stops=True) for files in (ours, theirs)]
    assert surveys[0] == surveys[1]
    assert all(ours.part(SPEC, rank, 3).equals(theirs.part(SPEC, rank, 3)) for rank in range(3))


@pytest.mark.parametrize("kind", PARAMS)
def test_no_kind_of_trainer_sees_the_held_out_rows(data_of, clean, kind):
    trainer = {"kind": kind, "categories": ["depot"], "early_stopping_rounds": 5} | KINDS[kind]
    spec = ModelSpec.model_validate(SPEC.model_dump() | {"trainer": trainer | {"rounds": 3}, "search": None})
    data = data_of(1)
    assert model_of(spec, data) == model_of(spec, clean)
    assert model_of(spec, data, held=False) != model_of(spec, clean, held=False)


@pytest.mark.usefixtures("flights_features")
def test_the_challenger_that_is_registered_and_that_of_a_back_test_are_the_same(data_of, clean, tracking):
    def registered(data: TrainingData) -> tuple[str, bytes]:
        project = SimpleNamespace(resources={"compute": None}, lake=data.lake, tracking=tracking)
        fits = Fits(project, SPEC, Progress(0), [])  # type: ignore[arg-type]
        model, _ = fits._fit(SPEC, data, "challenger", None)
        version, fitted, _ = train_challenger(SPEC, Systems(data.lake, tracking=tracking), {})
        assert version.trained_until == START
        assert fitted.model == model
        return version.sha256, model

    assert registered(data_of(2)) == registered(clean)
    assert len(tracking.versions(SPEC.name)) == 2


class AskedError(Exception):
    """Carries what a search was to be made on."""


def test_no_trial_of_a_search_sees_the_held_out_rows(data_of, clean, tracking, monkeypatch):
    def asked(rows, *_):
        raise AskedError(rows)

    monkeypatch.setattr(searching, "search_parameters", asked)

    def given_to_trials(data: TrainingData):
        with pytest.raises(AskedError) as caught:
            searching.run_search(SPEC, Systems(data.lake, tracking=tracking), {}, print)
        held, survey, _ = _prepared(caught.value.args[0], SPEC.model_dump_json(), tuple(data.features))
        return held.frame, survey

    (ours, our_survey), (theirs, their_survey) = given_to_trials(data_of(3)), given_to_trials(clean)
    assert ours.equals(theirs) and our_survey == their_survey
    assert ours["seen"].max() <= START


def test_a_row_is_trained_on_or_held_out_or_neither_and_never_both(tmp_path: Path):
    early = pl.when(pl.int_range(pl.len()) % 7 == 0).then(pl.col("sent") - pl.duration(days=9))
    rows = parcels(ROWS).with_columns(seen=early.otherwise("seen"))
    data = training_data(SPEC, Lake(root=parcel_lake(tmp_path, SPEC, rows).root), WEEK)
    trained, held = training_files(SPEC, data).read(SPEC), hold_out(SPEC, data)
    assert set(trained["parcel"]).isdisjoint(held["parcel"])
    assert held["seen"].min() > START and held["sent"].min() >= START and held.height > 500
