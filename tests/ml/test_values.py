"""A value is the same whatever type holds it: to the encoding, to drift, to slices and to clusters; unseen stays unseen."""

import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError, Encoding
from mlops_assets.ml.judging.gate import clusters
from mlops_assets.ml.judging.metrics import by_slice
from mlops_assets.ml.monitoring.drift import column_drift, reference_profile
from mlops_assets.ml.skew.brute_force import ViewTable, as_of
from mlops_assets.ml.skew.known_rows import known_rows
from mlops_assets.ml.values import Known, canonical, groups, numbers, spelled

WHOLE = [pl.Int64(), pl.Int8(), pl.Float64(), pl.Float32(), pl.Decimal(20, 0), pl.Decimal(20, 3)]
QUARTERS = [pl.Float64(), pl.Float32(), pl.Decimal(20, 2), pl.Decimal(30, 6)]
FLAGS = [pl.Boolean(), pl.Int64(), pl.Float32(), pl.Decimal(10, 2)]
NAMES = [pl.String(), pl.Categorical()]
TEXT = st.text("ab01.-eé ", max_size=4)


def column(values, dtype):
    return pl.Series("c", values, strict=False).cast(dtype) if values else pl.Series("c", [], dtype=dtype)


def texts_of(values):
    """Numbers as text, in ways in which files write them."""
    forms = (str, lambda v: str(float(v)), lambda v: f"{v:.2f}", lambda v: f"{v:.2e}")
    return [None if v is None else forms[i % 4](v) for i, v in enumerate(values)]


@st.composite
def same_twice(draw):
    """One column of values in two types that can both hold them exactly: (first, second)."""
    missing = st.none()
    kind = draw(st.sampled_from(["whole", "quarters", "flags", "names", "number as text", "flag as text"]))
    if kind == "names":
        values = draw(st.lists(missing | TEXT, min_size=1, max_size=30))
        enum = pl.Enum(sorted({v for v in values if v is not None}, reverse=True))
        first, second = draw(st.permutations([*NAMES, enum]))[:2]
        return column(values, first), column(values, second)
    if kind == "flag as text":
        values = draw(st.lists(missing | st.booleans(), min_size=1, max_size=30))
        return column(values, pl.Boolean), column([v if v is None else str(v) for v in values], pl.String)
    if kind == "flags":
        values = draw(st.lists(missing | st.booleans(), min_size=1, max_size=30))
        first, second = draw(st.permutations(FLAGS))[:2]
        bits = [None if v is None else int(v) for v in values]
        return column(bits, first), column(bits, second)
    if kind == "quarters":
        values = draw(
            st.lists(missing | st.integers(-400, 400).map(lambda n: n / 4), min_size=1, max_size=30)
        )
        first, second = draw(st.permutations(QUARTERS))[:2]
        return column(values, first), column(values, second)
    values = draw(st.lists(missing | st.integers(-99, 99), min_size=1, max_size=30))
    first, second = draw(st.permutations(WHOLE))[:2]
    if kind == "number as text":
        return column(values, first), column(texts_of(values), pl.String)
    return column(values, first), column(values, second)


@settings(max_examples=80)
@given(same_twice())
def test_a_model_gives_a_value_the_same_code_whatever_type_the_request_has(pair):
    trained, asked = pair
    encoding = Encoding.fit(trained.to_frame(), [], ["c"])
    encoding = Encoding.from_json(encoding.to_json())
    expected = encoding.matrix(trained.to_frame())
    assert np.isnan(expected).sum() == trained.null_count()
    many = pl.concat([asked.to_frame()] * 9)
    np.testing.assert_array_equal(encoding.matrix(many)[: len(asked)], expected)
    one_by_one = [encoding.matrix(asked[i : i + 1].to_frame()) for i in range(len(asked))]
    np.testing.assert_array_equal(np.vstack(one_by_one), expected)


@settings(max_examples=60)
@given(same_twice(), st.booleans())
def test_the_same_values_in_another_type_have_not_drifted(pair, named):
    before, now = (pl.concat([side.to_frame()] * 60) for side in pair)
    profile = json.loads(json.dumps(reference_profile(before, ["c"], ["c"] if named else [])))
    found = column_drift(profile, now).row(0, named=True)
    assert (found["psi_raw"], found["nulls_current"]) == (0.0, found["nulls_reference"])


@settings(max_examples=60)
@given(same_twice())
def test_slices_and_clusters_are_the_same_rows_in_another_type(pair):
    first, second = pair
    if first.dtype == pl.Boolean or second.dtype == pl.Boolean or {first.dtype, second.dtype} & {pl.String}:
        assume(first.dtype in NAMES and second.dtype in (*NAMES, pl.Enum))
    assert groups(first)[0] == groups(second)[0]
    assert groups(first)[1].to_list() == groups(second)[1].to_list()
    cut = [by_slice(scored(side), ["c"], "classification") for side in (first, second)]
    assert cut[0] == cut[1]
    assert sum(part["rows"] for part in cut[0]) == 60 * len(first)


def scored(side):
    frame = pl.concat([side.to_frame()] * 60)
    row = np.arange(frame.height)
    return frame.with_columns(_label=pl.Series(row % 2 * 1.0), _score=pl.Series((row % 7) / 7))


@given(st.lists(TEXT, min_size=1, max_size=20), TEXT)
def test_a_text_that_was_not_seen_is_no_other_text(known, asked):
    assume(asked not in known)
    encoding = Encoding.fit(pl.DataFrame({"c": known}), [], ["c"])
    assert np.isnan(encoding.matrix(pl.DataFrame({"c": [asked]}))).all()


@given(st.sets(st.integers(-50, 50), min_size=1), st.integers(-50, 50), st.sampled_from(WHOLE))
def test_a_number_that_was_not_seen_is_no_other_number(known, asked, dtype):
    assume(asked not in known)
    encoding = Encoding.fit(column(sorted(known), pl.Float64).to_frame(), [], ["c"])
    for side in (column([asked], dtype), column([str(asked)], pl.String)):
        assert np.isnan(encoding.matrix(side.to_frame())).all()


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1.0, 2.5, -0.0, math.nan, None, math.inf], ["1", "2.5", "0", None, None, "inf"]),
        ([1e16, 1e-7, 2.0**70], ["10000000000000000", "0.0000001", str(2**70)]),
        ([Decimal("1.00"), Decimal("-0.50"), Decimal("0.00")], ["1", "-0.5", "0"]),
        ([True, None, False], ["true", None, "false"]),
        (["01", "1.0", "", "true"], ["01", "1.0", "", "true"]),
        ([2**60 + 1, -3], [str(2**60 + 1), "-3"]),
    ],
)
def test_each_value_has_one_text(values, texts):
    assert canonical(pl.Series(values)).to_list() == texts


def test_a_fraction_is_told_alike_in_single_and_double_precision():
    double = pl.Series([0.1, 2.7, 1 / 3, 1e-5])
    assert (
        canonical(double)[:2].to_list() == canonical(double.cast(pl.Float32))[:2].to_list() == ["0.1", "2.7"]
    )
    single = double.cast(pl.Float32)
    assert canonical(single).to_list() == canonical(single.cast(pl.Float64)).to_list()


def test_a_moment_is_told_alike_in_every_unit():
    moment = pl.Series([datetime(2024, 1, 2, 10, tzinfo=UTC)])
    told = {canonical(moment.cast(pl.Datetime(unit, "UTC")))[0] for unit in ("ms", "us", "ns")}
    told.add(canonical(moment.dt.convert_time_zone("America/New_York"))[0])
    assert told == {"2024-01-02 10:00:00.000000+00:00"}


def test_text_spells_a_number_only_as_a_number_is_written():
    assert [spelled(t) for t in ("1.00", "-0.0", "1e2", "1.50", "True", "inf")] == [
        "1",
        "0",
        "100",
        "1.5",
        "1",
        "inf",
    ]
    assert [spelled(t) for t in ("01", "1.", ".5", "+1", " 1", "", "1e9999", "0x1", "\u0661")] == [None] * 9
    assert numbers(pl.Series(["1.5", "01", "nan", None])).to_list() == [1.5, None, None, None]


def test_versions_and_leading_zeros_stay_apart_in_a_column_of_text():
    known = Known.of(pl.Series(["1.1", "1.10", "01", "2.0"]))
    asked = pl.Series(["1.1", "1.10", "1.100", "1", "01", "2.0", "2"])
    read = known.read(asked).to_list()
    assert [text if text in known.values else None for text in read] == [
        "1.1",
        "1.10",
        None,
        None,
        "01",
        "2.0",
        None,
    ]


def test_a_number_finds_the_text_that_spells_it_unless_two_do():
    known = Known.of(pl.Series(["1.0", "2.0", "2.00", "3"]))
    read = known.read(pl.Series([1, 2, 3, 4]))
    assert [text if text in known.values else None for text in read] == ["1.0", None, "3", None]
    assert [known.read_one(value) for value in (1, 1.0, Decimal("1.00"), "1.0", None)] == [*["1.0"] * 4, None]


@pytest.mark.parametrize(
    ("values", "asked"), [(["1.0", "2.0"], 1), (["1", "2"], 1.0), (["false", "true"], True)]
)
def test_a_model_from_before_kinds_were_kept_still_knows_its_categories(values, asked):
    old = json.dumps({"features": ["c"], "categories": {"c": values}})
    encoding = Encoding.from_json(old)
    assert encoding.to_json() == json.dumps(json.loads(old), sort_keys=True)
    found = encoding.matrix(pl.DataFrame({"c": [asked, None]}))
    np.testing.assert_array_equal(found[:, 0], [values.index("true") if asked is True else 0, np.nan])
    assert not np.isnan(encoding.matrix(pl.DataFrame({"c": values}))).any()


def test_a_model_whose_categories_are_text_is_written_as_ever():
    encoding = Encoding.fit(pl.DataFrame({"c": ["b", "a"], "x": [1.0, 2.0]}), ["x"], ["c"])
    assert encoding.to_json() == '{"categories": {"c": ["a", "b"]}, "features": ["x", "c"]}'


def test_rows_without_a_slice_value_are_not_those_that_say_so():
    frame = pl.DataFrame(
        {"c": ["(none)"] * 60 + [None] * 70, "_label": [1.0, 0.0] * 65, "_score": [0.5] * 130}
    )
    found = [(part["value"], part["rows"]) for part in by_slice(frame, ["c"], "classification")]
    assert found == [("(none)", 60), ("(null)", 70)]


def test_a_decimal_of_many_values_is_cut_at_quintiles_as_the_same_float_is():
    values = pl.Series("c", [i / 4 for i in range(400)])
    cut = [scored(side) for side in (values, values.cast(pl.Decimal(10, 2)), values.replace(0.0, math.nan))]
    first, second, with_nan = (by_slice(frame, ["c"], "classification") for frame in cut)
    assert [part["value"] for part in first] == [part["value"] for part in second]
    assert [part["value"] for part in with_nan][-1] == "(none)" and len(first) == 5


def test_a_cluster_that_is_not_a_number_is_refused_as_a_missing_one(make_spec):
    spec = make_spec(gate={"metric": "auc", "floors": {"auc": 0.6}, "cluster": "c"})
    with pytest.raises(DatasetError, match="null in 1 of 2"):
        clusters(pl.DataFrame({"c": [1.0, math.nan]}), spec)
    names, codes = clusters(pl.DataFrame({"c": pl.Series(["b", "a", "b"], dtype=pl.Enum(["b", "a"]))}), spec)
    assert (names, codes.tolist()) == (["a", "b"], [1, 0, 1])


@settings(max_examples=60)
@given(same_twice())
def test_the_probe_for_leaks_and_the_replay_know_a_key_in_another_type(pair):
    asked, source = pair
    assume(asked.dtype not in (pl.String, pl.Boolean) and source.dtype not in (pl.String, pl.Boolean))
    keys = source.drop_nulls().unique(maintain_order=True)
    at = datetime(2024, 1, 1, tzinfo=UTC)
    rows = keys.to_frame().with_columns(event_timestamp=pl.lit(at), value=pl.int_range(pl.len()))
    questions = asked.to_frame().with_columns(at=pl.lit(at), __asked_at=pl.lit(at), __served_at=pl.lit(at))
    found = as_of(questions, "at", ViewTable("v", rows, ["c"], ["value"], None))
    assert found["_known"].is_not_null().to_list() == asked.is_not_null().to_list()
    order = dict(zip(groups(keys)[1].to_list(), rows["value"], strict=True))
    same = [None if place is None else order[place] for place in groups(asked)[1].to_list()]
    assert found["value"].to_list() == same
    written = rows.with_columns(created=pl.lit(None, pl.Datetime("us", "UTC")), _written=pl.lit(at))
    then = known_rows(questions, written, ["c"])
    assert then["event_now"].is_not_null().to_list() == asked.is_not_null().to_list()


@settings(max_examples=80)
@given(same_twice(), same_twice())
def test_a_category_is_unseen_where_it_is_there_and_has_no_code(known, asked):
    encoding = Encoding.fit(known[0].to_frame(), [], ["c"])
    for frame in (side.to_frame() for side in asked):
        for whole in (frame.head(3), pl.concat([frame] * 9)):
            missing = canonical(whole["c"]).is_null() | (
                whole["c"].cast(pl.String).str.to_lowercase() == "nan"
            )
            without_code = np.isnan(encoding.matrix(whole)[:, 0])
            unseen = encoding.unseen(whole)
            assert set(unseen) <= set(np.flatnonzero(without_code))
            assert set(np.flatnonzero(without_code & ~missing.fill_null(True).to_numpy())) <= set(unseen)
            assert not {row for row in unseen if whole["c"][row] is None}
