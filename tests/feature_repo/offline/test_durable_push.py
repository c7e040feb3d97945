"""A power cut after a push takes nothing of it."""

from pathlib import Path

from feature_repo.offline_store.files import Place
from feature_repo.offline_store.writes import write_bytes
from tests.disk import Disk


def test_pushed_rows_are_on_disk_before_anybody_is_told_so(monkeypatch, tmp_path):
    disk, path = Disk(monkeypatch), str(tmp_path / "table" / "pushed-1.parquet")
    for content in (b"some rows", b"other rows than before"):
        write_bytes(Place(path), path, content)
        assert disk.lost(tmp_path) == []
    assert Path(path).read_bytes() == b"other rows than before"
