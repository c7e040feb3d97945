"""Anybody's files: whatever a source's files look like inside, the answers are the oracle's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.feature_repo.offline_oracle.cases import NOON, ask, hours, row, view
from tests.feature_repo.offline_oracle.oracle import Row
from tests.feature_repo.offline_oracle.outcome import expected, found
from tests.feature_repo.offline_oracle.world import OURS, SECOND, Entities, View, World, write_source

DAILY = [row("a", h, h) for h in range(0, 96, 24)]
SPLIT = view([row("a", 0, 1), row("a", 5, 2), row("b", 1, 3), row("b", 7, 4)], files=4)
ASKED = ask(["a", "b", "a"], [6, 3, 1])
Change = Callable[[pa.Table], pa.Table]


def assert_right(
    world: World, folder: Path, changes: dict[int, Change] | None = None, **written: Any
) -> None:
    """The store answers as the oracle, also after files (by their number) were changed in form, not in content."""
    for one in world.views:
        write_source(one, folder)
        for number, change in (changes or {}).items():
            path = folder / one.name / f"part-{number:03}.parquet"
            pq.write_table(change(pq.read_table(path)), path, **written)
    assert found(world, folder, {"type": OURS}) == expected(world)


def retyped(column: str, *kinds: pa.DataType) -> Change:
    def change(table: pa.Table) -> pa.Table:
        values = table[column]
        for kind in kinds:
            values = values.cast(kind)
        return table.set_column(table.column_names.index(column), column, values)

    return change


def same(table: pa.Table) -> pa.Table:
    return table


def one_view(source: View, asked: Entities = ASKED, **options: Any) -> World:
    return World([source], asked, **options)


@pytest.mark.parametrize("life", [0, 5])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", None])
def test_rows_that_cannot_matter_are_left_out_in_any_zone(
    life: float, zone: str | None, tmp_path: Path
) -> None:
    many = [row("a", h / 100, h) for h in range(1000)]
    source = view(many, ttl=hours(life / 100), zone=zone)
    assert_right(one_view(source, ask(["a", "a", "b"], [2.005, 2.01, 2])), tmp_path)


def test_a_file_without_statistics_is_read(tmp_path: Path) -> None:
    assert_right(
        one_view(view(DAILY, ttl=hours(5)), ask(["a"], [24])), tmp_path, {0: same}, write_statistics=False
    )


@pytest.mark.parametrize("life", [0, 5])
def test_timestamps_as_96_bits_are_read(life: float, tmp_path: Path) -> None:
    world = one_view(view(DAILY, ttl=hours(life)), ask(["a", "a"], [24, 23]))
    assert_right(world, tmp_path, {0: same}, use_deprecated_int96_timestamps=True)


def test_timestamps_in_seconds_are_read(tmp_path: Path) -> None:
    changes = {0: retyped("event_timestamp", pa.timestamp("s", "UTC"))}
    assert_right(one_view(view(DAILY), ask(["a", "a"], [24, 23])), tmp_path, changes)


def test_dates_are_midnights_in_utc(tmp_path: Path) -> None:
    midnights = view([row("a", h - 12, h) for h in range(0, 96, 24)])
    changes = {0: retyped("event_timestamp", pa.timestamp("us"), pa.date32())}
    assert_right(one_view(midnights, ask(["a", "a"], [12, 11])), tmp_path, changes)


def test_files_of_one_source_may_differ_in_their_types(tmp_path: Path) -> None:
    changes = {
        0: retyped("event_timestamp", pa.timestamp("ns", "UTC")),
        1: retyped("event_timestamp", pa.timestamp("ms")),
        2: retyped("id", pa.large_string()),
        3: retyped("x", pa.int32()),
    }
    assert_right(one_view(SPLIT), tmp_path, changes)


def test_only_some_files_may_keep_text_as_a_dictionary(tmp_path: Path) -> None:
    words = retyped("id", pa.dictionary(pa.int32(), pa.string()))
    assert_right(one_view(SPLIT), tmp_path, {0: words, 2: words})


def test_files_may_have_their_columns_in_any_order(tmp_path: Path) -> None:
    changes = {1: lambda table: table.select(list(reversed(table.column_names)))}
    assert_right(one_view(SPLIT), tmp_path, changes)


@pytest.mark.parametrize("number", [0, 2])
def test_a_file_may_have_more_columns_than_the_others(number: int, tmp_path: Path) -> None:
    changes = {number: lambda table: table.append_column("more", pa.array([1] * table.num_rows))}
    assert_right(one_view(SPLIT), tmp_path, changes)


@pytest.mark.parametrize("by_then", [False, True])
@pytest.mark.parametrize("number", [0, 1])
def test_a_file_without_the_created_column_has_it_null(number: int, by_then: bool, tmp_path: Path) -> None:
    known, unknown = [row("a", 0, 1, created=3), row("b", 1, 3, created=2)], [row("a", 0, 2), row("b", 0, 4)]
    source = view(known + unknown if number else unknown + known, files=2, created=True)
    changes = {number: lambda table: table.drop_columns(["created"])}
    assert_right(one_view(source, ask(["a", "b"], [9, 9]), created_by_then=by_then), tmp_path, changes)


def test_a_moment_at_the_end_of_time_is_a_moment(tmp_path: Path) -> None:
    end = 253_402_300_799_999_999_000
    source = view([Row(("a",), end, values={"x": 1}), *DAILY])
    assert_right(
        one_view(source, Entities({"id": ["a", "a"], "row": [0, 1]}, [end, NOON], unit="us")), tmp_path
    )


@pytest.mark.parametrize("later", [0, 1])
def test_rows_older_than_nanoseconds_reach_stay_apart(later: int, tmp_path: Path) -> None:
    """Year 1000 is newer than year 1, also where a question has digits below the microsecond."""
    source = view(
        [
            Row(("a",), -30_610_224_000 * SECOND, values={"x": 1000}),
            Row(("a",), -62_135_596_800 * SECOND, values={"x": 1}),
        ]
    )
    assert_right(one_view(source, Entities({"id": ["a"], "row": [0]}, [NOON + later], unit="ns")), tmp_path)


def test_a_rewritten_source_is_read_anew(tmp_path: Path) -> None:
    asked = ask(["a"], [30])
    for values in (1, 2):
        assert_right(one_view(view([row("a", 0, values)]), asked), tmp_path)


def test_a_source_that_claims_an_order_it_has_not_is_not_believed(tmp_path: Path) -> None:
    source = view([row("b", 5, 2), row("a", 3, 1), row("b", 1, 4), row("a", 0, 3)])
    claimed = [pq.SortingColumn(0), pq.SortingColumn(1)]
    assert_right(one_view(source), tmp_path, {0: same}, sorting_columns=claimed)


def test_a_folder_is_a_source_of_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "pattern", property(lambda _: ""))
    assert_right(one_view(SPLIT), tmp_path)
