"""What a build reads is remembered with the hash of the bytes that it read, and nothing else is."""

import polars as pl
import pytest

from resources.lake.lake import Lake, LakeError
from resources.lake.observed import ObservedLake
from tests.lake_files import path_of


@pytest.fixture
def lake(tmp_path):
    lake = Lake(root=str(tmp_path))
    for week in ("2024-01-01", "2024-01-08"):
        lake.write("parcels/raw", pl.DataFrame({"week": [week]}), week)
    lake.write("depots", pl.DataFrame({"depot": ["north"]}))
    return lake


def test_the_partitions_that_were_read_are_named_with_their_hashes(lake):
    observed = ObservedLake(root=lake.root)
    assert observed.read("parcels/raw", ["2024-01-08"])["week"].to_list() == ["2024-01-08"]
    assert observed.was_read == {"parcels/raw@2024-01-08": lake.manifest("parcels/raw", "2024-01-08").sha256}
    observed.read("depots")
    assert observed.was_read["depots@all"] == lake.manifest("depots").sha256
    assert ObservedLake(root=lake.root).was_read == {}


def test_a_table_that_is_read_whole_stands_for_each_of_its_partitions_and_pushed_rows_count_if_they_are_read(
    lake,
):
    pl.DataFrame({"week": ["x"]}).write_parquet(path_of(lake, "parcels/raw", "pushed-1"))
    observed = ObservedLake(root=lake.root)
    observed.read("parcels/raw")
    assert set(observed.was_read) == {"parcels/raw@2024-01-01", "parcels/raw@2024-01-08"}
    observed.read("parcels/raw", pushed=True)
    assert set(observed.was_read) >= {"parcels/raw@pushed-1"}


def test_what_could_not_be_read_is_not_remembered(lake):
    observed = ObservedLake(root=lake.root)
    with pytest.raises(LakeError):
        observed.read("parcels/raw", ["2024-01-15"])
    assert observed.was_read == {}


def test_the_hash_is_that_of_the_bytes_whatever_the_manifest_says(lake):
    path = path_of(lake, "depots")
    path.write_bytes(path.read_bytes() + b" ")
    assert lake.hash("depots") != lake.manifest("depots").sha256


def test_a_manifest_keeps_what_its_partition_was_made_of(lake):
    frame, made_of = pl.DataFrame({"a": [1]}), {"depots@all": "f" * 64}
    assert lake.write("made", frame, made_of=made_of) == lake.manifest("made")
    assert lake.manifest("made").made_of == made_of
    assert lake.manifest("depots").made_of is None
