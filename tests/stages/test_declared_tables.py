"""A declared table's partitions: made once, made again when their rows change, and what is a feature from when on."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.spec.calendar import Calendar
from mlops_assets.stages import declared_tables
from mlops_assets.stages.declared_tables import ALL_ALONG, feature_table, raw_table
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.held import SINCE, UNTIL
from mlops_assets.stages.tables import Table, build_partition
from resources.lake.lake import Lake, Manifest
from tests.declared import COLUMNS, FIRST, SECOND, a_loan, loans, write_loans

WEEKS = Calendar(cadence="weekly", start=date(2024, 1, 1), end=date(2024, 2, 5))
RAW, VIEW = "loans/applications", "loans/features/applications"
LINES = [a_loan(1, "2024-01-02T10:00:00Z"), a_loan(2, "2024-01-09T10:00:00Z")]
FEATURES = {"key": ["zipcode"]}


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The partitions whose rows were read, one a reading."""
    read: list[str] = []
    rows = declared_tables.read_rows

    def counted(spec: Any, folder: Path, span: Any, *more: Any) -> Any:
        read.append(span.name)
        return rows(spec, folder, span, *more)

    monkeypatch.setattr(declared_tables, "read_rows", counted)
    return read


def raw(folder: Path, **changes: Any) -> Table:
    return raw_table(loans(**changes), "loans", folder, WEEKS)


def features(**changes: Any) -> Table:
    return feature_table(loans(**{"features": FEATURES, **changes}), "loans", WEEKS)


def made(lake: Lake, table: Table, name: str | None = FIRST) -> pl.DataFrame:
    found, manifest = build_partition(lake, table, name)
    assert manifest, [finding for finding in found if not finding.holds]
    return lake.read(table.key, [name] if name else None)


def said(manifest: Manifest) -> dict[str, Any]:
    """The notes of a partition without the moments that it lies between."""
    return {name: note for name, note in (manifest.notes or {}).items() if name not in (SINCE, UNTIL)}


def test_a_partition_is_written_with_what_was_left_out_and_promised(tmp_path, lake):
    write_loans(
        tmp_path / "loans.csv",
        *[line + ",x" for line in LINES],
        header="loan_id,amount,zipcode,applied_at,note",
    )
    table = raw(tmp_path, expect={"amount": {"range": [0, 5]}, "zipcode": {"nulls": 0.5}})
    found, manifest = build_partition(lake, table, FIRST)
    assert manifest and said(manifest) == {"read from": "loans.csv", "source columns left out": "note"}
    assert lake.read(RAW, [FIRST])["loan_id"].to_list() == [1]
    broken = [finding for finding in found if not finding.holds]
    assert [(one.claim, one.blocking) for one in broken] == [("values_in_range", False)]
    assert "amount is 1 rows outside 0 to 5" in broken[0].reason
    assert table.expected.nulls == {"loan_id": 0.0, "amount": 0.0, "applied_at": 0.0, "zipcode": 0.5}


def test_a_key_that_is_there_twice_is_not_written(tmp_path, lake):
    write_loans(tmp_path / "loans.csv", LINES[0], LINES[0])
    found, manifest = build_partition(lake, raw(tmp_path), FIRST)
    assert manifest is None
    assert [finding.claim for finding in found if not finding.holds] == ["keys_are_unique"]


def test_nothing_is_read_while_no_file_changes(tmp_path, lake, reads):
    write_loans(tmp_path / "loans.csv", *LINES)
    first = raw(tmp_path).fingerprint(lake, FIRST)
    assert raw(tmp_path).fingerprint(lake, FIRST) == first
    assert reads == [FIRST]


def test_what_was_read_to_be_compared_is_not_read_again_to_be_written(tmp_path, lake, reads):
    write_loans(tmp_path / "loans.csv", *LINES)
    table = raw(tmp_path)
    table.fingerprint(lake, FIRST)
    made(lake, table)
    assert reads == [FIRST]
    made(lake, table)
    assert reads == [FIRST, FIRST]


def test_a_file_that_grows_changes_only_the_partition_whose_rows_it_gets(tmp_path, lake, reads):
    path = write_loans(tmp_path / "loans.csv", *LINES)
    before = {name: raw(tmp_path).fingerprint(lake, name) for name in (FIRST, SECOND)}
    write_loans(path, *LINES, a_loan(3, "2024-01-10T10:00:00Z"))
    after = {name: raw(tmp_path).fingerprint(lake, name) for name in (FIRST, SECOND)}
    assert after[FIRST] == before[FIRST]
    assert after[SECOND] != before[SECOND]
    assert reads == [FIRST, SECOND] * 2
    assert {name: raw(tmp_path).fingerprint(lake, name) for name in (FIRST, SECOND)} == after
    assert reads == [FIRST, SECOND] * 2


def test_rows_that_move_between_files_are_the_same_rows(tmp_path, lake):
    source = {"kind": "csv", "path": "loans*.csv"}
    write_loans(tmp_path / "loans.csv", *LINES)
    before = raw(tmp_path, source=source).fingerprint(lake, FIRST)
    write_loans(tmp_path / "loans.csv", LINES[1])
    write_loans(tmp_path / "loans_old.csv", LINES[0])
    assert raw(tmp_path, source=source).fingerprint(lake, FIRST) == before


def test_another_zone_in_the_spec_is_read_anew(tmp_path, lake):
    write_loans(tmp_path / "loans.csv", a_loan(1, "2024-01-02 10:00:00"))
    before = raw(tmp_path).fingerprint(lake, FIRST)
    assert raw(tmp_path, timezone="America/New_York").fingerprint(lake, FIRST) != before


def test_a_partition_that_is_not_there_says_so_before_anything_is_written(tmp_path, lake):
    write_loans(tmp_path / "loans.csv", LINES[0])
    with pytest.raises(NotYetThereError) as caught:
        build_partition(lake, raw(tmp_path), SECOND)
    assert caught.value.outcome == "late"
    assert lake.partitions(RAW) == []
    assert made(lake, raw(tmp_path, empty="allowed"), SECOND).height == 0


# Feature tables


def test_features_count_from_their_time_on(tmp_path, lake):
    write_loans(tmp_path / "loans.csv", a_loan(1, "2024-01-02T10:00:00Z", 5, ""), *LINES)
    lines = [
        a_loan(4, "2024-01-01T10:00:00Z", 0.1, "2"),
        a_loan(5, "2024-01-02T10:00:00Z", 7, "1"),
        a_loan(6, "2024-01-03T10:00:00Z", 7, ""),
    ]
    write_loans(tmp_path / "loans.csv", *lines)
    made(lake, raw(tmp_path))
    found = made(lake, features())
    assert found.schema == {
        "zipcode": pl.String,
        "event_timestamp": pl.Datetime("us", "UTC"),
        "amount": pl.Float32,
        "content_known_at": pl.Datetime("us", "UTC"),
    }
    assert found["zipcode"].to_list() == ["1", "2"]
    assert found["amount"].to_list() == [7.0, pytest.approx(0.1)]
    assert found["event_timestamp"].to_list() == found["content_known_at"].to_list()
    assert said(lake.manifest(VIEW, FIRST)) == {"rows without a key left out": 1}
    assert lake.manifest(VIEW, FIRST).made_of == {f"{RAW}@{FIRST}": lake.manifest(RAW, FIRST).sha256}


def test_every_kind_of_feature_has_its_type_and_may_be_missing(tmp_path, lake):
    columns = {"loan_id": "int", "amount": "float | null", "zipcode": "int | null", "applied_at": "datetime"}
    columns |= {"paid": "bool | null", "kind": "str | null", "day": "date | null"}
    header = "loan_id,amount,zipcode,applied_at,paid,kind,day"
    write_loans(
        tmp_path / "loans.csv",
        "1,,,2024-01-02T10:00:00Z,,,",
        "2,1,3,2024-01-02T10:00:00Z,true,a,2024-01-01",
        header=header,
    )
    made(lake, raw(tmp_path, columns=columns))
    found = made(lake, features(columns=columns, features={"key": ["loan_id"]}))
    kinds = {"amount": pl.Float32, "zipcode": pl.Int64, "paid": pl.Boolean, "kind": pl.String}
    assert {name: found.schema[name] for name in kinds} == kinds
    assert "day" not in found.columns
    assert found.select([*kinds]).rows() == [(None, None, None, None), (1.0, 3, True, "a")]


def test_of_two_rows_that_say_the_same_one_is_kept_and_of_two_that_do_not_none(tmp_path, lake):
    same = [a_loan(1, "2024-01-02T10:00:00Z", 5), a_loan(2, "2024-01-02T10:00:00Z", 5)]
    write_loans(tmp_path / "loans.csv", *same)
    made(lake, raw(tmp_path))
    assert made(lake, features()).height == 1
    assert said(lake.manifest(VIEW, FIRST)) == {"rows that say the same left out": 1}
    write_loans(tmp_path / "loans.csv", same[0], a_loan(2, "2024-01-02T10:00:00Z", 6))
    made(lake, raw(tmp_path))
    with pytest.raises(SourceError) as caught:
        build_partition(lake, features(), FIRST)
    told = str(caught.value)
    assert "two rows have one key and one moment and say different things" in told
    assert "amount 5.0)" in told and "amount 6.0)" in told and "zipcode 10001" in told


def test_a_static_table_is_known_all_along(tmp_path, lake):
    write_loans(tmp_path / "areas.csv", "10001,New York", header="zipcode,city")
    said = {
        "name": "areas",
        "source": {"kind": "csv", "path": "areas.csv"},
        "columns": {"zipcode": "int", "city": "str"},
        "key": ["zipcode"],
        "time": None,
    }
    made(lake, raw(tmp_path, **said), None)
    found = made(lake, features(**said), None)
    assert found.rows() == [(10001, ALL_ALONG, "New York", ALL_ALONG)]


KNOWN_COLUMNS = COLUMNS | {"read_at": "datetime"}
HEADER = "loan_id,amount,zipcode,applied_at,read_at"
LATE = {"columns": KNOWN_COLUMNS, "known_at": "read_at", "lateness": "2d"}


@settings(max_examples=14, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 27 * 24), st.integers(0, 47)), min_size=1, max_size=15),
)
def test_every_row_is_a_feature_once_in_the_partition_in_which_it_becomes_known(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("known")
    lake, start = Lake(root=str(folder / "lake")), datetime(2024, 1, 1, tzinfo=UTC)
    moments = [(start + timedelta(hours=at), start + timedelta(hours=at + late)) for at, late in rows]
    lines = [f"{n},1,z{n},{at.isoformat()},{known.isoformat()}" for n, (at, known) in enumerate(moments)]
    write_loans(folder / "loans.csv", *lines, header=HEADER)
    names = ["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29"]
    table, view = raw(folder, **LATE, empty="allowed"), features(**LATE, empty="allowed")
    for name in names:
        made(lake, table, name)
    found = {name: made(lake, view, name) for name in names}
    together = pl.concat(found.values()).sort(pl.col("zipcode").str.slice(1).cast(pl.Int64))
    assert together["event_timestamp"].to_list() == [known for _, known in moments]
    for name, frame in found.items():
        span = view.span(name)
        assert frame["event_timestamp"].is_between(span.start, span.end, closed="left").all()


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (
            "2024-01-10T00:00:00Z",
            "which is not before its end and lateness: set lateness to at least how long",
        ),
        ("2023-12-31T23:00:00Z", "which is before its start: let time be read_at"),
    ],
)
def test_a_row_that_no_partition_would_take_is_told(tmp_path, lake, known, said):
    write_loans(tmp_path / "loans.csv", a_loan(1, "2024-01-07T10:00:00Z") + f",{known}", header=HEADER)
    made(lake, raw(tmp_path, **LATE))
    with pytest.raises(SourceError) as caught:
        build_partition(lake, features(**LATE), FIRST)
    assert said in str(caught.value)
    assert f"the row (loan_id 1) of partition {FIRST}" in str(caught.value)


def test_a_partition_looks_back_as_far_as_lateness_reaches():
    def read(**changes: Any) -> list[str]:
        table = features(**changes)
        return table.reads(RAW, table.span("2024-01-29"))

    assert read(lateness="30d") == ["2024-01-29"]
    assert read(**LATE) == ["2024-01-22", "2024-01-29"]
    assert read(**LATE | {"lateness": "8d"}) == ["2024-01-15", "2024-01-22", "2024-01-29"]


def test_a_number_that_32_bits_do_not_hold_is_told(tmp_path, lake):
    write_loans(tmp_path / "loans.csv", a_loan(1, "2024-01-02T10:00:00Z", 1e300))
    made(lake, raw(tmp_path))
    with pytest.raises(SourceError, match=r"column 'amount' has 1e\+300, more than 32 bits hold"):
        build_partition(lake, features(), FIRST)


def test_features_are_made_again_only_where_their_rows_or_their_spec_changed(tmp_path, lake):
    write_loans(tmp_path / "loans.csv", *LINES)
    made(lake, raw(tmp_path))
    made(lake, raw(tmp_path), SECOND)
    before = features().fingerprint(lake, FIRST)
    assert features(description="Other words.").fingerprint(lake, FIRST) == before
    write_loans(tmp_path / "loans.csv", LINES[0], a_loan(2, "2024-01-09T10:00:00Z", 99))
    made(lake, raw(tmp_path), SECOND)
    assert features().fingerprint(lake, FIRST) == before
    assert features(features={"key": ["zipcode"], "columns": ["loan_id"]}).fingerprint(lake, FIRST) != before
    write_loans(tmp_path / "loans.csv", a_loan(1, "2024-01-02T10:00:00Z", 99))
    made(lake, raw(tmp_path))
    assert features().fingerprint(lake, FIRST) != before
