"""What is written is on disk when the call returns: each file flushed, and each folder that its name stands in."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.storage.local import LocalStorage


class Disk:
    """What a power cut would leave: content and names as they were when last flushed, on the real calls."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.contents, self.folders = root, dict[int, bytes](), dict[int, dict[str, int]]()
        self._fsync = os.fsync
        self._folder(root)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, handle: int) -> None:
        self._fsync(handle)
        path = Path(f"/proc/self/fd/{handle}").resolve()
        if path.is_dir():
            self._folder(path)
        else:
            self.contents[path.stat().st_ino] = path.read_bytes()

    def after_a_power_cut(self, path: Path) -> bytes | None:
        """The content that is found under a path; None where a folder on the way, or the file, was never flushed."""
        inode = self.root.stat().st_ino
        for part in path.relative_to(self.root).parts:
            inode = self.folders.get(inode, {}).get(part, 0)
        return self.contents.get(inode)

    def _folder(self, path: Path) -> None:
        self.folders[path.stat().st_ino] = {entry.name: entry.inode() for entry in os.scandir(path)}


WRITES: dict[str, Callable[[LocalStorage, str], object]] = {
    "write": lambda storage, name: storage.write(name, b"new"),
    "put_if_absent": lambda storage, name: storage.put_if_absent(name, b"new"),
    "put": lambda storage, name: storage.put(name, b"new", storage.load_or_none(name)),
    "update": lambda storage, name: storage.update(name, lambda before: b"new"),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("name", ["a", "table/_manifests/deep/a"])
def test_an_acknowledged_write_survives_a_power_cut(
    write: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, storage = Disk(tmp_path, monkeypatch), LocalStorage(tmp_path / "lake")
    WRITES[write](storage, name)
    assert disk.after_a_power_cut(tmp_path / "lake" / name) == b"new"


@pytest.mark.parametrize("write", ["write", "put", "update"])
def test_a_replaced_file_is_the_new_one_after_a_power_cut(
    write: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a", b"old")
    disk = Disk(tmp_path, monkeypatch)
    WRITES[write](storage, "a")
    assert disk.after_a_power_cut(tmp_path / "a") == b"new"


def test_what_was_deleted_stays_so_and_what_was_kept_stays_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, storage = Disk(tmp_path, monkeypatch), LocalStorage(tmp_path)
    storage.write("t/a", b"old")
    storage.keep("t/a", "kept/1")
    storage.delete("t/a")
    assert disk.after_a_power_cut(tmp_path / "t/a") is None
    assert disk.after_a_power_cut(tmp_path / "kept/1") == b"old"


def test_a_write_that_need_not_last_costs_no_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a", b"old")
    disk = Disk(tmp_path, monkeypatch)
    storage.write("a", b"new", flush=False)
    assert (storage.read("a"), disk.contents) == (b"new", {})


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a", b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        storage.write("a", b"new")
    assert storage.read("a") == b"old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a"]
