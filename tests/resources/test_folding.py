"""However rows were pushed, and wherever folding is killed, joins answer as they did with the files as pushed."""

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.offline_store.asking import EntityRows, ViewRequest
from feature_repo.offline_store.files import Place
from feature_repo.offline_store.join import joined
from feature_repo.offline_store.sources import Source
from resources.features.pushed_rows import PushedRows
from resources.lake.lake import Lake
from resources.lake.names import PUSHED
from resources.lake.offline_rows import newest_event, offline_rows
from resources.lake.pushed_files import fold
from resources.storage.addresses import storage_at
from resources.storage.local import LocalStorage
from resources.storage.storage import Storage

START = datetime(2024, 1, 1, tzinfo=UTC)
UTC_TIME = pl.Datetime("us", "UTC")
TYPES = {
    "key": pl.Int64,
    "event_timestamp": UTC_TIME,
    "created": UTC_TIME,
    "x": pl.Float64,
    "note": pl.String,
}
HOUR = st.integers(0, 5)
LAST = START + timedelta(hours=9)

Row = tuple[int, int, int | None, float, str]
rows = st.tuples(
    st.integers(0, 2), HOUR, st.none() | HOUR, st.sampled_from([0.5, 1.5, 2.5]), st.sampled_from("ab")
)
batches = st.lists(st.lists(rows, min_size=1, max_size=5), max_size=6)


class Killed(BaseException):
    """What ends a process without a word."""


def frame(several: Sequence[Row]) -> pl.DataFrame:
    """Rows as a push sorts them; hours count from START."""
    hours = [
        (k, START + h * timedelta(hours=1), None if c is None else START + c * timedelta(hours=1), x, n)
        for k, h, c, x, n in several
    ]
    return pl.DataFrame(hours, schema=TYPES, orient="row").sort(
        "key", "event_timestamp", "created", maintain_order=True
    )


def pushed(
    folder: Path, pushes: Sequence[Sequence[Row]], without_created: Sequence[Sequence[Row]] = ()
) -> None:
    """A week's file and one for each push, of which some lack `created`."""
    folder.mkdir()
    frame([(0, 2, None, 9.5, "week"), (1, 0, None, 9.5, "week")]).write_parquet(folder / "2024-01-01.parquet")
    for number, push in enumerate([*pushes, *without_created]):
        table = frame(push) if number < len(pushes) else frame(push).drop("created")
        first = min(table["event_timestamp"])
        table.write_parquet(folder / f"{PUSHED}{first:%Y%m%dT%H%M%S}-{number * 7 % 13}.parquet")


def answers(folder: Path) -> list[dict[str, Any]]:
    """What the offline store says about every key at every hour, by both ways to treat `created`."""
    source = Source(
        "v", Place(f"{folder}/*.parquet"), "event_timestamp", "created", ("key",), ("x", "note"), {}
    )
    asked = pl.DataFrame({"key": [0, 1, 2] * 9}).with_columns(
        event_timestamp=pl.Series([START + (n // 3) * timedelta(hours=1) for n in range(27)], dtype=UTC_TIME)
    )
    entities = EntityRows(asked.to_arrow(), "event_timestamp")
    request = ViewRequest("v", source, ("key",), {"x": "x", "note": "note"}, None)
    return [joined(entities, [request], only_known).to_pydict() for only_known in (False, True)]


def pushed_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PUSHED}*.parquet"))


@settings(max_examples=50)
@given(pushes=batches, without=batches)
def test_joins_answer_alike_before_and_after(pushes, without, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("lake") / "v"
    pushed(folder, pushes, without)
    before, files = answers(folder), pushed_files(folder)
    left = fold(storage_at(folder), ["key"])
    assert answers(folder) == before
    assert left == len(pushed_files(folder)) == min(len(files), 1)


@settings(max_examples=40)
@given(
    pushes=st.lists(st.lists(rows, min_size=1, max_size=5), min_size=2, max_size=5), step=st.integers(0, 5)
)
def test_wherever_it_is_killed_joins_answer_alike_and_the_next_one_ends_it(
    pushes, step, tmp_path_factory
) -> None:
    folder = tmp_path_factory.mktemp("lake") / "v"
    pushed(folder, pushes)
    before, every = answers(folder), rows_of(folder).unique().height
    killed_at(folder, step)
    assert answers(folder) == before
    assert fold(storage_at(folder), ["key"]) == 1
    assert answers(folder) == before
    assert rows_of(folder).height == every


def killed_at(folder: Path, step: int) -> None:
    """Fold until the process dies: at step 0 before the new file has its name, else before a file is taken away."""
    left = [step]

    def dies(do: Any) -> Any:
        def or_not(*given: Any, **named: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return do(*given, **named)

        return or_not

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", dies(Path.replace))
        patch.setattr(Path, "unlink", dies(Path.unlink))
        try:
            fold(storage_at(folder), ["key"])
        except Killed:
            return


def rows_of(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in pushed_files(folder)])


def test_taking_the_newest_file_away_first_would_be_seen(tmp_path: Path) -> None:
    pushed(tmp_path / "v", [[(0, 1, 1, x, "a")] for x in (0.5, 1.5)])
    before = answers(tmp_path / "v")
    first, last = pushed_files(tmp_path / "v")
    folded = rows_of(tmp_path / "v")
    folded.write_parquet(first.with_name(f"{PUSHED}20240101T000000-0.parquet"))
    last.unlink()
    assert answers(tmp_path / "v") != before


def test_few_files_are_left_alone_and_so_is_a_table_without_any(tmp_path: Path) -> None:
    pushed(tmp_path / "v", [[(0, h, h, 0.5, "a")] for h in range(4)])
    files = pushed_files(tmp_path / "v")
    assert fold(storage_at(tmp_path / "v"), ["key"], above=4) == 4
    assert pushed_files(tmp_path / "v") == files
    assert fold(storage_at(tmp_path / "v"), ["key"], above=3) == 1
    assert fold(storage_at(tmp_path / "nothing"), ["key"]) == 0
    assert not (tmp_path / "nothing").exists()


def test_the_folded_file_is_sorted_and_folding_again_changes_nothing(tmp_path: Path) -> None:
    pushed(tmp_path / "v", [[(2 - h % 3, h, 5 - h, 0.5, "a")] for h in range(6)])
    fold(storage_at(tmp_path / "v"), ["key"])
    (one,) = pushed_files(tmp_path / "v")
    table, content = pl.read_parquet(one), one.read_bytes()
    assert table.equals(table.sort("key", "event_timestamp", "created"))
    shutil.copy(one, one.with_name(f"{PUSHED}copy.parquet"))
    assert fold(storage_at(tmp_path / "v"), ["key"]) == 1
    assert [path.read_bytes() for path in pushed_files(tmp_path / "v")] == [content]


READERS: dict[str, Callable[[Path], Any]] = {
    "rows with when they were written": lambda folder: (
        offline_rows(storage_at(folder), ["key"], pl.DataFrame({"key": [0]}), LAST)["created"]
        .sort()
        .to_list()
    ),
    "the newest event": lambda folder: newest_event(storage_at(folder)),
    "whether a row was pushed": lambda folder: PushedRows(storage_at(folder), ["key"]).has(ASKED).to_list(),
    "the table": lambda folder: Lake(root=str(folder.parent)).read("v", pushed=True)["x"].sort().to_list(),
}
ASKED = frame([(0, 3, 3, 3.0, "a"), (0, 3, 3, 2.0, "a")]).drop("created")


@pytest.mark.parametrize("what", READERS)
def test_whoever_lists_files_just_before_they_are_folded_reads_again(what, tmp_path, monkeypatch) -> None:
    folder, read = tmp_path / "v", READERS[what]
    pushed(folder, [[(0, h, h, float(h), "a")] for h in range(4)])
    expected = read(folder)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "names", listed_then_folded(LocalStorage.names))
        assert read(folder) == expected
    assert len(pushed_files(folder)) == 1
    assert read(folder) == expected


def listed_then_folded(names: Any) -> Any:
    """A listing of files after which, the first time, they are folded."""
    done: list[Storage] = []

    def listing(folder: LocalStorage, *arguments: Any, **named: Any) -> list[str]:
        listed = names(folder, *arguments, **named)
        if not done:
            done.append(folder)
            fold(folder, ["key"])
        return listed

    return listing
