"""The short call of a booster gives what the long one gives, bit for bit."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlops_assets.ml.column_encoding import RowBuffer
from mlops_assets.ml.training.trainers.xgboost_dense import Dense
from mlops_assets.ml.training.trainers.xgboost_lean import LeanBooster, LibraryError

xgboost = pytest.importorskip("xgboost")


@pytest.fixture(scope="module")
def booster():
    dice = np.random.default_rng(3)
    data = dice.normal(size=(400, 7)).astype(np.float32)
    data[dice.random(data.shape) < 0.2] = np.nan
    labels = (np.nan_to_num(data[:, 0]) > 0).astype(np.float32)
    options = {"objective": "binary:logistic", "nthread": 1, "max_depth": 4}
    return xgboost.train(options, xgboost.DMatrix(data, labels), 12)


@pytest.mark.parametrize("rows", [0, 1, 2, 9, 300])
def test_scores_are_those_of_inplace_predict(booster, rows):
    dice = np.random.default_rng(rows)
    matrix = dice.normal(size=(rows, 7)).astype(np.float32)
    matrix[dice.random(matrix.shape) < 0.3] = np.nan
    dense = Dense(booster)
    wanted = booster.inplace_predict(matrix, validate_features=False)
    assert dense(matrix).tobytes() == wanted.tobytes()
    assert dense(np.asfortranarray(matrix)).tobytes() == wanted.tobytes()


def test_matrices_of_any_height_are_scored_one_after_the_other_and_by_threads_beside_each_other(booster):
    dense, dice = Dense(booster), np.random.default_rng(11)
    matrices = [dice.normal(size=(rows, 7)).astype(np.float32) for rows in (1, 300, 2, 1, 9, 1) * 20]
    wanted = [booster.inplace_predict(matrix, validate_features=False).tobytes() for matrix in matrices]
    assert [dense(matrix).tobytes() for matrix in matrices] == wanted
    with ThreadPoolExecutor(4) as threads:
        assert [scores.tobytes() for scores in threads.map(dense, matrices)] == wanted


def test_a_row_that_stays_where_it_is_is_scored_as_a_matrix_of_it_is(booster):
    dense, dice, row = Dense(booster), np.random.default_rng(5), RowBuffer(7)
    for matrix in dice.normal(size=(50, 1, 7)).astype(np.float32):
        matrix[dice.random(matrix.shape) < 0.3] = np.nan
        assert row.fill(matrix[0].tolist())
        (wanted,) = booster.inplace_predict(matrix, validate_features=False)
        assert dense.row(row) == wanted
    assert not row.fill([1e300] * 7) and not row.fill([2**53] * 7) and not row.fill([float("inf")] * 7)


def test_a_booster_with_several_outputs_keeps_its_shape():
    data = np.arange(60, dtype=np.float32).reshape(20, 3)
    labels = np.arange(20) % 3
    several = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "nthread": 1}, xgboost.DMatrix(data, labels), 3
    )
    assert np.array_equal(Dense(several)(data), several.inplace_predict(data))
    assert Dense(several).row(RowBuffer(3)) is None


def test_a_booster_by_the_library_alone_gives_the_scores_and_attributes_of_the_package(booster):
    carrying = booster.copy()
    carrying.set_attr(encoding='{"ä": 1}')
    lean = LeanBooster(bytes(carrying.save_raw("ubj")), 1)
    assert (lean.attr("encoding"), lean.attr("nothing")) == ('{"ä": 1}', None)
    matrix = np.random.default_rng(5).normal(size=(50, 7)).astype(np.float32)
    assert Dense(lean)(matrix).tobytes() == booster.inplace_predict(matrix).tobytes()


def test_bytes_that_are_no_model_are_refused_in_the_words_of_the_library():
    with pytest.raises(LibraryError, match="Expecting"):
        LeanBooster(b"{not a model", 1)
