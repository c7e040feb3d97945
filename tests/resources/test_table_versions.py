"""What a source partition held before is kept under its hash, in a folder and in a bucket, and found by it."""

import io
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.lake.lake import Lake
from resources.lake.names import file_name, kept_name
from resources.lake.versions import (
    VersionError,
    digest_of,
    kept_versions,
    made_of_now,
    read_version,
    remove_version,
    version_named,
    versions,
)
from resources.settings import PROJECT_ROOT
from tests import s3

RAW, WEEK = "flights/raw", "2013-01-07"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3.served():
        yield f"s3://{s3.BUCKET}"


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "folder":
        return Lake(root=str(tmp_path))
    return Lake(root=f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def rows(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"k": list(range(len(values))), "v": list(values)})


def ingest(lake: Lake, *values: int, partition: str | None = WEEK) -> str:
    return lake.write(RAW, rows(*values), partition, ["k"], keep=True).sha256


def test_replaced_rows_are_read_again_by_their_hash_and_are_no_partition(lake):
    old, middle, new = ingest(lake, 1), ingest(lake, 1, 2), ingest(lake, 3)
    assert lake.partitions(RAW) == [WEEK] and lake.hash(RAW, WEEK) == new
    there = versions(lake.storage, RAW)
    assert {v.sha256: (v.rows, v.current) for v in there} == {
        old: (1, False),
        middle: (2, False),
        new: (1, True),
    }
    assert [v.sha256 for v in there if not v.current] in ([old, middle], [middle, old])
    for version in there:
        assert digest_of(read_version(lake.storage, version)) == version.sha256
    content = read_version(lake.storage, version_named(lake.storage, RAW, middle[:12]))
    assert pl.read_parquet(io.BytesIO(content)).equals(rows(1, 2))


def test_a_whole_table_has_versions_too_and_its_first_time_is_when_it_was_written(lake):
    before = datetime.now(UTC).replace(microsecond=0)
    old = ingest(lake, 1, partition=None)
    written = lake.storage.changed(file_name(RAW))
    ingest(lake, 2, partition=None)
    (version,) = kept_versions(lake.storage, RAW)
    assert (version.sha256, version.partition, version.written) == (old, "all", written)
    assert before <= version.written


def test_another_lake_takes_a_partition_as_it_was_with_the_manifest_of_then(lake, tmp_path):
    old, new = ingest(lake, 1, 2), ingest(lake, 3)
    other = Lake(root=str(tmp_path / "other"))
    assert other.take_version(lake, RAW, WEEK, old)
    assert other.holds(RAW, WEEK, old) and other.manifest(RAW, WEEK).rows == 2
    assert other.take_version(lake, RAW, WEEK, new) and other.holds(RAW, WEEK, new)
    assert not other.take_version(lake, RAW, WEEK, "0" * 64) and other.holds(RAW, WEEK, new)


def test_what_is_made_of_other_partitions_is_not_kept_and_neither_is_the_same_content(lake):
    for value in (1, 2):
        lake.write("features/x", rows(value), WEEK, made_of={f"{RAW}@{WEEK}": "a"}, keep=True)
    ingest(lake, 1)
    ingest(lake, 1)
    lake.write("model/drift", rows(1), WEEK)
    lake.write("model/drift", rows(2), WEEK)
    assert kept_versions(lake.storage) == []
    assert set(made_of_now(lake.storage)) == {(RAW, WEEK, "a")}


def test_content_whose_manifest_was_not_written_any_more_is_kept_all_the_same(lake):
    first = ingest(lake, 1)
    buffer = io.BytesIO()
    rows(2).write_parquet(buffer)
    lake.storage.write(file_name(RAW, WEEK), buffer.getvalue())
    ingest(lake, 3)
    (version,) = kept_versions(lake.storage, RAW)
    assert (version.sha256, version.rows) == (digest_of(buffer.getvalue()), None) != (first, 1)


def test_kept_content_that_was_spoiled_is_refused_and_written_again_when_it_is_replaced_again(lake):
    old = ingest(lake, 1)
    ingest(lake, 2)
    lake.storage.write(kept_name(RAW, WEEK, old), b"other bytes")
    (version,) = kept_versions(lake.storage, RAW)
    with pytest.raises(VersionError, match="not what its hash says"):
        read_version(lake.storage, version)
    ingest(lake, 1)
    ingest(lake, 2)
    assert digest_of(lake.storage.read(kept_name(RAW, WEEK, old))) == old


def test_a_version_is_named_by_the_beginning_of_its_hash_if_that_is_enough(lake):
    old = ingest(lake, 1)
    for start, told in ((old[:3], "too short"), ("zzzz", "names none of its versions")):
        with pytest.raises(VersionError, match=told):
            version_named(lake.storage, RAW, start)
    with pytest.raises(VersionError, match="table 'planes' has no version; tables are: flights/raw"):
        versions(lake.storage, "planes")


def test_a_version_that_is_half_removed_is_still_listed_and_can_be_removed_again(lake):
    old = ingest(lake, 1)
    ingest(lake, 2)
    (version,) = kept_versions(lake.storage)
    lake.storage.delete(kept_name(RAW, WEEK, old, ".json"))
    (again,) = kept_versions(lake.storage)
    assert again.key == version.key
    remove_version(lake.storage, again)
    assert kept_versions(lake.storage) == [] and lake.storage.names(f"{RAW}/_kept", deep=True) == []


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3)), min_size=1, max_size=12))
@settings(max_examples=25)
def test_whatever_was_ever_written_is_found_by_its_hash(writes):
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(root=folder)
        hashes = {(p, v): ingest(lake, v, partition=p) for p, v in writes}
        there = {v.key for v in versions(lake.storage, RAW)}
        assert there == {(RAW, partition, sha256) for (partition, _), sha256 in hashes.items()}
        assert len(versions(lake.storage, RAW)) == len(there)


WRITER = """
import os, signal, sys
import polars as pl
from resources.lake.lake import Lake
from resources.storage import durable

root, changes, *values = sys.argv[1:]
left = iter(range(int(changes)))

def dying(change):
    def act(*given, **named):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return change(*given, **named)
    return act

durable.write_bytes, durable.link = dying(durable.write_bytes), dying(durable.link)
for value in values:
    frame = pl.DataFrame({"k": [0], "v": [int(value)]})
    Lake(root=root).write("flights/raw", frame, "2013-01-07", ["k"], keep=True)
"""
"""A process that writes one partition again and again, and is killed before one of its changes to the disk."""


def writer(lake: Lake, changes: int, *values: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, lake.root, str(changes), *map(str, values)], cwd=PROJECT_ROOT
    )


def test_a_process_that_is_killed_anywhere_while_it_replaces_a_partition_loses_no_rows(tmp_path):
    changes, killed = 0, True
    while killed:
        lake = Lake(root=str(tmp_path / str(changes)))
        old = ingest(lake, 1)
        status = writer(lake, changes, 2).wait()
        assert status in (0, -signal.SIGKILL)
        known = {version.sha256 for version in versions(lake.storage, RAW)}
        assert old in known
        ingest(lake, 3)
        assert known <= {version.sha256 for version in versions(lake.storage, RAW)}
        changes, killed = changes + 1, status != 0
    assert changes == len(["link", "record", "content", "manifest"]) + 1


def test_writers_of_one_partition_at_once_lose_nothing_of_each_other(tmp_path):
    lake = Lake(root=str(tmp_path))
    ingest(lake, 0)
    writers = [writer(lake, 1_000, *range(12)[first::3]) for first in range(3)]
    assert [process.wait() for process in writers] == [0, 0, 0]
    apart = Lake(root=str(tmp_path / "apart"))
    assert {version.sha256 for version in versions(lake.storage, RAW)} == {
        ingest(apart, value) for value in range(12)
    }
