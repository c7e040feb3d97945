"""Sources give the rows of a span as they are, or say in words why they cannot."""

import gzip
import io
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.sources import awaited, read_rows, states
from resources.storage.addresses import storage_at
from resources.storage.object_store import ObjectStorage
from tests.declared import END, START, a_loan, loans, loans_frame, write_loans
from tests.s3 import BUCKET, served

WEEK = SimpleNamespace(start=START, end=END)
WHOLE = SimpleNamespace(start=None, end=None)
PARQUET = {"kind": "parquet", "path": "loans.parquet"}


def ids(spec: TableSpec, folder: Path, span: Any = WEEK) -> list[int]:
    return read_rows(spec, folder, span).frame["loan_id"].to_list()


def refusal(spec: TableSpec, folder: Path, span: Any = WEEK) -> str:
    with pytest.raises(SourceError) as caught:
        read_rows(spec, folder, span)
    return str(caught.value)


def parquet_of(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


# What comes out is what went in


MOMENTS = st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
VALUES: dict[str, Any] = {
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "str": st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1),
    "bool": st.booleans(),
    "date": st.dates(date(1700, 1, 1), date(2250, 1, 1)),
    "datetime": MOMENTS,
}
POLARS = {
    "int": pl.Int64,
    "float": pl.Float64,
    "str": pl.String,
    "bool": pl.Boolean,
    "date": pl.Date,
    "datetime": pl.Datetime("us", "UTC"),
}


def one_column(kind: str, source: dict[str, Any], null: bool = True) -> TableSpec:
    return TableSpec.model_validate(
        {
            "name": "values",
            "source": source,
            "columns": {"row": "int", "value": f"{kind} | null" if null else kind},
            "key": ["row"],
        }
    )


def as_csv(value: object) -> str:
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, date) else str(value)
    return '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize("kind", VALUES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_values_of_a_csv_are_those_that_were_written(tmp_path, kind, data):
    values = data.draw(st.lists(st.none() | VALUES[kind], min_size=1, max_size=8))
    lines = [f"{row},{as_csv(value)}" for row, value in enumerate(values)]
    (tmp_path / "values.csv").write_text("row,value\n" + "\n".join(lines) + "\n", newline="")
    found = read_rows(one_column(kind, {"kind": "csv", "path": "values.csv"}), tmp_path, WHOLE).frame
    assert found["value"].to_list() == values
    assert found.schema["value"] == POLARS[kind]


@pytest.mark.parametrize("kind", VALUES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_values_of_parquet_are_those_that_were_written(tmp_path, kind, data):
    values = data.draw(st.lists(st.none() | VALUES[kind], min_size=1, max_size=8))
    frame = pl.DataFrame({"row": range(len(values)), "value": pl.Series(values, dtype=POLARS[kind])})
    frame.write_parquet(tmp_path / "values.parquet")
    found = read_rows(one_column(kind, {"kind": "parquet", "path": "values.parquet"}), tmp_path, WHOLE).frame
    assert found["value"].to_list() == values
    assert found.schema["value"] == POLARS[kind]


WIDER: list[tuple[str, pl.Series, list[Any]]] = [
    ("int", pl.Series([1.0, None, float("nan")]), [1, None, None]),
    ("int", pl.Series([1, 2], dtype=pl.UInt8), [1, 2]),
    ("int", pl.Series(["1.00", "2.00"]).cast(pl.Decimal(10, 2)), [1, 2]),
    ("float", pl.Series([1, None], dtype=pl.Int32), [1.0, None]),
    ("float", pl.Series(["1.25"]).cast(pl.Decimal(10, 2)), [1.25]),
    ("float", pl.Series([0.5, float("nan")], dtype=pl.Float32), [0.5, None]),
    ("str", pl.Series(["a", "b"], dtype=pl.Categorical), ["a", "b"]),
    ("str", pl.Series(["a", None], dtype=pl.Enum(["a", "b"])), ["a", None]),
    ("bool", pl.Series([0, 1, None], dtype=pl.Int8), [False, True, None]),
    ("bool", pl.Series(["True", "false", "0"]), [True, False, False]),
    ("date", pl.Series([datetime(2024, 1, 5)]), [date(2024, 1, 5)]),
    ("datetime", pl.Series(["2024-01-05T10:00:00+02:00"]), [datetime(2024, 1, 5, 8, tzinfo=UTC)]),
    (
        "datetime",
        pl.Series([datetime(2024, 1, 5)], dtype=pl.Datetime("ns")),
        [datetime(2024, 1, 5, tzinfo=UTC)],
    ),
    ("datetime", pl.Series([None]), [None]),
]


@pytest.mark.parametrize(("kind", "given", "wanted"), WIDER)
def test_a_value_that_is_the_same_in_the_declared_type_fits(tmp_path, kind, given, wanted):
    frame = pl.DataFrame({"row": range(len(given)), "value": given})
    frame.write_parquet(tmp_path / "values.parquet")
    found = read_rows(one_column(kind, {"kind": "parquet", "path": "values.parquet"}), tmp_path, WHOLE).frame
    assert found["value"].to_list() == wanted


UNFIT: list[tuple[str, str, str]] = [
    ("int", "1.5", "'1.5' is not a whole number of 64 bits"),
    ("int", "9223372036854775808", "'9223372036854775808' is not a whole number"),
    ("int", " 1", "' 1' is not a whole number"),
    ("float", "1e999", "'1e999' is not a finite number"),
    ("float", "nan", "'nan' is not a finite number"),
    ("float", "10.5 USD", "'10.5 USD' is not a finite number"),
    ("bool", "maybe", "'maybe' is not true or false"),
    ("bool", "2", "'2' is not true or false"),
    ("date", "2024-02-30", "'2024-02-30' is not a day"),
    ("date", "01/02/2024", "'01/02/2024' is not a day"),
    ("datetime", "2024-02-30T10:00:00Z", "is not a moment"),
    ("datetime", "2024-02-01", "'2024-02-01' is not a moment"),
    ("datetime", "2024-02-01T10:00:00.1234567Z", "is not a moment"),
    ("datetime", "2024-02-01T10:00:60Z", "is not a moment"),
    ("datetime", "1706781600", "'1706781600' is not a moment"),
]


@pytest.mark.parametrize(("kind", "text", "said"), UNFIT)
def test_the_first_value_that_does_not_fit_is_told_with_file_row_and_column(tmp_path, kind, text, said):
    (tmp_path / "values.csv").write_text(f"row,value\n1,\n2,{text}\n3,{text}\n")
    told = refusal(one_column(kind, {"kind": "csv", "path": "values.csv"}), tmp_path, WHOLE)
    assert said in told
    assert told.startswith(f"file {tmp_path}/values.csv, row 2, column 'value': ")


WRONG_TYPES: list[tuple[str, pl.Series, str]] = [
    ("int", pl.Series([1.5]), "1.5 is not a whole number"),
    ("float", pl.Series([2**53 + 1]), "9007199254740993 is not a finite number that 64 bits hold"),
    ("float", pl.Series([float("inf")]), "inf is not a finite number"),
    ("bool", pl.Series([2]), "2 is not true or false"),
    ("date", pl.Series([datetime(2024, 1, 1, 10)]), "2024-01-01 10:00:00 is not a day"),
    ("datetime", pl.Series([1], dtype=pl.Int64).cast(pl.Datetime("ns")), "is not a moment"),
    ("datetime", pl.Series([2**62], dtype=pl.Int64).cast(pl.Datetime("us")), "is not a moment"),
    ("int", pl.Series([True]), "column 'value' is Boolean, which is not a whole number"),
    ("str", pl.Series([1]), "column 'value' is Int64, which is not a text: declare it a number"),
    ("datetime", pl.Series([date(2024, 1, 1)]), "column 'value' is Date, which is not a moment"),
    ("float", pl.Series([[1.0]]), "column 'value' is List(Float64), which is not a finite number"),
]


@pytest.mark.parametrize(("kind", "given", "said"), WRONG_TYPES)
def test_a_column_of_another_type_is_told_with_what_the_source_has(tmp_path, kind, given, said):
    pl.DataFrame({"row": range(len(given)), "value": given}).write_parquet(tmp_path / "values.parquet")
    told = refusal(one_column(kind, {"kind": "parquet", "path": "values.parquet"}), tmp_path, WHOLE)
    assert said in told
    assert "row 1, column 'value'" in told or "the source has row (Int64), value (" in told


@pytest.mark.parametrize("text", ["", "NA"])
def test_a_missing_value_is_told_where_none_may_be(tmp_path, text):
    (tmp_path / "values.csv").write_text(f"row,value,more\n1,2,x\n2,{text},x\n")
    source = {"kind": "csv", "path": "values.csv", "missing": ["NA"]}
    told = refusal(one_column("int", source, null=False), tmp_path, WHOLE)
    assert "row 2, column 'value': a value is missing, and the column is declared int" in told
    assert "declare 'int | null'" in told
    assert read_rows(one_column("int", source), tmp_path, WHOLE).frame["value"].to_list() == [2, None]


def test_columns_that_are_not_declared_are_left_out_and_named(tmp_path):
    write_loans(
        tmp_path / "loans.csv",
        "1,2,x,2024-01-02T10:00:00Z,a,b",
        header="loan_id,amount,zipcode,applied_at,n,m",
    )
    rows = read_rows(loans(), tmp_path, WEEK)
    assert rows.frame.columns == ["loan_id", "amount", "zipcode", "applied_at"]
    assert rows.notes == {"read from": "loans.csv", "source columns left out": "m, n"}


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path):
    write_loans(tmp_path / "loans.csv", "1,2,x", header="loan_id,amount,zip")
    told = refusal(loans(), tmp_path)
    assert "has no column 'zipcode'; it has loan_id (String), amount (String), zip (String)" in told


# The rows of a span


def test_rows_are_those_from_the_start_up_to_but_not_at_the_end(tmp_path):
    moments = [START - timedelta(microseconds=1), START, END - timedelta(microseconds=1), END]
    write_loans(tmp_path / "loans.csv", *(a_loan(n, at.isoformat()) for n, at in enumerate(moments)))
    assert ids(loans(), tmp_path) == [1, 2]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hours=st.lists(st.integers(-400, 400), min_size=1, max_size=20),
    zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu", None]),
    unit=st.sampled_from(["ms", "us", "ns"]),
    text=st.booleans(),
)
def test_whatever_way_times_are_written_the_same_rows_are_of_a_span(tmp_path, hours, zone, unit, text):
    moments = [START + timedelta(hours=h) for h in hours]
    at = pl.Series(moments, dtype=pl.Datetime("us", "UTC"))
    at = (at.dt.convert_time_zone(zone) if zone else at.dt.replace_time_zone(None)).dt.cast_time_unit(unit)
    frame = pl.DataFrame({"loan_id": range(len(hours)), "amount": 1.0, "zipcode": "1"}).with_columns(
        applied_at=at
    )
    if text:
        frame = frame.with_columns(pl.Series("applied_at", [m.isoformat() for m in at.to_list()]))
    frame.write_parquet(tmp_path / "loans.parquet")
    wanted = [n for _, n in sorted((m, n) for n, m in enumerate(moments) if START <= m < END)]
    assert ids(loans(source=PARQUET, empty="allowed"), tmp_path) == wanted


def test_rows_come_in_order_of_time_and_key(tmp_path):
    lines = [
        a_loan(3, "2024-01-02T10:00:00Z"),
        a_loan(2, "2024-01-01T10:00:00Z"),
        a_loan(1, "2024-01-02T10:00:00Z"),
    ]
    write_loans(tmp_path / "loans.csv", *lines)
    assert ids(loans(), tmp_path) == [2, 1, 3]


def test_times_without_a_zone_are_of_the_tables(tmp_path):
    write_loans(tmp_path / "loans.csv", a_loan(1, "2024-01-07 22:00:00"), a_loan(2, "2024-01-07 22:00:00Z"))
    assert ids(loans(), tmp_path) == [1, 2]
    assert ids(loans(timezone="America/New_York"), tmp_path) == [2]


@pytest.mark.parametrize("text", [True, False])
def test_of_an_hour_that_is_there_twice_the_first_is_taken_and_one_that_is_skipped_moves_on(tmp_path, text):
    local = [datetime(2024, 11, 3, 1, 30), datetime(2024, 3, 10, 2, 30)]
    at = [str(one) for one in local] if text else local
    pl.DataFrame({"row": [0, 1], "value": at}).write_parquet(tmp_path / "values.parquet")
    source = {"kind": "parquet", "path": "values.parquet"}
    spec = one_column("datetime", source).model_copy(update={"timezone": "America/New_York"})
    found = read_rows(spec, tmp_path, WHOLE).frame["value"].to_list()
    assert found == [datetime(2024, 11, 3, 5, 30, tzinfo=UTC), datetime(2024, 3, 10, 7, 30, tzinfo=UTC)]


def test_one_partition_of_a_large_file_does_not_read_the_others(tmp_path):
    """The pages of every other row group are overwritten: reading one of them would fail."""
    path = tmp_path / "loans.parquet"
    loans_frame(*range(1, 29)).write_parquet(path, row_group_size=7)
    content, footer = bytearray(path.read_bytes()), pq.read_metadata(path)
    assert footer.num_row_groups == 4
    for group in range(1, 4):
        for number in range(footer.num_columns):
            chunk = footer.row_group(group).column(number)
            at = chunk.dictionary_page_offset or chunk.data_page_offset
            content[at : at + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(content)
    spec = loans(source=PARQUET)
    assert ids(spec, tmp_path) == [1, 2, 3, 4, 5, 6, 7]
    assert "loans.parquet cannot be read" in refusal(
        spec, tmp_path, SimpleNamespace(start=END, end=END + timedelta(7))
    )


def test_what_is_wrong_in_another_partition_stops_none_but_that(tmp_path):
    write_loans(
        tmp_path / "loans.csv", a_loan(1, "2024-01-02T10:00:00Z"), a_loan(2, "2024-01-12T10:00:00Z", "much")
    )
    assert ids(loans(), tmp_path) == [1]
    told = refusal(loans(), tmp_path, SimpleNamespace(start=END, end=END + timedelta(7)))
    assert "row 2, column 'amount': 'much' is not a finite number" in told


@pytest.mark.parametrize("at", ["", "yesterday", "2024/01/02"])
def test_a_row_whose_time_cannot_be_read_stops_every_partition(tmp_path, at):
    write_loans(tmp_path / "loans.csv", a_loan(1, "2024-01-02T10:00:00Z"), a_loan(2, at))
    assert "row 2, column 'applied_at'" in refusal(loans(), tmp_path)


# Where files lie


def test_files_are_named_by_pattern_list_variable_and_absolute_path(tmp_path, monkeypatch):
    folder, elsewhere = tmp_path / "business", tmp_path / "data"
    folder.mkdir()
    write_loans(elsewhere / "loans_a.csv", a_loan(1, "2024-01-02T10:00:00Z"))
    write_loans(elsewhere / "loans_b.csv", a_loan(2, "2024-01-03T10:00:00Z"))
    write_loans(elsewhere / "deep" / "er" / "loans_c.csv", a_loan(3, "2024-01-04T10:00:00Z"))
    monkeypatch.setenv("LOANS", str(elsewhere))
    for path, wanted in {
        "../data/loans_*.csv": [1, 2],
        "../data/**/loans_*.csv": [1, 2, 3],
        "../data/loans_?.csv": [1, 2],
        "../data/loans_[b].csv": [2],
        "${LOANS}/loans_a.csv": [1],
        f"{elsewhere}/loans_*.csv": [1, 2],
    }.items():
        assert ids(loans(source={"kind": "csv", "path": path}), folder) == wanted, path
    several = ["../data/loans_a.csv", "../data/loans_*.csv", "../data/deep/er/loans_c.csv"]
    rows = read_rows(loans(source={"kind": "csv", "path": several}), folder, WEEK)
    assert rows.frame["loan_id"].to_list() == [1, 2, 3]
    assert rows.notes["read from"] == "3 files"


def test_a_folder_with_the_signs_of_a_pattern_in_its_name_is_one_folder(tmp_path):
    write_loans(tmp_path / "a[1]" / "loans_1.csv", a_loan(1, "2024-01-02T10:00:00Z"))
    assert ids(loans(source={"kind": "csv", "path": "loans_*.csv"}), tmp_path / "a[1]") == [1]
    assert ids(loans(source={"kind": "csv", "path": "loans_1.csv"}), tmp_path / "a[1]") == [1]


def test_a_variable_that_is_not_set_is_told_by_name(tmp_path, monkeypatch):
    monkeypatch.delenv("LOANS", raising=False)
    told = refusal(loans(source={"kind": "csv", "path": "${LOANS}/a.csv"}), tmp_path)
    assert "needs the environment variable LOANS, which is not set" in told


def test_an_address_of_another_kind_is_told(tmp_path):
    told = refusal(loans(source={"kind": "csv", "path": "ftp://bucket/a.csv"}), tmp_path)
    assert (
        "'ftp://bucket/a.csv' is no file that is known: give a path, or s3://, gs:// or az://bucket/key"
        in told
    )


def test_files_in_a_bucket_cost_one_listing_however_many_they_are(tmp_path, monkeypatch):
    with served():
        bucket = storage_at(f"s3://{BUCKET}/many")
        for day in range(1, 6):
            bucket.write(f"loans_{day}.parquet", parquet_of(loans_frame(day)))
        spec = loans(source={"kind": "parquet", "path": f"s3://{BUCKET}/many/loans_*.parquet"})
        monkeypatch.setattr(ObjectStorage, "_meta", lambda self, name: pytest.fail(f"asked for {name}"))
        before = states(spec, tmp_path)
        bucket.write("loans_2.parquet", parquet_of(loans_frame(2, 3)))
        after = states(spec, tmp_path)
    assert before and after and len(before) == len(after) == 5
    assert [str(one[0])[-9:] for one, other in zip(before, after, strict=True) if one != other] == [
        "2.parquet"
    ]


def test_files_in_a_bucket_are_read_like_any_other(tmp_path):
    with served():
        bucket = storage_at(f"s3://{BUCKET}/shop")
        bucket.write("a/loans_1.parquet", parquet_of(loans_frame(2, 9)))
        bucket.write("a/b/loans_2.parquet", parquet_of(loans_frame(3, 10)))
        bucket.write(
            "loans.csv", write_loans(tmp_path / "loans.csv", a_loan(7, "2024-01-02T10:00:00Z")).read_bytes()
        )
        bucket.write("zipped.parquet", gzip.compress(b"a"))
        bucket.write("empty.parquet", b"")
        for path, wanted in {
            "a/loans_1.parquet": [2],
            "a/loans_*.parquet": [2],
            "a/**/loans_*.parquet": [2, 3],
            "**/*_2.parquet": [3],
        }.items():
            spec = loans(source={"kind": "parquet", "path": f"s3://{BUCKET}/shop/{path}"})
            assert ids(spec, tmp_path) == wanted, path
        assert ids(loans(source={"kind": "csv", "path": f"s3://{BUCKET}/shop/loans.csv"}), tmp_path) == [7]
        for name, said in {
            "zipped": "holds gzip, expected is parquet",
            "empty": "holds nothing (0 bytes)",
        }.items():
            spec = loans(source={"kind": "parquet", "path": f"s3://{BUCKET}/shop/{name}.parquet"})
            assert said in refusal(spec, tmp_path)
        absent = awaited(
            loans(source={"kind": "parquet", "path": f"s3://{BUCKET}/shop/no.parquet"}), tmp_path, WEEK
        )
        assert absent and absent.outcome == "missing"
    gone = loans(source={"kind": "parquet", "path": "s3:///loans.parquet"})
    assert "names no bucket" in refusal(gone, tmp_path)


# Files that cannot be


GOOD = "loan_id,amount,zipcode,applied_at\n" + a_loan(1, "2024-01-02T10:00:00Z") + "\n"
SPOILED: list[tuple[bytes, str]] = [
    (b"", "holds nothing (0 bytes), expected is CSV: the copy has failed, copy it again"),
    (gzip.compress(GOOD.encode()), "holds gzip, expected is CSV: unpack or convert it"),
    (parquet_of(loans_frame(1)), "holds parquet, expected is CSV: give it the ending .parquet"),
    (GOOD.encode("utf-16"), "holds text in UTF-16, expected is CSV"),
    (
        GOOD.rstrip("\n").encode(),
        "ends inside a row (no line break): it is truncated, or still being written",
    ),
    (GOOD.encode() + b"2,1,2\xe9,2024-01-02T10:00:00Z\n", "row 2: byte 0xe9 is no text in UTF-8"),
    (GOOD.encode() + b"2,1,x,2024-01-02T10:00:00Z,5\n", "row 2: 5 values where the header has 4"),
    (GOOD.encode() + b"2,1\n", "row 2: 2 values where the header has 4"),
    (GOOD.replace("amount", "loan_id").encode(), "has the column 'loan_id' twice"),
    (b"loan_id,amount\n", "has no column 'zipcode'; it has loan_id (String), amount (String)"),
]


@pytest.mark.parametrize(("content", "said"), SPOILED, ids=[said[:30] for _, said in SPOILED])
def test_a_csv_that_cannot_be_read_is_told(tmp_path, content, said):
    (tmp_path / "loans.csv").write_bytes(content)
    told = refusal(loans(), tmp_path)
    assert told.startswith(f"file {tmp_path}/loans.csv")
    assert said in told


def test_what_is_odd_and_harmless_in_a_csv_is_read(tmp_path):
    content = (
        "\ufeff" + GOOD.replace("\n", "\r\n") + "\r\n" + '2,1,"a,\n""b""",2024-01-02T11:00:00Z\r\n,,,\r\n\r\n'
    )
    (tmp_path / "loans.csv").write_text(content, newline="")
    found = read_rows(loans(), tmp_path, WEEK).frame
    assert found["loan_id"].to_list() == [1, 2]
    assert found["zipcode"].to_list() == ["10001", 'a,\n"b"']


def test_a_last_column_that_may_be_empty_is_no_short_row(tmp_path):
    columns = "loan_id,amount,applied_at,zipcode"
    write_loans(
        tmp_path / "loans.csv", '1,2,2024-01-02T10:00:00Z,""', "2,2,2024-01-02T10:00:00Z,", header=columns
    )
    assert read_rows(loans(), tmp_path, WEEK).frame["zipcode"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD.encode(), "holds CSV, expected is parquet: give it the ending .csv"),
        (parquet_of(loans_frame(1))[:-20], "is not a whole parquet file: copy it again"),
        (b"PAR1" * 10, "cannot be read"),
        (b"", "holds nothing (0 bytes)"),
    ],
)
def test_a_parquet_that_cannot_be_read_is_told(tmp_path, content, said):
    (tmp_path / "loans.parquet").write_bytes(content)
    assert said in refusal(loans(source=PARQUET), tmp_path)


def test_a_folder_is_told(tmp_path):
    (tmp_path / "loans.csv").mkdir()
    assert "loans.csv is a folder, expected is a CSV file: name its files" in refusal(loans(), tmp_path)


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    write_loans(tmp_path / "loans.csv", a_loan(1, "2024-01-02T10:00:00Z"))

    def denied(self: Path, *args: Any, **named: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    assert "loans.csv cannot be read (Permission denied): make it readable" in refusal(loans(), tmp_path)


# What is not there yet


def test_a_file_that_is_not_there_is_waited_for(tmp_path):
    found = awaited(loans(), tmp_path, WEEK)
    assert found and found.outcome == "missing" and found.numbers["path"] == f"{tmp_path}/loans.csv"
    assert f"no file is at {tmp_path}/loans.csv" in str(found)


@pytest.mark.parametrize(
    ("at", "outcome"), [("2023-12-30T10:00:00Z", "late"), ("2024-01-09T10:00:00Z", "empty")]
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_partition_without_rows_is_late_or_empty_by_the_newest_row(tmp_path, at, outcome, kind):
    path = write_loans(tmp_path / "loans.csv", a_loan(1, "2023-12-01T10:00:00Z"), a_loan(2, at))
    pl.read_csv(path, try_parse_dates=True, schema_overrides={"zipcode": pl.String}).write_parquet(
        tmp_path / "loans.parquet"
    )
    spec = loans(source={"kind": kind, "path": f"loans.{kind}"})
    found = awaited(spec, tmp_path, WEEK)
    assert found and found.outcome == outcome
    assert found.numbers["newest row"] == f"{datetime.fromisoformat(at)}"
    assert read_rows(spec.model_copy(update={"empty": "allowed"}), tmp_path, WEEK).frame.height == 0


def test_what_is_there_is_not_waited_for(tmp_path):
    write_loans(tmp_path / "loans.csv", a_loan(1, "2024-01-02T10:00:00Z"))
    assert awaited(loans(), tmp_path, WEEK) is None


# Functions


@pytest.fixture
def module(monkeypatch) -> ModuleType:
    made = ModuleType("loans_of_a_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


PYTHON = {"kind": "python", "function": "loans_of_a_test:rows"}


def test_a_function_is_given_the_span_and_gives_the_rows(tmp_path, module):
    asked = []

    def rows(start: datetime, end: datetime) -> pl.DataFrame:
        asked.append((start, end))
        return loans_frame(1, 2, 9).with_columns(more=pl.lit(1))

    module.rows = rows
    found = read_rows(loans(source=PYTHON), tmp_path, WEEK)
    assert asked == [(START, END)]
    assert found.frame["loan_id"].to_list() == [1, 2]
    assert found.notes == {
        "read from": "loans_of_a_test:rows",
        "source columns left out": "more",
        "rows outside of the partition left out": 1,
    }


def test_a_function_of_a_static_table_is_given_nothing_and_may_be_lazy(tmp_path, module):
    module.rows = lambda: loans_frame(1, 2, 9).lazy()
    assert ids(loans(source=PYTHON, time=None), tmp_path, WHOLE) == [1, 2, 9]


BAD_FUNCTIONS: list[tuple[Any, str]] = [
    (
        lambda start, end: loans_frame(1).to_pandas(),
        "gives a pandas.DataFrame, expected is a polars.DataFrame",
    ),
    (lambda start, end: None, "gives a builtins.NoneType, expected is a polars.DataFrame: return one"),
    (lambda start, end: 1 / 0, "loans_of_a_test:rows failed with ZeroDivisionError: division by zero"),
    (lambda: None, "failed with TypeError"),
    (
        lambda start, end: loans_frame(1).drop("amount"),
        "loans_of_a_test:rows has no column 'amount'; it has loan_id",
    ),
    (
        lambda start, end: loans_frame(1).with_columns(amount=pl.lit("x")),
        "row 1, column 'amount': 'x' is not",
    ),
    (7, "module loans_of_a_test has no function 'rows'"),
]


@pytest.mark.parametrize(("function", "said"), BAD_FUNCTIONS, ids=[said[:30] for _, said in BAD_FUNCTIONS])
def test_a_function_that_does_not_give_rows_is_told(tmp_path, module, function, said):
    module.rows = function
    assert said in refusal(loans(source=PYTHON), tmp_path)


def test_a_module_that_is_not_there_is_told(tmp_path):
    told = refusal(loans(source={"kind": "python", "function": "no_such_module_at_all:rows"}), tmp_path)
    assert "module no_such_module_at_all cannot be imported" in told


def test_a_function_may_say_that_its_rows_are_not_there_yet(tmp_path, module):
    def rows(start: datetime, end: datetime) -> pl.DataFrame:
        raise NotYetThereError("the bank has not sent them", "late")

    module.rows = rows
    found = awaited(loans(source=PYTHON), tmp_path, WEEK)
    assert found and (found.outcome, str(found)) == ("late", "the bank has not sent them")
    module.rows = lambda start, end: loans_frame(9)
    found = awaited(loans(source=PYTHON), tmp_path, WEEK)
    assert found and found.outcome == "empty"
