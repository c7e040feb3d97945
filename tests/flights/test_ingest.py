import bz2
import gzip
import io
import lzma
import re
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.use_cases.flights import files, ingest, schema
from mlops_assets.use_cases.flights.ingest import IngestError
from mlops_assets.use_cases.flights.schema import DIVERSION_LAG
from tests.flights import samples
from tests.flights.samples import ZONES, flight, observation


def only(folder: Path) -> dict:
    return ingest.tables(folder).flights.row(0, named=True)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_departure_is_new_york_time_and_an_arrival_the_destinations(tmp_path: Path) -> None:
    row = only(
        samples.write(tmp_path, [flight("2013-01-01 10:00", 360, dest="LAX", dep_delay=5, arr_delay=-7)])
    )
    assert row["scheduled_departure"] == utc("2013-01-01 15:00")
    assert row["scheduled_arrival"] == utc("2013-01-01 21:00")
    assert (row["departed_at"], row["arrived_at"]) == (utc("2013-01-01 15:05"), utc("2013-01-01 20:53"))
    assert row["flight_id"] == "2013-01-01-UA1-EWR-LAX"
    assert row["prediction_time"] == utc("2013-01-01 13:00")


@pytest.mark.parametrize("dest", ["STT", "SJU", "BQN", "PSE"])
def test_an_airport_that_the_file_lacks_is_on_puerto_rico_time(tmp_path: Path, dest: str) -> None:
    winter, summer = flight("2013-01-05 08:00", 220, dest=dest), flight("2013-07-05 08:00", 220, dest=dest)
    table = ingest.tables(samples.write(tmp_path, [winter, summer])).flights
    assert table["scheduled_arrival"].to_list() == [utc("2013-01-05 16:40"), utc("2013-07-05 15:40")]


def test_an_arrival_after_midnight_is_on_the_next_day(tmp_path: Path) -> None:
    row = only(samples.write(tmp_path, [flight("2013-01-01 22:30", 230, dest="SJU", arr_delay=15)]))
    assert row["scheduled_arrival"] == utc("2013-01-02 07:20")
    assert row["arrived_at"] == utc("2013-01-02 07:35")


def test_a_delay_over_midnight_moves_the_date_too(tmp_path: Path) -> None:
    row = only(
        samples.write(tmp_path, [flight("2013-01-01 21:00", 60, dest="ATL", dep_delay=200, arr_delay=190)])
    )
    assert row["departed_at"] == utc("2013-01-02 05:20")
    assert row["arrived_at"] == utc("2013-01-02 06:10")


def test_a_flight_through_the_spring_change_keeps_its_length(tmp_path: Path) -> None:
    row = only(samples.write(tmp_path, [flight("2013-03-10 01:30", 45, dest="ATL")]))
    assert row["scheduled_arrival"] == utc("2013-03-10 07:15")


def test_a_flight_through_the_autumn_change_keeps_its_length(tmp_path: Path) -> None:
    row = only(samples.write(tmp_path, [flight("2013-11-02 23:00", 210, dest="ORD")]))
    assert row["scheduled_arrival"] == utc("2013-11-03 06:30")


def test_an_arrival_at_a_time_that_the_spring_change_skips_moves_on_by_an_hour(tmp_path: Path) -> None:
    skipped = flight("2013-03-10 01:30", 45, dest="ATL") | {"sched_arr_time": "215"}
    assert only(samples.write(tmp_path, [skipped]))["scheduled_arrival"] == utc("2013-03-10 07:15")


def test_2400_is_the_midnight_that_ends_the_day(tmp_path: Path) -> None:
    midnight = flight("2013-01-01 22:00", 120, dest="ATL") | {"sched_arr_time": "2400"}
    assert only(samples.write(tmp_path, [midnight]))["scheduled_arrival"] == utc("2013-01-02 05:00")


def test_what_is_known_when(tmp_path: Path) -> None:
    cancelled = flight("2013-01-01 10:00", number=1, dep_delay=None, arr_delay=None)
    diverted = flight("2013-01-01 11:00", number=2, dep_delay=10, arr_delay=None)
    left_late = flight("2013-01-01 12:00", number=3, dep_delay=600, arr_delay=None)
    arrived = flight("2013-01-01 13:00", number=4, dep_delay=30, arr_delay=25)
    table = ingest.tables(samples.write(tmp_path, [cancelled, diverted, left_late, arrived])).flights
    assert table["cancelled"].to_list() == [True, False, False, False]
    assert table["diverted"].to_list() == [False, True, True, False]
    assert table["departure_known_at"].to_list() == table["departed_at"].to_list()
    assert table["outcome_known_at"].to_list() == [
        utc("2013-01-01 15:00"),
        utc("2013-01-01 22:40"),
        utc("2013-01-02 09:30"),
        utc("2013-01-01 20:55"),
    ]


def test_weather_is_known_an_hour_after_its_hour(tmp_path: Path) -> None:
    hour = utc("2013-01-01 06:00")
    table = ingest.tables(samples.write(tmp_path, weather=[observation(hour)])).weather
    assert table["known_at"].to_list() == [hour + timedelta(hours=1)]
    assert table["wind_gust"].to_list() == [None]


def test_both_of_the_two_hours_that_the_autumn_change_makes_are_kept(tmp_path: Path) -> None:
    hours = [utc("2013-11-03 05:00"), utc("2013-11-03 06:00")]
    lines = [observation(hour) for hour in hours]
    assert [line["hour"] for line in lines] == ["1", "1"]
    table = ingest.tables(samples.write(tmp_path, weather=lines)).weather
    assert table["time_hour"].to_list() == hours


@pytest.mark.parametrize("name", ["flights", "weather"])
def test_a_time_hour_that_disagrees_with_the_hour_is_named(tmp_path: Path, name: str) -> None:
    good = flight if name == "flights" else lambda _: observation(utc("2013-06-01 10:00"))
    line = good("2013-06-01 06:00") | {"time_hour": "2013-06-01T11:00:00Z"}
    samples.write(tmp_path, **{name: [line]})
    with pytest.raises(IngestError, match=rf"{name}\.csv, column hour, row 1: .*America/New_York"):
        ingest.tables(tmp_path)


def test_a_flight_that_is_there_twice_is_named(tmp_path: Path) -> None:
    samples.write(tmp_path, [flight("2013-06-01 06:00"), flight("2013-06-01 09:00")])
    with pytest.raises(IngestError, match="flight_id = 2013-06-01-UA1-EWR-ORD"):
        ingest.tables(tmp_path)


def test_an_unknown_destination_is_named(tmp_path: Path) -> None:
    samples.write(tmp_path, [flight("2013-06-01 06:00") | {"dest": "XXX"}])
    with pytest.raises(IngestError, match=r"column dest, row 1: dest = XXX"):
        ingest.tables(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (samples.write(tmp_path) / "planes.csv").unlink()
    with pytest.raises(IngestError, match=r"planes\.csv.*missing: put"):
        ingest.tables(tmp_path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = samples.write(tmp_path) / "flights.csv"
    path.write_text(path.read_text().replace("dep_delay", "departure_delay", 1))
    with pytest.raises(IngestError, match=r"flights\.csv, column dep_delay, row 0: the column is missing"):
        ingest.read_table("flights", tmp_path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("dep_delay", "late"),
        ("flight", "12.5"),
        ("time_hour", "2013-13-01T00:00:00Z"),
        ("distance", "nan"),
        ("origin", "NA"),
        ("sched_arr_time", "2370"),
        ("minute", "3"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(tmp_path: Path, column: str, value: str) -> None:
    lines = [flight("2013-06-01 06:00", number=n) for n in (1, 2, 3)]
    samples.write(tmp_path, [lines[0], lines[1] | {column: value}, lines[2]])
    with pytest.raises(IngestError) as error:
        ingest.tables(tmp_path)
    assert error.value.row == 2
    assert column in str(error.value) and error.value.file.endswith("flights.csv")


@pytest.mark.parametrize("cut", [1, 5, 40, 120])
def test_a_truncated_csv_is_named_with_its_row(tmp_path: Path, cut: int) -> None:
    path = samples.write(tmp_path, [flight("2013-06-01 06:00", number=n) for n in (1, 2, 3)]) / "flights.csv"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(IngestError, match=r"flights\.csv, column \w+, row [23]: .*truncated"):
        ingest.read_table("flights", tmp_path)


def test_a_line_with_too_few_values_is_named(tmp_path: Path) -> None:
    path = samples.write(tmp_path, [flight("2013-06-01 06:00", number=n) for n in (1, 2, 3)]) / "flights.csv"
    lines = path.read_text().splitlines()
    lines[2] = ",".join(lines[2].split(",")[:4])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(IngestError, match="column sched_dep_time, row 2: 4 values where the header has 19"):
        ingest.read_table("flights", tmp_path)


def test_a_line_with_too_many_values_is_named(tmp_path: Path) -> None:
    path = samples.write(tmp_path) / "flights.csv"
    path.write_text(path.read_text().rstrip("\n") + ",1\n")
    with pytest.raises(IngestError, match="column time_hour, row 1: 20 values"):
        ingest.read_table("flights", tmp_path)


def zipped(folder: Path) -> Path:
    path = folder / "flights.csv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "flights.csv", "flights.csv")
    (folder / "flights.csv").unlink()
    return path


def test_a_truncated_zip_is_named(tmp_path: Path) -> None:
    path = zipped(samples.write(tmp_path))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(IngestError, match=r"flights\.csv\.zip.*truncated\?"):
        ingest.read_table("flights", tmp_path)


def test_a_truncated_parquet_is_named(tmp_path: Path) -> None:
    samples.write(tmp_path)
    pl.read_csv(tmp_path / "flights.csv").write_parquet(tmp_path / "flights.parquet")
    (tmp_path / "flights.csv").unlink()
    path = tmp_path / "flights.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(IngestError, match=r"flights\.parquet.*not a whole parquet"):
        ingest.read_table("flights", tmp_path)


def parquet(frame: pl.DataFrame) -> bytes:
    into = io.BytesIO()
    frame.write_parquet(into)
    return into.getvalue()


def packed(content: bytes, name: str = "flights.csv") -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        archive.writestr(name, content)
    return into.getvalue()


TEXT = b"year,month\n2013,1\n"
OTHER_BYTES = {
    "gzip": gzip.compress(TEXT),
    "bzip2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "zip": packed(TEXT),
    "parquet": parquet(pl.DataFrame({"year": [2013]})),
    "text in UTF-16": TEXT.decode().encode("utf-16"),
    "text in UTF-16 or UTF-32": TEXT.decode().encode("utf-16-le"),
    "CSV": TEXT,
    "nothing": b"",
}


@pytest.mark.parametrize("ending", files.ENDINGS)
@pytest.mark.parametrize("kind", OTHER_BYTES)
def test_other_bytes_than_the_ending_says_are_called_what_they_are(
    tmp_path: Path, kind: str, ending: str
) -> None:
    expected = {".csv": "CSV", ".csv.zip": "zip", ".parquet": "parquet"}[ending]
    (tmp_path / f"flights{ending}").write_bytes(OTHER_BYTES[kind])
    told = (
        "the column is missing"
        if kind == expected
        else rf"it holds [\w ,]*{kind}.*, expected is {expected}: \w+"
    )
    with pytest.raises(IngestError, match=rf"flights{ending}, .*{told}"):
        files.read_table("flights", tmp_path)


def test_other_bytes_in_an_archive_are_called_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "flights.csv.zip").write_bytes(packed(gzip.compress(TEXT)))
    with pytest.raises(IngestError, match="it holds gzip, expected is CSV"):
        files.read_table("flights", tmp_path)


@pytest.mark.parametrize("ending", files.ENDINGS)
def test_a_folder_that_is_called_like_a_file_is_refused(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"flights{ending}").mkdir()
    with pytest.raises(IngestError, match=r"it is a folder, expected is a .* file: move it away"):
        files.read_table("flights", tmp_path)


def test_a_byte_that_is_no_utf_8_is_named_with_its_row(tmp_path: Path) -> None:
    path = samples.write(tmp_path, [flight("2013-06-01 06:00", number=n) for n in (1, 2)]) / "flights.csv"
    path.write_bytes(path.read_bytes().replace(b"N1", b"N\xe9"))
    with pytest.raises(IngestError, match="row 1: byte 0xe9 is no text in UTF-8: save"):
        files.read_table("flights", tmp_path)


def test_a_mark_of_utf_8_at_the_start_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = samples.write(tmp_path) / "flights.csv"
    plain = files.read_table("flights", tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert files.read_table("flights", tmp_path).equals(plain)


FOREIGN = [
    pl.Series([[1]]),
    pl.Series([{"a": 1}]),
    pl.Series([b"x"]),
    pl.Series([True]),
    pl.Series([datetime(2013, 1, 1).date()]),
    pl.Series([datetime(2013, 1, 1).time()]),
    pl.Series([timedelta(1)]),
    pl.Series([datetime(2013, 1, 1)]),
    pl.Series([1.5]),
    pl.Series(["x"], dtype=pl.Categorical),
    pl.Series([None]),
]


@pytest.mark.parametrize("found", FOREIGN, ids=lambda found: str(found.dtype))
def test_a_parquet_column_of_any_type_is_read_or_refused_by_its_name(
    tmp_path: Path, found: pl.Series
) -> None:
    path = samples.write(tmp_path) / "flights.csv"
    right = pl.read_csv(path)
    path.unlink()
    for column in schema.FILES["flights"]:
        right.with_columns(found.alias(column)).write_parquet(tmp_path / "flights.parquet")
        try:
            assert files.read_table("flights", tmp_path).height == 1
        except IngestError as error:
            assert error.column == column


@given(
    ending=st.sampled_from(files.ENDINGS),
    kind=st.sampled_from(sorted(OTHER_BYTES)),
    start=st.integers(0, 60),
    put=st.binary(max_size=12),
    cut=st.integers(0, 40),
)
def test_whatever_bytes_a_file_holds_the_error_names_it(
    tmp_path_factory, ending, kind, start, put, cut
) -> None:
    content = OTHER_BYTES[kind]
    path = tmp_path_factory.mktemp("raw") / f"flights{ending}"
    path.write_bytes((content[:start] + put + content[start + len(put) :])[: len(content) - cut or None])
    with pytest.raises(IngestError, match=f"flights{ending}"):
        files.read_table("flights", path.parent)


def test_csv_zip_and_parquet_give_the_same_table(tmp_path: Path) -> None:
    lines = [flight("2013-06-01 06:00", number=n, dep_delay=n, tailnum=None) for n in (1, 2, 3)]
    folder = samples.write(tmp_path, lines)
    expected = ingest.tables(folder).flights
    ingest.read_table("flights", folder).drop("source_file", "source_row").write_parquet(
        folder / "flights.parquet"
    )
    zipped(folder).rename(tmp_path / "kept")
    assert ingest.tables(folder).flights.equals(expected)
    (folder / "flights.parquet").unlink()
    (tmp_path / "kept").rename(folder / "flights.csv.zip")
    assert ingest.tables(folder).flights.equals(expected)


def test_the_months_of_a_folder_are_read_together(tmp_path: Path) -> None:
    folder = samples.write(tmp_path, [flight("2013-06-01 06:00")])
    (folder / "flights.csv").rename(folder / "flights-2013-06.csv")
    samples.write(tmp_path / "later", [flight("2013-07-01 06:00")])
    (tmp_path / "later" / "flights.csv").rename(folder / "flights-2013-07.csv")
    assert ingest.tables(folder).flights["flight_id"].str.head(7).to_list() == ["2013-06", "2013-07"]


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    folder = samples.write(tmp_path, [flight("2013-06-01 06:00")])
    assert ingest.tables(folder) is ingest.tables(folder)
    samples.write(tmp_path, [flight("2013-06-01 06:00", dep_delay=44)])
    assert only(folder)["dep_delay"] == 44


def test_a_week_is_half_open() -> None:
    moments = [utc("2013-01-07 05:00"), utc("2013-01-14 04:59"), utc("2013-01-14 05:00")]
    frame = pl.DataFrame({"at": moments})
    assert ingest.in_week(frame, "at", moments[0], moments[2])["at"].to_list() == moments[:2]


@given(
    departs=st.datetimes(datetime(2013, 1, 1), datetime(2013, 12, 31)).filter(
        lambda t: not (t.month in (3, 11) and t.hour in (1, 2))
    ),
    minutes=st.integers(40, 720),
    dest=st.sampled_from(sorted(ZONES | samples.CARIBBEAN)),
)
def test_a_schedule_survives_being_written_as_local_clocks(
    departs: datetime, minutes: int, dest: str
) -> None:
    line = flight(f"{departs:%Y-%m-%d %H:%M}", minutes, dest=dest)
    raw = samples.typed(pl.DataFrame([line]))
    airports = pl.DataFrame(list((ZONES | samples.CARIBBEAN).items()), ["faa", "tzone"], orient="row")
    row = ingest.flights(raw, airports).row(0, named=True)
    elapsed = row["scheduled_arrival"] - row["scheduled_departure"]
    assert elapsed in (timedelta(minutes=minutes), timedelta(minutes=minutes - 60))
    assert elapsed == timedelta(minutes=minutes) or row["scheduled_arrival"].month == 11


@pytest.fixture(scope="module")
def year() -> ingest.Tables:
    return ingest.tables()


def test_the_year_has_its_known_counts(year: ingest.Tables) -> None:
    flights = year.flights
    assert flights.height == flights["flight_id"].n_unique() == 336_776
    assert flights["cancelled"].sum() == 8_255
    assert flights["diverted"].sum() == 1_175
    in_the_air = (pl.col("arr_delay") - pl.col("dep_delay")).max()
    longest = flights.select(in_the_air).item()
    assert longest == 196 and timedelta(minutes=longest) < DIVERSION_LAG
    assert flights["arr_delay"].count() == 327_346
    assert flights.filter(pl.col("dest").is_in(list(schema.AIRPORT_GAPS))).height == 7_602
    assert year.weather["time_hour"].max() == utc("2013-12-30 23:00")
    assert year.planes.height == 3_322


def test_every_arrival_shows_the_recorded_time_on_the_destinations_clocks(year: ingest.Tables) -> None:
    raw = ingest.read_table("flights")
    day = pl.date("year", "month", "day").dt.to_string("%Y-%m-%d")
    named = raw.select(
        "arr_time", "dest", flight_id=pl.format("{}-{}{}-{}-{}", day, "carrier", "flight", "origin", "dest")
    )
    zoned = named.join(year.airports.select(dest="faa", zone="tzone"), on="dest")
    both = year.flights.filter(pl.col("arrived_at").is_not_null()).join(zoned, on="flight_id")
    wrong = pl.concat(_clock_differs(part) for part in both.partition_by("zone"))
    assert wrong.to_list() == ["2013-03-09-B635-JFK-PBI"], "its record ignores the spring change"


def _clock_differs(part: pl.DataFrame) -> pl.Series:
    local = pl.col("arrived_at").dt.convert_time_zone(part["zone"][0])
    shown = local.dt.hour().cast(pl.Int32) * 100 + local.dt.minute()
    return part.filter(shown != pl.col("arr_time") % 2400)["flight_id"]


def test_the_tables_have_the_types_they_promise(year: ingest.Tables) -> None:
    for name in ("flights", "schedule", "weather", "planes", "airports"):
        table = getattr(year, name)
        expected = schema.TABLES["flights/raw" if name == "flights" else f"flights/{name}"]
        assert dict(table.schema) == {k: v() if isinstance(v, type) else v for k, v in expected.items()}


def test_an_error_survives_being_sent_between_processes() -> None:
    import pickle

    error = IngestError("a.csv", "b", 3, "why")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert re.fullmatch(r"file a.csv, column b, row 3: why", str(error))
