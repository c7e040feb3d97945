"""What Feast writes through the store comes back, once, and an interrupted write changes nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore, PushSource
from feast.data_source import PushMode
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import FeatureServiceLoggingSource, LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage

from tests.feature_repo.offline_oracle.cases import ask, row, view
from tests.feature_repo.offline_oracle.oracle import Row
from tests.feature_repo.offline_oracle.outcome import expected, lines
from tests.feature_repo.offline_oracle.world import (
    OURS,
    View,
    World,
    feature_view,
    job_of,
    source_table,
    store_over,
    write_source,
)

pytestmark = pytest.mark.filterwarnings("ignore")
ROWS = [
    row("a", 0, 1, created=1),
    row("b", 0, 2, created=1),
    row("a", 10, 3, created=11),
    row("b", 10, 4, created=11),
]
ASKED = ask(["a", "b", "a"], [12, 12, 30])


def versioned(rows: list[Row], files: int = 2) -> View:
    return view(rows, created=True, files=files)


def store_with(rows: list[Row], folder: Path, files: int = 2) -> FeatureStore:
    source = versioned(rows, files)
    write_source(source, folder)
    return store_over(World([source], ASKED), folder, {"type": OURS})


def frame_of(rows: list[Row]) -> pd.DataFrame:
    return source_table(versioned(rows)).to_pandas()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_joined(store: FeatureStore, rows: list[Row]) -> None:
    world = World([versioned(rows)], ASKED)
    assert lines(job_of(world, store).to_arrow()) == expected(world)


@pytest.mark.parametrize("count", [1, 2])
def test_rows_written_to_a_view_are_joined_beside_those_there(count: int, tmp_path: Path) -> None:
    store, new = store_with(ROWS, tmp_path, count), [row("a", 20, 5, created=20), row("c", 1, 6, created=1)]
    store.write_to_offline_store("v", frame_of(new))
    assert_joined(store, ROWS + new)


def test_writing_never_touches_the_files_that_are_there(tmp_path: Path) -> None:
    store = store_with(ROWS, tmp_path)
    before = files(tmp_path / "v")
    store.write_to_offline_store("v", frame_of([row("a", 20, 5, created=20)]))
    after = files(tmp_path / "v")
    assert before.items() <= after.items()
    (new,) = after.keys() - before.keys()
    assert new.startswith("pushed-20240302T080000-") and new.endswith(".parquet")


def test_the_same_rows_written_twice_are_there_once(tmp_path: Path) -> None:
    store = store_with(ROWS, tmp_path)
    for _ in range(2):
        store.write_to_offline_store("v", frame_of([row("a", 20, 5, created=20)]))
    assert len(files(tmp_path / "v")) == 3


def test_a_correction_that_is_written_wins_by_its_created_timestamp(tmp_path: Path) -> None:
    store = store_with(ROWS, tmp_path)
    corrections = [row("a", 10, 30, created=40), row("b", 10, 40, created=2)]
    store.write_to_offline_store("v", frame_of(corrections))
    assert_joined(store, ROWS + corrections)


def test_a_late_row_that_is_written_takes_its_place_in_time(tmp_path: Path) -> None:
    store = store_with(ROWS, tmp_path)
    late = [row("a", 11, 7, created=50), row("b", 9, 8, created=50)]
    store.write_to_offline_store("v", frame_of(late))
    assert_joined(store, ROWS + late)


def test_a_push_to_the_offline_store_is_joined(tmp_path: Path) -> None:
    store = store_with(ROWS, tmp_path)
    batch = feature_view(versioned(ROWS), str(tmp_path))
    batch.stream_source = PushSource(name="events", batch_source=batch.batch_source)
    store.apply([batch.stream_source, batch])
    new = [row("a", 20, 5, created=21)]
    store.push("events", frame_of(new), to=PushMode.OFFLINE)
    assert_joined(store, ROWS + new)


@pytest.mark.parametrize("count", [1, 2])
def test_an_interrupted_write_leaves_the_source_as_it_was(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(ROWS, tmp_path, count)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", interrupted)
        patch.setattr("os.replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.write_to_offline_store("v", frame_of([row("a", 20, 5, created=20)]))
    assert_joined(store, ROWS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda frame: frame.drop(columns="x"), "x"),
        (lambda frame: frame.assign(more=1), "more"),
        (lambda frame: frame.assign(x="many"), "x"),
        (lambda frame: frame.assign(event_timestamp=pd.NaT), "event_timestamp"),
        (lambda frame: frame.assign(event_timestamp="yesterday"), "event_timestamp"),
    ],
    ids=["missing column", "unknown column", "wrong type", "no timestamp", "text for a timestamp"],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_written(change, told: str, tmp_path: Path) -> None:
    store = store_with(ROWS, tmp_path)
    before = files(tmp_path / "v")
    with pytest.raises(ValueError, match=told):
        store.write_to_offline_store("v", change(frame_of([row("a", 20, 5, created=20)])))
    assert files(tmp_path / "v") == before


@pytest.mark.parametrize("name", ["saved.parquet", "saved"])
def test_a_saved_data_set_comes_back_as_it_was_asked(name: str, tmp_path: Path) -> None:
    store = store_with(ROWS, tmp_path)
    world = World([versioned(ROWS)], ASKED)
    store.create_saved_dataset(job_of(world, store), "kept", SavedDatasetFileStorage(str(tmp_path / name)))
    kept = lines(store.get_saved_dataset("kept").to_arrow())
    names = ("id", "event_timestamp", "x")
    assert [[line[n] for n in names] for line in kept] == [
        [line[n] for n in names] for line in expected(world)
    ]


@pytest.mark.parametrize("name", ["saved.parquet", "saved"])
def test_a_saved_data_set_is_replaced_only_where_that_is_allowed(name: str, tmp_path: Path) -> None:
    store, storage = store_with(ROWS, tmp_path), SavedDatasetFileStorage(str(tmp_path / name))
    first, second = (World([versioned(ROWS)], ask(["a"], [hour])) for hour in (5, 12))
    store.create_saved_dataset(job_of(first, store), "kept", storage)
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        store.create_saved_dataset(job_of(second, store), "kept", storage)
    assert list(pd.read_parquet(tmp_path / name)["x"]) == [1]
    store.create_saved_dataset(job_of(second, store), "kept", storage, allow_overwrite=True)
    assert list(pd.read_parquet(tmp_path / name)["x"]) == [3]


def logged_service(
    store: FeatureStore, folder: Path, partition_by: list[str] | None = None
) -> FeatureService:
    destination = FileLoggingDestination(path=str(folder / "logs"), partition_by=partition_by)
    logged = store.get_feature_view("v")
    service = FeatureService(name="logged", features=[logged], logging_config=LoggingConfig(destination))
    store.apply(service)
    return service


def logs(service: FeatureService, store: FeatureStore, days: list[int]) -> pa.Table:
    """One logged request a day."""
    schema = FeatureServiceLoggingSource(service, store.project).get_schema(store.registry)
    moments = [datetime(2024, 3, day, 12, tzinfo=UTC) for day in days]
    values = {
        "id": ["a"] * len(days),
        "v__x": days,
        "v__x__timestamp": moments,
        "v__x__status": [2] * len(days),
        "__log_timestamp": moments,
        "__log_date": [moment.date() for moment in moments],
        "__request_id": [f"request-{day}" for day in days],
    }
    return pa.table({name: pa.array(values[name], schema.field(name).type) for name in schema.names})


@pytest.mark.parametrize("partition_by", [None, ["__log_date"]])
@pytest.mark.parametrize("as_file", [False, True])
def test_logged_features_come_back(partition_by: list[str] | None, as_file: bool, tmp_path: Path) -> None:
    store = store_with(ROWS, tmp_path)
    service = logged_service(store, tmp_path, partition_by)
    for days in ([1, 2, 3], [4, 5]):
        table = logs(service, store, days)
        pq.write_table(table, tmp_path / "chunk.parquet")
        store.write_logged_features(tmp_path / "chunk.parquet" if as_file else table, service)
    start = datetime(2024, 3, 2, 12, tzinfo=UTC)
    back = store._get_provider().retrieve_feature_service_logs(
        service, start, start + timedelta(days=2), store.config, store.registry
    )
    assert sorted(back.to_df()["__request_id"]) == ["request-2", "request-3", "request-4"]


def test_logs_without_a_column_of_the_service_are_refused_and_not_written(tmp_path: Path) -> None:
    store = store_with(ROWS, tmp_path)
    service = logged_service(store, tmp_path)
    with pytest.raises(ValueError, match="v__x__status"):
        store.write_logged_features(logs(service, store, [1]).drop_columns(["v__x__status"]), service)
    assert not (tmp_path / "logs").exists()
