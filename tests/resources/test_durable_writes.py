"""A power cut after a write takes nothing of it: what is on disk is flushed before anybody is told of it."""

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_repo.offline_store.files import Place
from feature_repo.offline_store.writes import write_bytes
from resources.audit.log import Audit
from resources.lake.lake import Lake


class Disk:
    """What would outlive a power cut: the size at which each file was flushed, and when each folder was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = 0
        self.flushed: dict[int, tuple[int, int]] = {}
        self.named: dict[int, int] = {}
        self.early: list[str] = []
        flush, rename = os.fsync, os.replace

        def fsync(handle):
            flush(handle)
            self.steps += 1
            stat = os.fstat(handle)
            self.flushed[stat.st_ino] = stat.st_size, self.steps

        def replace(source, target, **options):
            self.steps += 1
            if not self.has(Path(source)):
                self.early.append(Path(target).name)
            rename(source, target, **options)
            self.named[Path(target).parent.stat().st_ino] = self.steps

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)

    def has(self, file: Path) -> bool:
        """Whether all that a file holds was flushed."""
        stat = file.stat()
        return self.flushed.get(stat.st_ino, (None, 0))[0] == stat.st_size

    def lost(self, folder: Path) -> list[str]:
        """Files that hold something which was not flushed, or that had it only after they had their name."""
        files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
        assert files
        return sorted({*self.early, *(path.name for path in files if not self.has(path))})

    def has_names(self, folder: Path) -> bool:
        """Whether a folder was flushed after the last file in it got its name."""
        number = folder.stat().st_ino
        return self.flushed.get(number, (0, 0))[1] > self.named[number]


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
    lake, inodes = Lake(root=str(tmp_path)), set()
    for number in range(3):
        lake.write("t", pl.DataFrame({"k": [number]}), "w", notes={"n": number})
        lake.write_json("record", {"n": number})
        assert disk.lost(tmp_path) == []
        inodes |= {path.stat().st_ino for path in (lake.path("t", "w"), tmp_path / "record.json")}
    assert len(inodes) > 2, "each write is a file of its own until it is whole"


def test_pushed_rows_are_on_disk_before_anybody_is_told_so(disk, tmp_path):
    path = str(tmp_path / "table" / "pushed-1.parquet")
    for content in (b"some rows", b"other rows than before"):
        write_bytes(Place(path), path, content)
        assert disk.lost(tmp_path) == []
    assert Path(path).read_bytes() == b"other rows than before"
