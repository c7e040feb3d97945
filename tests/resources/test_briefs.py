"""What is remembered of manifests is what they say, whatever was written, replaced or removed since."""

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.lake.briefs import briefs, hashes_of
from resources.lake.lake import Lake, LakeError
from resources.lake.names import file_name, manifest_name
from resources.storage.local import LocalStorage

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
STEPS = st.lists(st.tuples(st.sampled_from(DAYS), st.integers(0, 3) | st.none()), max_size=12)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_it_is_what_the_manifests_say(steps):
    """None removes a partition; a number is its content."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(root=folder)
        for day, content in steps:
            if content is None:
                lake.storage.delete(file_name("shop/orders", day))
                lake.storage.delete(manifest_name("shop/orders", day))
            else:
                lake.write("shop/orders", pl.DataFrame({"n": [content]}), day, notes={"n": content})
            there = {name: lake.manifest("shop/orders", name) for name in lake.partitions("shop/orders")}
            assert hashes_of(lake, "shop/orders") == {name: one.sha256 for name, one in there.items()}
            found = briefs(lake, "shop/orders")
            assert {name: one.notes for name, one in found.items()} == {n: m.notes for n, m in there.items()}


def test_a_manifest_is_read_again_only_where_it_was_written(tmp_path, monkeypatch):
    lake, read = Lake(root=str(tmp_path)), list[str]()
    for number, day in enumerate(DAYS):
        lake.write("shop/orders", pl.DataFrame({"n": [number]}), day)
    load = LocalStorage.load_or_none

    def watched(storage, name):
        read.append(name)
        return load(storage, name)

    monkeypatch.setattr(LocalStorage, "load_or_none", watched)
    first = hashes_of(lake, "shop/orders")
    assert sorted(read) == [manifest_name("shop/orders", day) for day in DAYS]
    assert hashes_of(lake, "shop/orders") == first
    assert len(read) == len(DAYS)
    monkeypatch.undo()
    lake.write("shop/orders", pl.DataFrame({"n": [7]}), DAYS[1])
    monkeypatch.setattr(LocalStorage, "load_or_none", watched)
    read.clear()
    again = hashes_of(lake, "shop/orders")
    assert read == [manifest_name("shop/orders", DAYS[1])]
    assert {day for day in DAYS if first[day] != again[day]} == {DAYS[1]}


def test_a_partition_without_a_manifest_is_told(tmp_path):
    lake = Lake(root=str(tmp_path))
    lake.write("shop/orders", pl.DataFrame({"n": [1]}), DAYS[0])
    Path(lake.storage.at(manifest_name("shop/orders", DAYS[0]))).unlink()
    with pytest.raises(LakeError, match="has no manifest for '2024-01-01': materialize it first"):
        hashes_of(lake, "shop/orders")
