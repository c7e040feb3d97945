"""A power cut after a write takes nothing of it: what is on disk is flushed before anybody is told of it."""

from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
import pytest

from resources.audit.log import Audit
from resources.lake.lake import Lake
from tests.disk import Disk
from tests.lake_files import path_of


@pytest.fixture
def disk(monkeypatch) -> Disk:
    return Disk(monkeypatch)


def test_an_entry_of_the_audit_log_is_on_disk_before_anybody_is_told_so(disk, tmp_path):
    audit = Audit(folder=str(tmp_path / "audit"))
    for number in range(3):
        audit.record(
            "trained",
            "pumps",
            identity={"number": number},
            by="anna",
            why="more data",
            moment=datetime(2024, 1, 1, tzinfo=UTC),
            evidence={},
        )
        assert disk.lost(tmp_path / "audit") == []
        assert disk.has_names(tmp_path / "audit")


def test_what_the_lake_holds_is_on_disk_before_it_has_its_name(disk, tmp_path):
    lake, inodes = Lake(root=str(tmp_path)), []
    for number in range(3):
        lake.write("t", pl.DataFrame({"k": [number]}), "w", notes={"n": number})
        lake.write_json("record", {"n": number})
        assert disk.lost(tmp_path) == []
        inodes.append([path.stat().st_ino for path in (path_of(lake, "t", "w"), tmp_path / "record.json")])
    for before, after in pairwise(inodes):
        assert set(before).isdisjoint(after), "nothing is written over what is there"
