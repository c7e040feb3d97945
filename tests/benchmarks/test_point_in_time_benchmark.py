"""The benchmark of the point-in-time join compares right answers, and its table says what was measured."""

from pathlib import Path

import polars as pl
import pytest

from benchmarks import point_in_time, point_in_time_contenders, point_in_time_data
from docs.tables import FEATURE_STORE, README, block_in, with_speed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data") / "960-24"
    point_in_time_data.write(made, 960, 24)
    return made


@pytest.mark.parametrize("layout", ["sorted", "unsorted"])
@pytest.mark.parametrize("name", [point_in_time.OURS, point_in_time.ASOF, point_in_time.DUCKDB])
def test_every_contender_answers_rightly(folder: Path, name: str, layout: str) -> None:
    found = point_in_time_contenders.timed(name, folder, layout)
    assert (found["rows"], found["rows_lost"], found["wrong_cells"]) == (960, 0, 0)


def test_a_wrong_cell_and_a_lost_row_are_seen(folder: Path) -> None:
    asked = pl.read_parquet(folder / "entities.parquet").to_pandas()
    right = pl.DataFrame(
        pl.from_arrow(point_in_time_contenders.through_feast(point_in_time.OURS, folder, "sorted")(asked))
    )
    assert right["two_3"].null_count() in range(20, 900)
    wrong = right.with_columns(pl.when(pl.col("row") == 7).then(0.5).otherwise("two_3").alias("two_3"))
    assert point_in_time_contenders.compared(folder, wrong.slice(1), 960) == {
        "rows_lost": 1,
        "wrong_cells": 1,
    }


def figure(cpu: float, **more: float) -> dict[str, float]:
    base = {"cpu_seconds": cpu, "wall_seconds": 2 * cpu, "peak_gb": 0.5, "rows": 1000}
    return {**base, "rows_lost": 0, "wrong_cells": 0, "rounds": 3, **more}


MEASURED = {
    "rows": 1000,
    "unsorted": {
        point_in_time.OURS: figure(0.5),
        point_in_time.DUCKDB: figure(4.0),
        point_in_time.DEFAULT: figure(50.0, rows_lost=20),
    },
    "sorted": {
        point_in_time.OURS: figure(0.25),
        point_in_time.DUCKDB: figure(4.0),
        point_in_time.ASOF: figure(1.0),
    },
    "flights": {point_in_time.OURS: figure(0.9)},
}


def test_ratios_are_times_this_stores_cpu_and_the_default_store_counts_for_both_layouts() -> None:
    measured = {key: value for key, value in MEASURED.items() if key != "rows"}
    assert point_in_time.ratios(measured) == {
        "vs_feast_duckdb": 16.0,
        "vs_feast_default": 200.0,
        "vs_polars_join_asof": 4.0,
        "vs_feast_duckdb_unsorted": 8.0,
        "vs_feast_default_unsorted": 100.0,
    }


def test_the_table_has_a_line_for_each_contender_and_says_what_was_lost() -> None:
    lines = point_in_time.table(MEASURED).splitlines()
    assert [line.split()[0] for line in lines] == ["case", *["sorted"] * 3, *["unsorted"] * 3, "flights"]
    assert lines[1].split()[3:] == ["1000", "0.25", "0.50", "0.50", "1.0"]
    assert lines[6].endswith("100.0  20 rows lost")


@pytest.mark.parametrize("page", [README, FEATURE_STORE], ids=lambda page: page.name)
def test_the_pages_show_the_table(page: Path) -> None:
    shown = with_speed(page.read_text(), "point_in_time", MEASURED)
    assert block_in(shown, "point-in-time") == point_in_time.table(MEASURED)
    assert with_speed(shown, "point_in_time", MEASURED) == shown
