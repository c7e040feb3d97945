"""The lake keeps either the old partition or the new one, and says what changed."""

import os

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lake import Lake, LakeError, rows_changed, sweep


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path))


def test_the_same_frame_gives_the_same_bytes(lake):
    frame = pl.DataFrame({"k": [1, 2], "v": ["a", None]})
    assert lake.write("t", frame, "one").sha256 == lake.write("t", frame, "two").sha256


def test_partitions_are_read_in_the_order_asked(lake):
    for week in ("2013-01-07", "2012-12-31"):
        lake.write("t", pl.DataFrame({"week": [week]}), week)
    assert lake.read("t", ["2013-01-07", "2012-12-31"])["week"].to_list() == ["2013-01-07", "2012-12-31"]
    assert lake.partitions("t") == ["2012-12-31", "2013-01-07"]


def test_a_missing_partition_is_named_with_those_that_exist(lake):
    lake.write("t", pl.DataFrame({"k": [1]}), "2013-01-07")
    with pytest.raises(LakeError, match="'t' has no partition 2013-01-14; there are: 2013-01-07"):
        lake.read("t", ["2013-01-14"])


def test_a_write_that_fails_leaves_the_old_content(lake, monkeypatch):
    lake.write("t", pl.DataFrame({"k": [1]}), "w", keys=["k"])

    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    with pytest.raises(OSError):
        lake.write("t", pl.DataFrame({"k": [2]}), "w", keys=["k"])
    assert lake.read("t", ["w"])["k"].to_list() == [1]
    assert lake.manifest("t", "w").rows == 1


rows = st.dictionaries(st.integers(0, 20), st.none() | st.integers(0, 3), max_size=12)


@given(old=rows, new=rows)
def test_rows_changed_counts_added_removed_and_altered_rows(old, new):
    def frame(content):
        return pl.DataFrame(
            {"k": list(content), "v": list(content.values())}, schema={"k": pl.Int64, "v": pl.Int64}
        )

    missing = object()
    expected = sum(old.get(k, missing) != new.get(k, missing) for k in old.keys() | new.keys())
    assert rows_changed(frame(old), frame(new), ["k"]) == expected


def test_records_survive_as_they_were_written(lake):
    digest = lake.write_json("flight_delay/evaluations/2013-03-04", {"promote": True})
    assert lake.read_json("flight_delay/evaluations/2013-03-04") == {"promote": True}
    assert lake.records("flight_delay/evaluations") == ["2013-03-04"]
    assert len(digest) == 64


def test_what_a_killed_process_left_is_removed_and_a_living_one_keeps_its_own(tmp_path):
    (tmp_path / "t").mkdir()
    dead, alive = tmp_path / "t" / ".w.parquet.99999999.tmp", tmp_path / "t" / f".w.parquet.{os.getpid()}.tmp"
    for path in (dead, alive):
        path.write_text("half a file")
    assert sweep(tmp_path) == 1
    assert alive.exists()
    assert not dead.exists()
