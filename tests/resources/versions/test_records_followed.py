"""Which process answers for a version follows its record: the same one as long as that stays, another once it is replaced, none once it is gone."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resources.serving.versions.records import version_file
from resources.serving.versions.versions import UnknownVersionError, Versions


class Opening(Versions):
    """Notes which records it opens, and starts no process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(SimpleNamespace(folder=folder), SimpleNamespace())  # type: ignore[arg-type]
        self.opened: list[str] = []

    async def _opened(self, name: str, version: str, mark: Any, path: Path) -> Any:
        self.opened.append(path.read_text())
        candidate = SimpleNamespace(path=path)
        self._open[name, version] = mark, candidate  # type: ignore[assignment]
        return candidate


def written(path: Path, text: str) -> None:
    """Replaced as records are: by another file under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(text)
    beside.rename(path)


def test_a_record_is_opened_once_again_when_it_is_replaced_and_not_when_it_is_gone(tmp_path):
    path = version_file(tmp_path, "trips", "2")

    async def story() -> list[str]:
        versions = Opening(tmp_path)
        with pytest.raises(UnknownVersionError, match="version 2 of trips is not known"):
            await versions._candidate("trips", "2")
        written(path, "first")
        one, again = [await versions._candidate("trips", "2") for _ in range(2)]
        assert one is again
        written(path, "second")
        assert await versions._candidate("trips", "2") is not one
        path.unlink()
        with pytest.raises(UnknownVersionError, match="version 2 of trips is not known"):
            await versions._candidate("trips", "2")
        written(path, "third")
        await versions._candidate("trips", "2")
        return versions.opened

    assert asyncio.run(story()) == ["first", "second", "third"]
