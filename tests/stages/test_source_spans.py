"""Of a source with a file a day only those are read that may have rows of a span, and no row is ever missed by it."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from mlops_assets.spec.calendar import Partition
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages import source_spans, sources
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.sources import read_rows, spans_of
from resources.lake.lake import Lake
from tests.declared import a_loan, loans, loans_frame, write_loans

PARQUET = loans(source={"kind": "parquet", "path": "data/*.parquet"})
CSV = loans(source={"kind": "csv", "path": "data/*.csv"}, timezone="Europe/Berlin")
DAY = timedelta(days=1)


def span(first: float, days: float = 1) -> Partition:
    start = datetime(2024, 1, 1, tzinfo=UTC) + (first - 1) * DAY
    return Partition("one", start, start + days * DAY)


def said(spec: TableSpec, folder: Path, asked: Partition, lake: Lake | None) -> Any:
    """The rows of a span, or how it is said that there are none."""
    try:
        return read_rows(
            spec, folder, asked, spans_of(spec, lake, "loans/applications") if lake else None
        ).frame.rows()
    except NotYetThereError as error:
        return error.outcome
    except SourceError as error:
        return str(error)


def write(spec: TableSpec, folder: Path, number: int, days: list[int]) -> None:
    (folder / "data").mkdir(exist_ok=True)
    if spec is PARQUET:
        loans_frame(*days).write_parquet(folder / "data" / f"{number}.parquet")
    else:
        lines = [a_loan(day, f"2024-01-{day:02}T{day % 24:02}:30:00") for day in days]
        write_loans(folder / "data" / f"{number}.csv", *lines)


FILES = st.tuples(st.integers(0, 4), st.lists(st.integers(1, 28), max_size=4, unique=True))
ASKED = st.tuples(st.floats(0, 29), st.floats(0.1, 9))


@profile(max_examples=40)
@given(st.sampled_from([PARQUET, CSV]), st.lists(st.one_of(FILES, ASKED), min_size=2, max_size=12))
def test_the_rows_of_a_span_are_those_that_reading_every_file_gives_whatever_is_written_in_between(
    spec, steps
):
    with tempfile.TemporaryDirectory() as name:
        folder, lake = Path(name), Lake(root=f"{name}/lake")
        for one, other in steps:
            if isinstance(other, list):
                write(spec, folder, int(one), other)
            else:
                asked = span(one, other)
                assert said(spec, folder, asked, lake) == said(spec, folder, asked, None)


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Names of the files that were opened."""
    found, whole = list[str](), sources.opened

    def counted(file: Any, source: Any) -> pl.LazyFrame:
        found.append(Path(file.address).stem)
        return whole(file, source)

    monkeypatch.setattr(sources, "opened", counted)
    return found


@pytest.mark.parametrize("spec", [PARQUET, CSV], ids=["parquet", "csv"])
def test_a_look_opens_the_files_of_its_span_alone_once_it_has_seen_the_others(tmp_path, spec, opened):
    lake = Lake(root=str(tmp_path / "lake"))
    for day in range(1, 9):
        write(spec, tmp_path, day, [day])
    said(spec, tmp_path, span(2), lake)
    opened.clear()
    assert len(said(spec, tmp_path, span(4.5, 0.9), lake)) == 1 and set(opened) <= {"4", "5"}
    opened.clear()
    assert said(spec, tmp_path, span(15), lake) == "late" and opened == []
    write(spec, tmp_path, 6, [15])
    assert len(said(spec, tmp_path, span(15), lake)) == 1 and set(opened) == {"6"}


def test_a_look_that_is_cut_off_goes_on_where_it_was(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(source_spans, "SAVE_AFTER", 2)
    lake = Lake(root=str(tmp_path / "lake"))
    for day in range(1, 7):
        write(PARQUET, tmp_path, day, [day])
    whole = sources._bounds

    def dies(spec: TableSpec, file: Any) -> Any:
        if Path(file.address).stem == "5":
            raise KeyboardInterrupt
        return whole(spec, file)

    with monkeypatch.context() as patch:
        patch.setattr(sources, "_bounds", dies)
        with pytest.raises(KeyboardInterrupt):
            said(PARQUET, tmp_path, span(2), lake)
    opened.clear()
    said(PARQUET, tmp_path, span(2), lake)
    assert opened == ["5", "6", "2"]


def test_a_file_that_is_no_file_of_the_table_is_told_by_every_span_and_one_that_is_mended_by_none(tmp_path):
    lake = Lake(root=str(tmp_path / "lake"))
    for day in (1, 2):
        write(CSV, tmp_path, day, [day])
    (tmp_path / "data" / "3.csv").write_text("loan_id,amount,zipcode,applied_at\n3,1,1,soon\n")
    assert said(CSV, tmp_path, span(1), lake) == said(CSV, tmp_path, span(1), None)
    assert "'soon'" in str(said(CSV, tmp_path, span(1), lake))
    write(CSV, tmp_path, 3, [3])
    assert len(said(CSV, tmp_path, span(1), lake)) == 1


@pytest.mark.parametrize("broken", ['{"of": 1', "[]", '{"of": "x", "files": {}}', '{"files": 3}'])
def test_a_record_that_cannot_be_read_costs_a_look_at_every_file_and_changes_nothing(tmp_path, broken):
    lake = Lake(root=str(tmp_path / "lake"))
    for day in (1, 2, 3):
        write(PARQUET, tmp_path, day, [day])
    before = said(PARQUET, tmp_path, span(2), lake)
    [record] = (tmp_path / "lake" / "loans" / "ticks").iterdir()
    record.write_text(broken)
    assert said(PARQUET, tmp_path, span(2), lake) == before
