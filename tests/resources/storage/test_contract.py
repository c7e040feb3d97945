"""What every kind of storage promises: a folder and an object store pass one suite."""

import contextlib
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.storage.contained import OutsideError
from resources.storage.errors import (
    AbsentError,
    ConflictError,
    LeaseHeldError,
    LeaseLostError,
    StorageError,
)
from resources.storage.lease import leased, take
from resources.storage.storage import Storage

MINUTES = ("-420", "600")
"""How wrong the clocks of two processes are, in seconds."""

NAMES = st.lists(st.text("abc.-_=@ 0Z", min_size=1, max_size=6), min_size=1, max_size=3).map("/".join)


@contextlib.contextmanager
def process(work: str, address: str, skew_s: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.resources.storage.workers", work, address, skew_s, *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        try:
            yield one
        finally:
            one.kill()


def test_what_was_written_is_read_and_listed(storage: Storage) -> None:
    storage.write("t/a.parquet", b"1")
    storage.write("t/b.json", b"2")
    storage.write("t/deep/c.parquet", b"3")
    storage.write("t2/a.parquet", b"4")
    assert storage.read("t/a.parquet") == b"1"
    assert storage.size("t/a.parquet") == 1
    assert storage.names("t") == ["t/a.parquet", "t/b.json"]
    assert storage.names("t", ".parquet") == ["t/a.parquet"]
    assert storage.names("t", ".parquet", deep=True) == ["t/a.parquet", "t/deep/c.parquet"]
    assert storage.names(deep=True) == ["t/a.parquet", "t/b.json", "t/deep/c.parquet", "t2/a.parquet"]
    assert storage.names("nowhere") == storage.names("t/a.parquet") == []


def test_clearing_removes_all_that_is_below_and_nothing_beside_it(storage: Storage) -> None:
    for name in ("fits/one/checkpoint", "fits/one/.marker", "fits/one/deep/state", "fits/one-more", "other"):
        storage.write(name, b"1")
    storage.below("fits/one").clear()
    storage.below("nowhere").clear()
    assert storage.names(deep=True) == ["fits/one-more", "other"]
    assert not storage.exists("fits/one/.marker")


def test_another_process_is_handed_the_same_storage(storage: Storage) -> None:
    storage.write("a", b"1")
    handed = pickle.loads(pickle.dumps(storage.below("fits")))
    handed.write("b", b"2")
    assert handed == storage.below("fits")
    assert storage.names(deep=True) == ["a", "fits/b"]


def test_what_arrow_writes_is_there_and_the_other_way_round(storage: Storage, tmp_path: Path) -> None:
    """As Ray keeps a checkpoint: a folder is made, filled from a folder of this machine, listed, read and removed."""
    from pyarrow import fs

    path, given = pickle.loads(pickle.dumps(storage.below("run").for_arrow()))
    system, here = given or fs.LocalFileSystem(), fs.LocalFileSystem()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "state").write_bytes(b"1" * 1000)
    system.create_dir(f"{path}/checkpoint_1")
    fs.copy_files(str(tmp_path / "out"), f"{path}/checkpoint_1", here, system)
    assert storage.names(deep=True) == ["run/checkpoint_1/state"]
    with system.open_output_stream(f"{path}/more") as file:
        file.write(b"2")
        file.write(b"2")
    assert storage.read("run/more") == b"22"
    storage.write("run/more", b"333")
    listing = system.get_file_info(fs.FileSelector(path, recursive=True))
    assert {one.base_name: one.size for one in listing if one.is_file} == {"state": 1000, "more": 3}
    fs.copy_files(path, str(tmp_path / "in"), system, here)
    assert (tmp_path / "in" / "checkpoint_1" / "state").read_bytes() == b"1" * 1000
    system.delete_dir(f"{path}/checkpoint_1")
    assert storage.names(deep=True) == ["run/more"]


def test_marks_are_of_the_names_and_change_with_what_is_written(storage):
    for name in ("t/a.parquet", "t/b.json", "t/deep/c.json", "u/b.json"):
        storage.write(name, b"one")
    before = storage.marks("t", ".json")
    assert list(before) == storage.names("t", ".json") == ["t/b.json"]
    assert storage.marks("t", ".json") == before
    storage.write("t/b.json", b"two")
    assert storage.marks("t", ".json")["t/b.json"] != before["t/b.json"]
    assert list(storage.marks("t")) == ["t/a.parquet", "t/b.json"]
    assert storage.below("t").marks(ending=".json").keys() == {"b.json"}
    assert storage.marks("nowhere") == {}
    deep = storage.entries("t", ".json", deep=True)
    assert {name: entry.size for name, entry in deep.items()} == {"t/b.json": 3, "t/deep/c.json": 3}
    assert deep["t/b.json"].mark == storage.marks("t")["t/b.json"]


def test_a_part_of_storage_is_a_storage_of_its_own(storage: Storage) -> None:
    part = storage.below("t")
    part.write("a", b"1")
    assert storage.read("t/a") == b"1"
    assert part.names() == ["a"]
    assert part.at("a") == storage.at("t/a")


def test_what_is_not_there_is_said_to_be_absent(storage: Storage) -> None:
    storage.write("t/a", b"1")
    for name in ("nothing", "t", "t/a/b"):
        with pytest.raises(AbsentError, match=name):
            storage.load(name)
        assert (storage.stamp(name), storage.size(name), storage.exists(name)) == (None, None, False)
        assert storage.load_or_none(name) is None
    with pytest.raises(AbsentError, match="nothing"):
        storage.keep("nothing", "kept")
    assert not storage.delete("nothing")


def test_what_was_deleted_is_gone(storage: Storage) -> None:
    storage.write("t/a", b"1")
    assert storage.delete("t/a")
    assert not storage.exists("t/a")
    assert storage.names("t") == []


def test_what_is_kept_outlives_its_source(storage: Storage) -> None:
    storage.write("t/a", b"old")
    storage.keep("t/a", "kept/1")
    storage.write("t/a", b"new")
    storage.keep("t/a", "kept/1")
    assert (storage.read("t/a"), storage.read("kept/1")) == (b"new", b"old")
    storage.delete("t/a")
    assert storage.read("kept/1") == b"old"


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\\b", "a\0"])
def test_no_name_leads_out_of_storage(storage: Storage, name: str) -> None:
    for act in (storage.load, storage.delete, storage.stamp, storage.size, storage.at):
        with pytest.raises(OutsideError):
            act(name)
    with pytest.raises(OutsideError):
        storage.write(name, b"")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=NAMES, content=st.binary(max_size=200))
def test_a_name_and_its_content_come_back_as_they_are(storage: Storage, parts: str, content: bytes) -> None:
    name = "-" + parts.replace("/.", "/-")
    if any(part in (".", "..") for part in name.split("/")):
        return
    place = storage.below(f"{len(storage.names(deep=True))}")
    place.write(name, content)
    assert place.load(name).content == place.read(name) == content
    assert place.stamp(name) == place.load(name).stamp
    assert place.names(deep=True) == [name]


def test_nothing_is_written_over_what_is_there_already(storage: Storage) -> None:
    stamp = storage.put_if_absent("a", b"first")
    with pytest.raises(ConflictError, match=r"a has changed|a is there"):
        storage.put_if_absent("a", b"second")
    assert (storage.read("a"), storage.stamp("a")) == (b"first", stamp)
    storage.delete("a")
    storage.put_if_absent("a", b"third")


def test_nothing_is_written_over_what_has_changed(storage: Storage) -> None:
    storage.write("a", b"old")
    old = storage.load("a").stamp
    new = storage.put_if_unchanged("a", b"new", old)
    assert new != old
    for stamp in (old, "another"):
        with pytest.raises(ConflictError):
            storage.put_if_unchanged("a", b"late", stamp)
    assert storage.read("a") == b"new"
    storage.delete("a")
    with pytest.raises(ConflictError):
        storage.put_if_unchanged("a", b"late", new)
    assert not storage.exists("a")


def test_an_update_takes_up_what_others_wrote_meanwhile(storage: Storage) -> None:
    seen: list[bytes | None] = []

    def change(before: bytes | None) -> bytes:
        seen.append(before)
        if len(seen) == 1:
            storage.write("a", b"theirs")
        return (before or b"") + b" and ours"

    assert storage.update("a", change) == b"theirs and ours"
    assert (seen, storage.read("a")) == ([None, b"theirs"], b"theirs and ours")


def test_an_update_that_always_comes_late_gives_up(storage: Storage) -> None:
    def change(before: bytes | None) -> bytes:
        storage.write("a", (before or b"") + b"x")
        return b"never"

    with pytest.raises(ConflictError):
        storage.update("a", change, tries=3)
    assert storage.read("a") == b"xxx"


def test_a_lease_has_one_holder_until_it_is_given_back(storage: Storage) -> None:
    with leased(storage, "lease", "one", lasts_s=5) as first:
        with pytest.raises(LeaseHeldError, match="one"):
            take(storage, "lease", "two", lasts_s=5, wait_s=0)
        first.renew()
    second = take(storage, "lease", "two", lasts_s=5, wait_s=0)
    assert second.number == first.number + 1
    with pytest.raises(LeaseLostError):
        first.renew()
    first.give_back()
    second.renew()


def test_a_lease_is_given_back_when_the_work_fails(storage: Storage) -> None:
    with pytest.raises(ZeroDivisionError), leased(storage, "lease", "one", lasts_s=60):
        raise ZeroDivisionError
    take(storage, "lease", "two", lasts_s=5, wait_s=0)


def test_work_that_outlived_its_lease_is_told_so(storage: Storage) -> None:
    with pytest.raises(LeaseLostError), leased(storage, "lease", "asleep", lasts_s=60) as lease:
        stored = storage.load("lease")
        storage.put_if_unchanged(
            "lease", stored.content.replace(b'"number": 1', b'"number": 2'), stored.stamp
        )
        assert lease.number == 1
    assert b'"free": false' in storage.read("lease")


def test_a_lease_that_was_not_renewed_in_time_is_lost_though_nobody_took_it(storage: Storage) -> None:
    lease = take(storage, "lease", "slow", lasts_s=0.05)
    time.sleep(0.1)
    with pytest.raises(LeaseLostError, match="ran out"):
        lease.renew()


def test_a_living_holder_keeps_its_lease_and_a_killed_one_loses_it(address: str, storage: Storage) -> None:
    """The holder's clock is minutes behind; it writes no time, so nobody can take its lease early for that."""
    with process("hold", address, MINUTES[0], "holder", "2.5") as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "1\n"
        with pytest.raises(LeaseHeldError, match="holder"):
            take(storage, "lease", "next", lasts_s=1, wait_s=5)
        holder.kill()
        holder.wait()
        assert take(storage, "lease", "next", lasts_s=1, wait_s=60).number == 2


def test_a_name_is_locked_for_one_at_a_time(storage: Storage) -> None:
    with storage.locked("t/a"), pytest.raises(LeaseHeldError), storage.locked("t/a", wait=False):
        pass
    with storage.locked("t/a", wait=False):
        assert storage.names("t", deep=True) == []


def test_every_error_of_storage_is_of_one_tree() -> None:
    for kind in (AbsentError, ConflictError, LeaseHeldError, LeaseLostError):
        assert issubclass(kind, StorageError)
