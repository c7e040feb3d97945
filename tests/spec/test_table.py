"""What a table's YAML may say, and the sentence for each thing that it may not."""

from datetime import timedelta
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.spec.base import LONGEST, UNIT_WORDS, UNITS, Duration, Part, duration_text, read_duration
from mlops_assets.spec.table import TableSpec

LOANS: dict[str, Any] = {
    "name": "applications",
    "description": "One row an application.",
    "source": {"kind": "parquet", "path": "../data/loans_*.parquet"},
    "columns": {
        "loan_id": "int",
        "amount": "float",
        "zipcode": "str | null",
        "applied_at": "datetime",
        "read_at": "datetime",
        "day": "date",
        "defaulted": "bool | null",
    },
    "key": ["loan_id"],
    "time": "applied_at",
    "lateness": "6h",
    "expect": {"amount": {"range": [0, 50_000]}, "zipcode": {"nulls": 0.01}},
    "features": {"key": ["zipcode"], "ttl": "30d"},
}


def spec(**changes: Any) -> TableSpec:
    """The loans' table with parts changed; None leaves one out."""
    return TableSpec.model_validate({k: v for k, v in {**LOANS, **changes}.items() if v is not None})


def complaint(**changes: Any) -> str:
    with pytest.raises(pydantic.ValidationError) as caught:
        spec(**changes)
    assert len(caught.value.errors()) == 1
    return str(caught.value)


def with_column(name: str, kind: Any) -> dict[str, Any]:
    return LOANS["columns"] | {name: kind}


def test_a_spec_says_what_the_yaml_says():
    loans = spec()
    assert loans.columns["zipcode"].kind == "str" and loans.columns["zipcode"].nullable
    assert not loans.columns["amount"].nullable
    assert (loans.lateness, loans.empty, loans.static, loans.known) == (
        timedelta(hours=6),
        "wait",
        False,
        "applied_at",
    )
    assert loans.features and loans.features.ttl == timedelta(days=30)
    assert loans.view == "applications" and loans.features.columns == ["amount", "defaulted"]
    assert spec(features={"key": ["zipcode"], "view": "areas"}).view == "areas"
    assert spec(features=None).view is None


def test_a_spec_written_and_read_again_is_the_same():
    loans = spec()
    assert TableSpec.model_validate(loans.model_dump(mode="json")) == loans


def test_a_column_may_say_more_than_its_type():
    loans = spec(columns=with_column("amount", {"type": "float", "unit": "USD", "description": "How much."}))
    assert (loans.columns["amount"].unit, loans.columns["amount"].kind) == ("USD", "float")


def test_only_what_the_spec_names_is_imported():
    assert spec(source={"kind": "python", "function": "loans.code:rows"}).code == {"loans.code:rows"}
    assert spec().code == frozenset()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "Loans"}, "String should match pattern"),
    ({"name": "features"}, "'features' is where the feature tables of the use case lie"),
    ({"colums": {}}, "Extra inputs are not permitted"),
    (
        {"source": {"kind": "excel", "path": "a"}},
        "kind 'excel' is no source: choose from parquet, csv, sql, http, asset, python",
    ),
    ({"source": {"path": "a"}}, "source names no kind: choose from parquet, csv, sql, http, asset, python"),
    ({"source": {"kind": "csv", "path": []}}, "path names no file: give one"),
    ({"source": {"kind": "csv", "path": "a", "seperator": ";"}}, "Extra inputs are not permitted"),
    ({"source": {"kind": "csv", "path": "a", "separator": ";;"}}, "at most 1 character"),
    ({"source": {"kind": "python", "function": "loans"}}, "String should match pattern"),
    ({"columns": with_column("tags", "list[str]")}, "type 'list[str]' holds several values"),
    ({"columns": with_column("tags", "integer")}, "'integer' is no type of a column: use one of int, float"),
    ({"columns": with_column("tags", "int | none")}, "'int | none' is no type of a column"),
    ({"columns": with_column("tags", 3)}, "3 is no type of a column"),
    ({"columns": with_column("_label", "int")}, "column '_label' begins with '_'"),
    ({"columns": with_column("*", "int")}, "column '*' is a pattern that stands for several columns"),
    ({"key": ["loan"]}, "key names 'loan', which is no column: there are loan_id, amount"),
    ({"key": ["loan_id", "loan_id"]}, "key names 'loan_id' twice: leave one out"),
    ({"key": ["zipcode"]}, "key 'zipcode' is 'str | null', and may not be missing: declare it str"),
    ({"key": ["amount"]}, "key 'amount' is float, and must be"),
    ({"time": "day"}, "time 'day' is date, and must be datetime: a day is not a moment"),
    ({"time": "when"}, "time names 'when', which is no column"),
    ({"known_at": "amount"}, "known_at 'amount' is float, and must be datetime"),
    ({"timezone": "America/NewYork"}, "'America/NewYork' does not exist"),
    ({"cadence": "fortnightly"}, "cadence"),
    ({"time": None, "cadence": "weekly"}, "cadence is about partitions, and a table without time is static"),
    ({"time": None, "every": "3h"}, "every is about partitions"),
    (
        {"lateness": "6 months"},
        "'6 months' is not a duration: write a number with its unit (s, min, h, d, w)",
    ),
    ({"lateness": 6}, "6 is not a duration"),
    ({"lateness": "-6h"}, "'-6h' is not a duration"),
    ({"empty": "sometimes"}, "'wait' or 'allowed'"),
    ({"expect": {"amont": {}}}, "expect names 'amont', which is no column"),
    ({"expect": {"amount": {"range": [2, 1]}}}, "range [2.0, 1.0] is empty: give the smaller value first"),
    ({"expect": {"zipcode": {"range": [0, 1]}}}, "expect.zipcode.range is for numbers"),
    ({"expect": {"amount": {"nulls": 0.1}}}, "of which no value may be missing"),
    ({"expect": {"zipcode": {"nulls": 1.5}}}, "less than or equal to 1"),
    ({"features": {"key": ["zip"]}}, "features.key names 'zip', which is no column"),
    ({"features": {"key": ["amount"]}}, "features.key 'amount' is float, and must be int or str"),
    ({"features": {"key": ["zipcode"], "columns": ["day"]}}, "features.columns 'day' is date"),
    (
        {"features": {"key": ["zipcode"], "columns": ["zipcode"]}},
        "is in features.key and in features.columns",
    ),
    ({"features": {"key": ["zipcode"], "ttl": "0s"}}, "a value that lives for 0s is never used"),
    (
        {"features": {"key": ["zipcode"]}, "known_at": "read_at", "lateness": "0s"},
        "lateness is 0s: give in lateness how long after that end a row may become known",
    ),
    (
        {"columns": with_column("created", "int"), "features": {"key": ["zipcode"]}},
        "'created' is the platform's own column in feature tables",
    ),
    (
        {"columns": with_column("the amount", "int"), "features": {"key": ["zipcode"]}},
        "'the amount' is no name of a feature",
    ),
    (
        {
            "columns": {"id": "int", "at": "datetime"},
            "key": ["id"],
            "time": "at",
            "expect": {},
            "features": {"key": ["id"]},
        },
        "features has no columns beside key and time",
    ),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=[said[:40] for _, said in REFUSED])
def test_what_a_table_cannot_be_is_told(changes, said):
    assert said in complaint(**changes)


def test_a_schema_describes_every_field_and_takes_a_type_for_a_column():
    schema = TableSpec.model_json_schema()
    plain = [name for name, one in schema["properties"].items() if not one.get("description")]
    assert plain == []
    column = schema["properties"]["columns"]["additionalProperties"]
    assert {one.get("type") or one.get("$ref") for one in column["anyOf"]} == {"string", "#/$defs/Column"}


class Holder(Part):
    span: Duration


@given(
    number=st.integers(0, 1000), word=st.sampled_from(sorted(UNIT_WORDS)), space=st.sampled_from(["", " "])
)
def test_a_duration_is_its_number_of_units(number, word, space):
    assert read_duration(f"{number}{space}{word}") == number * UNITS[UNIT_WORDS[word]]


@given(
    st.timedeltas(timedelta(), timedelta(days=LONGEST)).map(
        lambda d: d - timedelta(microseconds=d.microseconds)
    )
)
def test_a_duration_written_is_read_as_itself(span):
    assert read_duration(duration_text(span)) == span
    assert Holder.model_validate(Holder(span=span).model_dump(mode="json")).span == span


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("30", "'30' is not a duration"),
        ("1m", "'1m' is not a duration"),
        ("1h30", "'1h30' is not a duration"),
        ("", "'' is not a duration"),
        (None, "None is not a duration"),
        ("40000d", "is longer than a hundred years"),
        (timedelta(days=-1), "is out of range"),
    ],
)
def test_what_is_no_duration_is_told(text, said):
    with pytest.raises(ValueError, match=r"duration|longer|out of range") as caught:
        read_duration(text)
    assert said in str(caught.value)


def test_half_an_hour_is_thirty_minutes():
    assert read_duration("0.5h") == read_duration("30 min") == timedelta(minutes=30)
    assert [duration_text(timedelta(minutes=m)) for m in (30, 60, 60 * 36, 60 * 24, 60 * 24 * 7)] == [
        *("30min", "1h", "36h", "1d", "1w")
    ]
