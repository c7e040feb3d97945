"""Sources on s3:// are answered as local ones, and what is written there comes back."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs
import pytest
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

from tests.feature_repo.offline_oracle.cases import ask, row, view
from tests.feature_repo.offline_oracle.outcome import Failed, expected, found, lines, mismatches
from tests.feature_repo.offline_oracle.timelines import settings, world_of
from tests.feature_repo.offline_oracle.world import (
    OURS,
    View,
    World,
    job_of,
    source_table,
    store_over,
    write_source,
)

BUCKET = "lake"
AB = [row("a", 0, 1), row("b", 0, 2), row("a", 10, 3), row("b", 10, 4)]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that speaks S3 on a free port of this machine, with an empty bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        filesystem(f"http://{host}:{port}").create_dir(BUCKET)
        yield f"http://{host}:{port}"
    server.stop()


def filesystem(endpoint: str) -> pyarrow.fs.S3FileSystem:
    return pyarrow.fs.S3FileSystem(endpoint_override=endpoint, allow_bucket_creation=True)


def uploaded(views: list[View], folder: Path, endpoint: str) -> str:
    """The views' files on S3; returns their root."""
    for one in views:
        write_source(one, folder)
        pyarrow.fs.copy_files(
            str(folder / one.name),
            f"{BUCKET}/{folder.name}/{one.name}",
            destination_filesystem=filesystem(endpoint),
        )
    return f"s3://{BUCKET}/{folder.name}"


@pytest.mark.parametrize("setting", settings(40)[1::5], ids=lambda setting: f"world-{setting.seed}")
def test_generated_timelines_on_s3_are_answered_as_by_the_oracle(
    setting, tmp_path: Path, endpoint: str
) -> None:
    world = world_of(setting)
    root = uploaded(world.views, tmp_path, endpoint)
    assert mismatches(world, found(world, tmp_path, {"type": OURS}, root=root, endpoint=endpoint)) == []


def test_the_endpoint_may_come_from_the_environment(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    world = World([view(AB, files=3)], ask(["b", "a"], [12, 5]))
    root = uploaded(world.views, tmp_path, endpoint)
    assert found(world, tmp_path, {"type": OURS}, root=root) == expected(world)


def test_pushed_rows_on_s3_are_joined_beside_those_there(tmp_path: Path, endpoint: str) -> None:
    world = World([view(AB, files=2)], ask(["a", "a"], [12, 30]))
    root = uploaded(world.views, tmp_path, endpoint)
    store = store_over(world, tmp_path, {"type": OURS}, root, endpoint)
    new = row("a", 20, 9)
    store.write_to_offline_store("v", source_table(view([new])).to_pandas())
    after = World([view([*AB, new], files=2)], world.entities)
    assert lines(job_of(after, store).to_arrow()) == expected(after)


def test_a_data_set_saved_on_s3_comes_back(tmp_path: Path, endpoint: str) -> None:
    world = World([view(AB)], ask(["a", "b"], [12, 5]))
    store = store_over(world, tmp_path, {"type": OURS}, uploaded(world.views, tmp_path, endpoint), endpoint)
    path = f"s3://{BUCKET}/{tmp_path.name}/saved.parquet"
    storage = SavedDatasetFileStorage(path, s3_endpoint_override=endpoint)
    store.create_saved_dataset(job_of(world, store), "saved", storage)
    kept = store.get_saved_dataset("saved").to_df()
    assert sorted(kept["x"]) == sorted(line["x"] for line in expected(world))


def test_an_object_that_is_not_there_is_named(tmp_path: Path, endpoint: str) -> None:
    world = World([view(AB)], ask(["a"], [5]))
    got = found(world, tmp_path, {"type": OURS}, root=f"s3://{BUCKET}/nowhere", endpoint=endpoint)
    assert isinstance(got, Failed)
    assert "'v'" in got.message and f"s3://{BUCKET}/nowhere/v/part-000.parquet" in got.message
