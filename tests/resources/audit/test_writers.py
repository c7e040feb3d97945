"""However many write at once and wherever one of them is killed: no entry is lost, doubled or torn, and the chain is one."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.audit.errors import AuditKeyError
from resources.audit.journal import Journal, journal_of
from resources.audit.log import Audit
from resources.storage import durable
from tests.resources.audit.logs import entry_file, head_file, key_path, log_in, record

SHARES = [list(range(start, start + 20)) for start in (0, 10, 20, 30)]
"""What four processes record; each decision but the first and last ten is recorded by two of them."""


def in_a_process(work: Callable[[], object]) -> int:
    """Do it in a process of its own, with nothing read of any log; its exit status, negative where it was killed."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        journal_of.cache_clear()
        work()
        os._exit(0)
    finally:
        os._exit(1)


def _record_some(folder: str, numbers: list[int]) -> None:
    journal_of.cache_clear()
    for number in numbers:
        record(Audit(folder=folder), number)


def test_processes_that_append_at_once_lose_fork_and_double_nothing(tmp_path):
    folder, fork = str(tmp_path / "audit"), multiprocessing.get_context("fork")
    running = [fork.Process(target=_record_some, args=(folder, share)) for share in SHARES]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * 4
    audit = Audit(folder=folder)
    assert sorted(entry.version or 0 for entry in audit.entries()) == list(range(50))
    report = audit.verify()
    assert (report.problem, report.notes, report.head.seq) == (None, [], 50)


def test_a_writer_that_was_overtaken_after_it_read_the_log_writes_behind_the_other(tmp_path):
    """Two journals stand for two processes: the first has read the end of the log, then the second appends."""
    audit = log_in(tmp_path / "home", 3)
    slow = Journal(audit.storage, audit.journal.key_file)
    put, overtaken = slow.storage.put_if_absent, []

    class Overtaken(type(slow.storage)):
        def put_if_absent(self, name: str, content: bytes) -> str:
            if not overtaken:
                overtaken.append(record(audit, 4))
            return put(name, content)

    slow.storage = Overtaken(audit.folder)
    line = slow.append("e" * 64, "2099-01-01T00:00:00.000000+00:00", {"kind": "trained", "evidence": {}})
    assert line.startswith(b'{"seq":5,"previous":"%b"' % overtaken[0].hash.encode())
    assert audit.verify().problem is None


def test_nobodys_entry_comes_between_what_a_check_read_and_the_entry_that_it_allowed(tmp_path):
    audit, seen = log_in(tmp_path / "home", 3), []

    def check() -> None:
        seen.append(audit.verify().head.seq)
        if len(seen) < 3:
            record(audit, 10 + len(seen))

    entry = audit.record(
        "promoted", "m", identity={}, by="ada", why="so", moment=None, evidence={}, version=1, check=check
    )
    assert (seen, entry.seq) == ([3, 4, 5], 6)


def test_what_a_check_refuses_is_not_recorded(tmp_path):
    audit = log_in(tmp_path / "home", 3)

    def check() -> None:
        raise ValueError("no evaluation")

    with pytest.raises(ValueError, match="no evaluation"):
        audit.record("promoted", "m", identity={}, by="x", why="", moment=None, evidence={}, check=check)
    assert audit.verify().head.seq == 3


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("entries", [0, 3])
@pytest.mark.parametrize("write", range(8))
def test_an_append_that_is_killed_before_any_of_its_writes_leaves_the_entry_or_none(
    tmp_path, monkeypatch, entries, write
):
    audit, count = log_in(tmp_path / "home", entries), [0]

    def killed_append() -> None:
        def before(original: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object) -> object:
                count[0] += 1
                return die() if count[0] > write else original(*arguments)

            return call

        for name in ("link", "replace", "fsync"):
            monkeypatch.setattr(os, name, before(getattr(os, name)))
        record(audit, 50)

    status = in_a_process(killed_append)
    there = entry_file(audit, entries + 1).exists()
    journal_of.cache_clear()
    assert audit.verify().problem is None
    assert [entry.version for entry in audit.entries()] == [*range(1, entries + 1)] + [50] * there
    assert status == -signal.SIGKILL or there
    assert record(audit, 51).seq == entries + 1 + there
    assert record(audit, 50).seq == entries + 2 - there
    report = audit.verify()
    assert (report.problem, report.notes, report.head.seq) == (None, [], entries + 2)


def test_a_head_that_lags_behind_is_a_note_and_is_brought_forward_by_the_next_entry(tmp_path):
    audit = log_in(tmp_path / "home", 3)
    before = head_file(audit).read_bytes()
    record(audit, 4)
    durable.write_bytes(head_file(audit), before)
    report = audit.verify()
    assert report.problem is None and "names entry 3, the log goes on to 4" in report.notes[0]
    record(audit, 5)
    assert audit.verify().notes == []


def test_of_two_machines_with_keys_of_their_own_the_second_is_refused_until_it_has_the_first_ones(tmp_path):
    first = Audit(folder=str(tmp_path / "shared"), key_file=str(tmp_path / "a" / "audit.key"))
    second = Audit(folder=str(tmp_path / "shared"), key_file=str(tmp_path / "b" / "audit.key"))
    record(first, 1)
    with pytest.raises(AuditKeyError, match=r"b/audit\.key, is missing: put it back from a copy"):
        record(second, 2)
    assert not (tmp_path / "b").exists()
    (tmp_path / "b").mkdir()
    Path(tmp_path / "b" / "audit.key").write_bytes((tmp_path / "a" / "audit.key").read_bytes())
    (tmp_path / "b" / "audit.key").chmod(0o600)
    assert record(second, 2).seq == 2
    assert key_path(first) != second.key_file
