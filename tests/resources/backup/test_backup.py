"""A backup brings back exactly what was there at its moment, or changes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from resources.backup.backup import Backup, Part, Places, _marks, make, restore
from resources.backup.errors import BackupError
from resources.settings import settings
from resources.storage.addresses import storage_at
from resources.storage.storage import Storage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def quiet(_: str) -> None:
    """Nobody listens."""


@pytest.fixture
def places(tmp_path) -> Places:
    """Two stores without databases."""
    found = Places({}, {name: str(tmp_path / name) for name in ("lake", "audit")}, str(tmp_path / "backups"))
    for name, store in stores(found).items():
        store.write("a", name.encode())
        store.write("t/b", b"the same in both")
    return found


def stores(places: Places) -> dict[str, Storage]:
    return {name: storage_at(address) for name, address in places.stores.items()}


def held(places: Places) -> dict[str, dict[str, bytes]]:
    return {
        name: {n: store.read(n) for n in store.names(deep=True)} for name, store in stores(places).items()
    }


def test_what_was_there_is_there_again_and_nothing_else(places):
    before = held(places)
    make(places, quiet)
    lake = stores(places)["lake"]
    lake.write("a", b"changed")
    lake.write("new", b"1")
    lake.delete("t/b")
    restore(places, quiet, replace=True)
    assert held(places) == before


def test_any_backup_can_be_named(places):
    first = make(places, quiet, lambda: NOW)
    before = held(places)
    stores(places)["lake"].write("a", b"changed")
    make(places, quiet, lambda: NOW + timedelta(days=1))
    assert places.names() == ["2026-01-01T00-00-00", "2026-01-02T00-00-00"]
    restore(places, quiet, first.name, replace=True)
    assert held(places) == before
    with pytest.raises(BackupError, match="has no backup 'x'; there are: 2026-01-01T00-00-00, 2026-01-02"):
        restore(places, quiet, "x", replace=True)


def test_content_is_kept_once_and_not_read_again(places, monkeypatch):
    make(places, quiet, lambda: NOW)
    assert len(places.storage.names("content")) == 3
    monkeypatch.setattr("resources.backup.backup._stored", lambda *_: pytest.fail("nothing has changed"))
    again = make(places, quiet, lambda: NOW + timedelta(days=1))
    assert again.objects == 4


def test_the_time_and_what_is_lost_are_told(places):
    make(places, quiet, lambda: NOW)
    said: list[str] = []
    restore(places, said.append, replace=True, now=ticking(NOW + timedelta(hours=2)))
    assert said == [
        "backup 2026-01-01T00-00-00 is back: 0 databases and 4 objects in 1.0 s; what was written in the 7,200 s after it is lost"
    ]


def ticking(start: datetime):
    seconds: Iterator[int] = iter(range(100))
    return lambda: start + timedelta(seconds=next(seconds))


def test_what_is_there_is_not_replaced_unless_that_is_said(places):
    make(places, quiet)
    with pytest.raises(BackupError, match=r"audit, lake are not empty, .* give --replace"):
        restore(places, quiet)


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_backup_that_is_not_whole_changes_nothing(places, harm):
    made = make(places, quiet)
    name = f"content/{made.stores['lake']['a'].sha256}"
    places.storage.delete(name)
    if harm == "damaged":
        places.storage.write(name, b"other")
    stores(places)["lake"].write("a", b"now")
    before = held(places)
    with pytest.raises(BackupError, match=f"is {harm}: take another backup"):
        restore(places, quiet, replace=True)
    assert held(places) == before


def test_a_store_that_never_stands_still_is_refused_and_no_backup_is_there(places, monkeypatch):
    lake, looks = stores(places)["lake"], iter(range(1000))

    def changing(of: Places) -> dict[str, dict[str, str]]:
        lake.write("a", f"{next(looks):04}".encode())
        return _marks(of)

    monkeypatch.setattr("resources.backup.backup._marks", changing)
    with pytest.raises(BackupError, match="changed during each of 10 looks"):
        make(places, quiet)
    assert places.names() == []


def test_a_store_that_is_named_after_the_backup_is_refused(places, tmp_path):
    make(places, quiet)
    more = replace(places, stores={**places.stores, "mlflow": str(tmp_path / "mlflow")})
    with pytest.raises(BackupError, match="has nothing of mlflow: MLOPS_BACKUP_WITH named it later"):
        restore(more, quiet, replace=True)


def test_a_record_is_read_as_it_was_written():
    made = Backup("x", NOW, {"dagster": Part("a", 1)}, {"lake": {"t/b": Part("b", 2, "mark")}})
    assert Backup.of(made.text()) == made


def test_a_laptop_is_told_to_copy_its_folder(tmp_path):
    with pytest.raises(BackupError, match=r"MLOPS_ENV=local keeps all of its state in .*: copy that folder"):
        Places.of(settings({"MLOPS_HOME": str(tmp_path)}))
