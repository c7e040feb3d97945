"""A request names a key by its value: 1, 1.0, "1" and Decimal("1.00") are one key, and nothing is cut off to be one."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pydantic
import pytest
from feast.value_type import ValueType
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.online_store.codec import key_columns, keys
from feature_repo.online_store.request import typed
from resources.serving.http.forms import request_model

WHOLE = st.integers(-(2**31), 2**31 - 1)
FORMS = (
    int,
    float,
    Decimal,
    str,
    np.int64,
    np.float64,
    lambda n: str(float(n)),
    lambda n: Decimal(f"{n}.00"),
)


@given(WHOLE, st.sampled_from(FORMS), st.sampled_from([ValueType.INT64, ValueType.INT32]))
def test_a_whole_number_is_the_same_key_in_every_form(number, form, kind):
    given = typed("k", [form(number), None], kind)
    assert given.keyed == given.shown == [number, None]
    assert all(type(value) in (int, type(None)) for value in given.keyed)


@given(WHOLE, st.sampled_from([int, float, Decimal, np.int64, np.float64, lambda n: Decimal(f"{n}.00")]))
def test_a_key_of_text_is_found_by_the_number_that_is_written_so(number, form):
    assert typed("k", [form(number), str(number), None], ValueType.STRING).keyed == [str(number)] * 2 + [None]


@given(st.text())
def test_a_key_of_text_is_itself(text):
    assert typed("k", [text, None], ValueType.STRING).keyed == [text, None]
    assert typed("k", [np.str_(text), 1], ValueType.STRING).keyed == [text, "1"]


@pytest.mark.parametrize(
    "value", [1.5, "1.5", "01", "x", "", " 1", True, b"1", Decimal("1.5"), float("inf"), [1]]
)
def test_what_is_no_whole_number_is_refused_and_not_cut_off(value):
    with pytest.raises(ValueError, match=r"join key 'k' is INT64 and .* is not a whole number"):
        typed("k", [1, value], ValueType.INT64)


@pytest.mark.parametrize("value", [True, b"1", float("inf"), [1]])
def test_what_is_neither_text_nor_a_number_names_no_key_of_text(value):
    with pytest.raises(ValueError, match=r"join key 'k' is STRING and .* is not text"):
        typed("k", ["a", value], ValueType.STRING)


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan])
def test_a_missing_value_names_no_key(missing):
    assert typed("k", [missing, 2.0], ValueType.INT64).keyed == [None, 2]


@given(st.lists(WHOLE, min_size=1, max_size=10), st.sampled_from([ValueType.INT64, ValueType.STRING]))
def test_a_column_of_floats_is_written_under_the_keys_by_which_it_is_asked_for(numbers, kind):
    column = pa.array([float(n) for n in numbers])
    asked = typed("k", [*numbers, None], kind).keyed[:-1]
    assert key_columns.of_columns({"k": (column, kind)}).to_pylist() == keys.of_values(
        keys.prefix(["k"]), [(kind, asked)]
    )


def test_a_column_with_a_fraction_is_no_whole_number_and_is_refused():
    with pytest.raises(ValueError, match=r"join key 'k' is declared INT64 and its column has 1\.5"):
        key_columns.of_columns({"k": (pa.array([1.0, 1.5]), ValueType.INT64)})


@given(WHOLE, st.sampled_from([int, str, float, lambda n: str(float(n))]))
def test_a_request_to_a_model_names_whole_numbers_and_texts_by_the_same_rule(number, form):
    model = request_model("stop_request", {"pump": int, "tag": str, "load": float})
    assert model(pump=form(number), tag=number, load=1).model_dump() == {
        "pump": number,
        "tag": str(number),
        "load": 1.0,
    }


@pytest.mark.parametrize("pump", [True, "01", 1.5, None, float("nan"), " 1"])
def test_a_request_to_a_model_is_refused_for_what_is_no_whole_number(pump):
    model = request_model("stop_request", {"pump": int})
    with pytest.raises(pydantic.ValidationError, match="pump"):
        model(pump=pump)
    assert model.model_json_schema()["properties"]["pump"]["type"] == "integer"
