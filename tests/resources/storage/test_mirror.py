"""A folder that stands for a storage which others write too: what one machine puts, the others read; whatever holds it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.storage.mirror import Mirror, ship
from resources.storage.moment_files import back_for_all, forward_for_all, moment_in

START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def machines(tmp_path, address) -> tuple[Mirror, Mirror]:
    return Mirror(tmp_path / "one", address), Mirror(tmp_path / "other", address)


def test_what_one_puts_the_other_has_after_a_look(machines):
    one, other = machines
    one.put("models/a.model", b"1")
    one.put("a.json", b"{}")
    assert not (other.folder / "a.json").exists()
    other.pull()
    assert (other.folder / "a.json").read_bytes() == b"{}"
    assert (other.folder / "models/a.model").read_bytes() == b"1"


def test_what_one_replaces_or_removes_the_other_has_no_more(machines):
    one, other = machines
    one.put("a.json", b"1")
    one.put("b.json", b"1")
    other.pull()
    one.put("a.json", b"2")
    assert one.remove("b.json") and not one.remove("c.json")
    other.pull()
    assert (other.folder / "a.json").read_bytes() == b"2"
    assert not (other.folder / "b.json").exists()


def test_files_that_only_lie_here_stay(machines):
    one, other = machines
    (other.folder / "metrics").mkdir(parents=True)
    (other.folder / "metrics" / "1.db").write_bytes(b"sums")
    one.put("a.json", b"1")
    other.pull()
    one.remove("a.json")
    other.pull()
    assert [path.name for path in other.folder.rglob("[!.]*") if path.is_file()] == ["1.db"]


def test_a_file_that_is_as_it_was_is_not_written_anew(machines):
    one, _ = machines
    before = one.put("a.json", b"1").stat()
    one.pull()
    one.pull()
    after = (one.folder / "a.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_file_that_was_lost_here_comes_back(machines):
    one, other = machines
    one.put("a.json", b"1")
    other.pull()
    (other.folder / "a.json").unlink()
    other.pull()
    assert (other.folder / "a.json").read_bytes() == b"1"


def test_a_record_is_never_there_before_the_file_that_it_names(machines, monkeypatch):
    one, other = machines
    one.put("a.json", b"{}")
    one.put("models/a.model", b"1")
    taken: list[str] = []
    monkeypatch.setattr(Mirror, "_take", lambda _, name: taken.append(name))
    other.pull()
    assert taken == ["models/a.model", "a.json"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=st.lists(st.tuples(st.booleans(), st.integers(0, 30)), min_size=1, max_size=6))
def test_a_moment_that_two_machines_move_is_the_latest_of_both(days, tmp_path_factory):
    folder = tmp_path_factory.mktemp("moments")
    machines = [Mirror(folder / name, str(folder / "shared")) for name in ("one", "other")]
    for first, day in days:
        forward_for_all(machines[first], "uc/view.txt", START + timedelta(days=day))
    for machine in machines:
        machine.pull()
        assert moment_in(machine.folder / "uc/view.txt") == START + timedelta(days=max(d for _, d in days))


def test_a_moment_that_is_taken_back_is_taken_back_everywhere(machines):
    one, other = machines
    forward_for_all(one, "view.txt", START)
    other.pull()
    back_for_all(other, "view.txt", START, None)
    one.pull()
    assert not (one.folder / "view.txt").exists()


def test_shipped_files_are_those_of_the_folder_and_of_other_machines(tmp_path, storage):
    folder = tmp_path / "log"
    folder.mkdir()
    storage.write("theirs.parquet", b"0")
    (folder / "a.parquet").write_bytes(b"1")
    (folder / "b.parquet").write_bytes(b"2")
    shipped = ship(folder, storage, set())
    assert storage.names() == ["a.parquet", "b.parquet", "theirs.parquet"]
    (folder / "a.parquet").unlink()
    (folder / "b.parquet").unlink()
    (folder / "ab.parquet").write_bytes(b"12")
    ship(folder, storage, shipped)
    assert storage.names() == ["ab.parquet", "theirs.parquet"]


def test_without_a_storage_it_is_the_folder_alone(tmp_path):
    alone = Mirror(tmp_path)
    assert alone.put("a.json", b"1").read_bytes() == b"1"
    alone.pull()
    assert (tmp_path / "a.json").exists() and alone.remove("a.json")
    assert [path.name for path in tmp_path.iterdir()] == []
