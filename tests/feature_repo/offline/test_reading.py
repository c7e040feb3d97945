"""Of a source only what can matter is read: files, row groups and columns; whatever else lies there may be broken."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from feature_repo.offline_store.files import Place, files_of
from feature_repo.offline_store.moments import microsecond
from feature_repo.offline_store.reading import read
from feature_repo.offline_store.sources import Source, SourceError, Span

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS = ("key", "event_timestamp", "x")


def rows(day: int, count: int = 200) -> pl.DataFrame:
    """Rows of one day, with a wide column that nobody asks for."""
    return pl.DataFrame(
        {
            "key": [f"k{n % 7}" for n in range(count)],
            "event_timestamp": [START + day * DAY + timedelta(minutes=n) for n in range(count)],
            "x": [float(1000 * day + n) for n in range(count)],
            "wide": [f"nobody asks for this one, number {n}" for n in range(count)],
        }
    )


def source(where: str | Path) -> Source:
    return Source("v", Place(str(where)), "event_timestamp", None, ("key",), ("x",), {"x": "Float64"})


def days(first: int, last: int) -> Span:
    return Span(microsecond(START + first * DAY), microsecond(START + last * DAY))


def spoil(path: Path, first: int, last: int) -> None:
    """Overwrite bytes, which leaves the footer as it was."""
    content = bytearray(path.read_bytes())
    content[first:last] = b"\xff" * (last - first)
    path.write_bytes(bytes(content))


def column_chunk(path: Path, group: int, name: str) -> tuple[int, int]:
    """Where the bytes of a column lie in a row group."""
    meta = pq.read_metadata(path).row_group(group)
    chunk = next(meta.column(n) for n in range(meta.num_columns) if meta.column(n).path_in_schema == name)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    return start, start + chunk.total_compressed_size


def test_a_file_out_of_the_time_span_is_not_read(tmp_path: Path) -> None:
    for day in range(5):
        rows(day).write_parquet(tmp_path / f"{day}.parquet")
    for day in (0, 1, 4):
        spoil(tmp_path / f"{day}.parquet", 4, 400)
    found = read(source(tmp_path / "*.parquet"), days(2, 3))
    assert found["x"].to_list() == [*rows(2)["x"], *rows(3)["x"]][: found.height]
    with pytest.raises(SourceError, match=r"view 'v': .*1\.parquet cannot be read"):
        read(source(tmp_path / "*.parquet"), days(1, 3))


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kolkata"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_row_group_out_of_the_time_span_is_not_read(tmp_path: Path, unit: str, zone: str | None) -> None:
    path = tmp_path / "all.parquet"
    moment = pl.col("event_timestamp").dt.replace_time_zone(None).dt.cast_time_unit(unit)  # type: ignore[arg-type]
    zoned = moment.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else moment
    table = pl.concat(rows(day) for day in range(6)).with_columns(zoned)
    table.write_parquet(path, row_group_size=200, compression="uncompressed")
    for group in (0, 1, 2, 4, 5):
        spoil(path, *column_chunk(path, group, "x"))
    found = read(source(path), days(3, 3))
    assert set(found["x"]) <= set(rows(3)["x"])
    assert 3000.0 in found["x"].to_list()
    with pytest.raises(SourceError, match=r"all\.parquet cannot be read"):
        read(source(path))


def test_a_column_that_nobody_asks_for_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    rows(0).write_parquet(path)
    spoil(path, *column_chunk(path, 0, "wide"))
    assert tuple(read(source(path)).columns) == COLUMNS
    assert read(source(path))["x"].to_list() == rows(0)["x"].to_list()


ARROW: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    "one batch": lambda table, path: feather.write_feather(
        table.to_arrow(), path, compression="uncompressed"
    ),
    "several batches": lambda table, path: table.write_ipc(path, record_batch_size=64),
    "compressed": lambda table, path: table.write_ipc(path, compression="zstd"),
    "no rows": lambda table, path: table.clear().write_ipc(path),
}


@pytest.mark.parametrize("kind", ARROW)
@pytest.mark.parametrize("ending", ["arrow", "feather", "ipc"])
def test_arrow_files_are_read_as_parquet_is(tmp_path: Path, kind: str, ending: str) -> None:
    path = tmp_path / f"all.{ending}"
    ARROW[kind](rows(0), path)
    expected = rows(0) if kind != "no rows" else rows(0).clear()
    moment = pl.col("event_timestamp").dt.replace_time_zone(None)
    assert read(source(path)).equals(expected.select(COLUMNS).with_columns(moment))


def test_a_mapped_file_that_is_replaced_stays_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "all.arrow"
    rows(0).write_ipc(path)
    before = read(source(path))
    copy = before.clone().rechunk().to_dict(as_series=False)
    rows(1).write_ipc(tmp_path / "new")
    (tmp_path / "new").replace(path)
    assert before.to_dict(as_series=False) == copy
    assert read(source(path))["x"].to_list() == rows(1)["x"].to_list()


def test_a_file_that_was_written_anew_has_its_footer_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    rows(0).write_parquet(path)
    assert read(source(path), days(0, 1)).height == 200
    rows(3).write_parquet(path)
    assert read(source(path), days(0, 1)).height == 0
    assert read(source(path), days(3, 4)).height == 200
    rows(3).rename({"x": "y"}).write_parquet(path)
    with pytest.raises(SourceError, match=r"in .*all\.parquet the column 'x' is missing; the file has key,"):
        read(source(path))


def test_columns_that_stand_in_the_path_are_columns(tmp_path: Path) -> None:
    for key in ("a", "b"):
        folder = tmp_path / f"key={key}"
        folder.mkdir()
        rows(0, 3).drop("key").write_parquet(folder / "part.parquet")
    found = read(source(tmp_path))
    assert found["key"].to_list() == ["a"] * 3 + ["b"] * 3
    assert found["x"].to_list() == [0.0, 1.0, 2.0] * 2


def test_a_file_that_gives_way_to_another_between_listing_and_reading_is_looked_for_again(
    tmp_path: Path, monkeypatch
) -> None:
    rows(0).write_parquet(tmp_path / "a.parquet")
    rows(1).write_parquet(tmp_path / "b.parquet")
    expected, listed = read(source(tmp_path)), list[str]()

    def replaced_after_listing(where: Place) -> list[str]:
        found = files_of(where)
        if not listed:
            listed.extend(found)
            pl.concat([rows(0), rows(1)]).write_parquet(tmp_path / "both.parquet")
            for path in found:
                Path(path).unlink()
        return found

    monkeypatch.setattr("feature_repo.offline_store.sources.files_of", replaced_after_listing)
    assert read(source(tmp_path)).equals(expected)
    assert len(listed) == 2


def test_a_file_that_goes_after_its_footer_was_read_is_looked_for_again(tmp_path: Path, monkeypatch) -> None:
    for name in "ab":
        rows(0).write_parquet(tmp_path / f"{name}.parquet")
    scan, scanned = pl.scan_parquet, list[int]()

    def gone_before_scanning(paths: list[str], **options: Any) -> pl.LazyFrame:
        scanned.append(len(paths))
        (tmp_path / "b.parquet").unlink(missing_ok=True)
        return scan(paths, **options)

    monkeypatch.setattr(pl, "scan_parquet", gone_before_scanning)
    assert read(source(tmp_path)).equals(
        rows(0).select(COLUMNS).with_columns(pl.col("event_timestamp").dt.replace_time_zone(None))
    )
    assert scanned[0] == 2


def test_a_file_that_is_gone_again_and_again_is_named(tmp_path: Path, monkeypatch) -> None:
    gone = str(tmp_path / "gone.parquet")
    monkeypatch.setattr("feature_repo.offline_store.sources.files_of", lambda where: [gone])
    with pytest.raises(SourceError, match=r"view 'v': .*gone\.parquet cannot be read"):
        read(source(tmp_path))
