"""Processes that write to one storage at once, by clocks that differ, or are killed in it: nothing is lost, doubled or torn."""

import threading

from resources.storage.storage import Storage
from tests.resources.storage.conftest import address, object_store, storage
from tests.resources.storage.test_contract import MINUTES, process
from tests.resources.storage.workers import number_in

__all__ = ["address", "object_store", "storage"]


def raced(work: str, address: str, rounds: int) -> list[list[str]]:
    """What each of two processes was told to have written."""
    with (
        process(work, address, MINUTES[0], "one", str(rounds)) as one,
        process(work, address, MINUTES[1], "two", str(rounds)) as two,
    ):
        told = [worker.communicate(timeout=300)[0].split() for worker in (one, two)]
        assert (one.returncode, two.returncode) == (0, 0)
    return told


def test_of_two_processes_that_race_200_times_one_alone_creates_each_name(
    address: str, storage: Storage
) -> None:
    one, two = raced("create", address, 200)
    assert sorted([*one, *two], key=int) == [str(number) for number in range(200)]
    owners = {"one": one, "two": two}
    for who, numbers in owners.items():
        assert {storage.read(f"race/{int(number):03d}").decode() for number in numbers} <= {who}


def test_of_two_processes_that_count_200_times_no_step_is_lost(address: str, storage: Storage) -> None:
    told = raced("count", address, 200)
    assert [len(lines) for lines in told] == [200, 200]
    assert storage.read("count") == b"400"


def test_under_a_lease_no_plain_write_is_lost_however_the_clocks_differ(
    address: str, storage: Storage
) -> None:
    raced("count_leased", address, 15)
    assert storage.read("count") == b"30"


def test_a_process_killed_in_100_writes_leaves_no_half_written_one_and_loses_none(
    address: str, storage: Storage
) -> None:
    there, stop, torn = -1, threading.Event(), []

    def read() -> None:
        while not stop.wait(0.001):  # some reads in every write, and time for the writer between them
            stored = storage.load_or_none("name")
            try:
                number_in(stored.content) if stored else None
            except ValueError as error:
                torn.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with process("killed", address, "0", "me", "100") as worker:
            assert worker.stdin and worker.stdout
            for _ in range(100):
                print(there + 1, file=worker.stdin, flush=True)
                acknowledged = int(worker.stdout.readline())
                there = number_in(storage.read("name"))
                assert acknowledged <= there <= acknowledged + 1
    finally:
        stop.set()
        reader.join()
    assert torn == []
    assert there >= 99
    assert storage.names(deep=True) == ["name"]
