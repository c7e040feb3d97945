"""A source that cannot be read as the view says is refused with its file, its column and the view."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

from tests.feature_repo.offline_oracle.cases import ask, row, view
from tests.feature_repo.offline_oracle.outcome import Failed, found
from tests.feature_repo.offline_oracle.world import OURS, World, job_of, store_over, write_source

WORLD = World(
    [view([row("a", 0, 1, created=1), row("b", 1, 2, created=2)], created=True, files=2)],
    ask(["a", "b"], [5, 5]),
)
BAD = "part-001.parquet"
Spoil = Callable[[Path], object]


def rewritten(change: Callable[[pa.Table], pa.Table]) -> Spoil:
    return lambda path: pq.write_table(change(pq.read_table(path)), path)


def column(name: str, values: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, values)


SPOILT: dict[str, tuple[Spoil, str]] = {
    "no event timestamp": (
        rewritten(lambda table: table.drop_columns(["event_timestamp"])),
        "event_timestamp",
    ),
    "event timestamp as text": (rewritten(column("event_timestamp", pa.array(["noon"]))), "event_timestamp"),
    "event timestamp as a number": (rewritten(column("event_timestamp", pa.array([12]))), "event_timestamp"),
    "created timestamp as text": (rewritten(column("created", pa.array(["noon"]))), "created"),
    "no such feature": (rewritten(lambda table: table.drop_columns(["x"])), "'x'"),
    "no such key": (rewritten(lambda table: table.drop_columns(["id"])), "'id'"),
    "a feature of another type": (rewritten(column("x", pa.array(["many"]))), "'x'"),
    "a key of another type": (rewritten(column("id", pa.array([7]))), "id"),
    "not parquet at all": (lambda path: path.write_text("id,x\na,1\n"), BAD),
    "empty": (lambda path: path.write_bytes(b""), BAD),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-20]), BAD),
    "damaged inside": (lambda path: path.write_bytes(damaged(path.read_bytes())), BAD),
}


def damaged(content: bytes) -> bytes:
    """The file with its pages overwritten and its footer whole."""
    footer = int.from_bytes(content[-8:-4], "little") + 8
    return content[:4] + b"\xff" * (len(content) - footer - 4) + content[-footer:]


@pytest.mark.parametrize("name", SPOILT)
def test_the_error_names_file_column_and_view_and_nothing_is_saved(name: str, tmp_path: Path) -> None:
    spoil, told = SPOILT[name]
    for one in WORLD.views:
        write_source(one, tmp_path)
    spoil(tmp_path / "v" / BAD)
    got = found(WORLD, tmp_path, {"type": OURS})
    assert isinstance(got, Failed)
    assert "'v'" in got.message and told in got.message and BAD in got.message
    storage, saved = SavedDatasetFileStorage(str(tmp_path / "saved.parquet")), tmp_path / "saved.parquet"
    store = store_over(WORLD, tmp_path, {"type": OURS})
    with pytest.raises(ValueError, match="'v'"):
        store.create_saved_dataset(job_of(WORLD, store), "saved", storage)
    assert not saved.exists()


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    got = found(WORLD, tmp_path, {"type": OURS})
    assert isinstance(got, Failed)
    assert "'v'" in got.message and str(tmp_path / "v") in got.message


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (ask(["a"], [5], {"x": [1]}), "x"),
        (ask([1], [5]), "id"),
    ],
    ids=["a column named like a feature", "a key of another type"],
)
def test_entity_rows_that_do_not_fit_are_refused(asked, told: str, tmp_path: Path) -> None:
    for one in WORLD.views:
        write_source(one, tmp_path)
    got = found(World(WORLD.views, asked), tmp_path, {"type": OURS})
    assert isinstance(got, Failed)
    assert "'v'" in got.message and told in got.message


def test_entity_rows_without_a_join_key_are_refused(tmp_path: Path) -> None:
    for one in WORLD.views:
        write_source(one, tmp_path)
    store = store_over(WORLD, tmp_path, {"type": OURS})
    with pytest.raises(ValueError, match="lack id"):
        store.get_historical_features(
            entity_df=WORLD.entities.frame().drop(columns="id"), features=["v:x"]
        ).to_df()
