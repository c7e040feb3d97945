"""What would outlive a power cut, seen from the calls that a real write makes."""

import os
from pathlib import Path

import pytest


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
