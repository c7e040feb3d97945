"""The log behaves the same in a folder and in a bucket: chained, raced for, cut, rotated, migrated and read by many."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.audit.chain import HEAD, entry_name
from resources.audit.journal import Journal, journal_of
from resources.audit.log import Audit, AuditError
from resources.audit.migration import take_over
from resources.audit.reading import BATCH
from resources.storage.addresses import storage_at
from tests.resources.audit.logs import EARLIER, record
from tests.resources.storage.conftest import address, object_store

__all__ = ["address", "object_store"]


@pytest.fixture
def audit(address, tmp_path) -> Audit:
    """An empty log in a folder, then in a bucket; its key lies on this machine."""
    return Audit(folder=address, key_file=str(tmp_path / "keys" / "audit.key"))


def at_once(*works: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_log_is_written_read_verified_and_gone_on_with_by_another_process(audit):
    for number in (1, 2, 3):
        record(audit, number)
    record(audit, 2)
    journal_of.cache_clear()
    assert [entry.version for entry in audit.entries()] == [1, 2, 3]
    audit.change_key("ada", "so")
    assert record(audit, 4).seq == 5
    report = audit.verify()
    assert (report.problem, report.notes, report.head.seq) == (None, [], 5)


def test_two_that_share_nothing_but_the_storage_race_and_lose_fork_and_double_nothing(audit, address):
    record(audit, 0)
    journals = [Journal(storage_at(address), audit.journal.key_file) for _ in range(3)]

    def write(journal: Journal, first: int) -> None:
        for number in range(first, first + 12):
            event = f"{number:064x}"
            journal.append(event, "2026-01-01T00:00:00.000000+00:00", {"kind": "trained", "evidence": {}})

    at_once(*(lambda j=j, n=n: write(j, 6 * n) for n, j in enumerate(journals)))
    report = audit.verify()
    assert (report.problem, report.notes, report.head.seq) == (None, [], 1 + 24)
    assert [j.lines() for j in journals] == 3 * [audit.journal.lines()]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda s: s.delete(entry_name(2)), "entry 2 is missing"),
        (lambda s: s.delete(entry_name(4)), "the log ends with entry 3, and its head names entry 4"),
        (lambda s: s.write(entry_name(5), s.read(entry_name(4))), "entry 4 stands in the place of entry 5"),
        (lambda s: s.write("entries/x.json", b"{}"), "entries/x.json: extra"),
        (lambda s: s.write(entry_name(3), s.read(entry_name(3))[:-9]), "entry 3 was altered"),
        (lambda s: s.delete(HEAD), "sealed_head.json is missing"),
    ],
)
def test_what_a_stranger_does_to_it_is_found(audit, harm, said):
    for number in (1, 2, 3, 4):
        record(audit, number)
    harm(audit.storage)
    problem = audit.verify().problem
    assert problem and said in problem.what


def test_an_old_log_of_a_folder_is_taken_over(audit):
    assert take_over(audit, "ada", storage_at(EARLIER))
    assert take_over(audit, "ada", storage_at(EARLIER))
    assert (record(audit, 3).seq, record(audit, 100).seq) == (3, 9)
    assert audit.verify().problem is None


def test_a_log_that_is_longer_than_one_batch_is_read_in_its_order_by_a_new_process(audit):
    for number in range(BATCH + 3):
        record(audit, number)
    journal_of.cache_clear()
    assert [entry.version for entry in audit.entries()] == list(range(BATCH + 3))
    assert audit.verify().head.seq == BATCH + 3


def test_another_machine_needs_the_key(audit, address, tmp_path):
    record(audit, 1)
    other = Audit(folder=address, key_file=str(tmp_path / "elsewhere" / "audit.key"))
    with pytest.raises(AuditError, match="is missing: put it back from a copy"):
        record(other, 2)
    assert not Path(other.key_file).exists()
