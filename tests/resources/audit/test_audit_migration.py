"""A log of an earlier release is taken over with its proof, once, whatever dies on the way."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.audit.errors import BrokenChainError, OldLogError
from resources.audit.journal import journal_of
from resources.audit.log import Audit, AuditError
from resources.audit.migration import migration_of, take_over
from resources.storage.addresses import storage_at
from tests.resources.audit.logs import EARLIER, entry_file, fault, record
from tests.resources.audit.test_writers import die, in_a_process

LINES = (EARLIER / "log.jsonl").read_bytes().splitlines(keepends=True)


def earlier_log(home: Path) -> Audit:
    """A state folder as the release before left it."""
    shutil.copytree(EARLIER, home / "audit")
    (home / "audit" / "specs").mkdir()
    (home / "audit" / "specs" / "a.json").write_text("{}")
    return Audit(folder=str(home / "audit"))


@pytest.fixture
def audit(tmp_path) -> Audit:
    return earlier_log(tmp_path / "home")


@pytest.fixture
def migrated(audit) -> Audit:
    take_over(audit, "ada")
    return audit


def kept(audit: Audit) -> Path:
    return Path(audit.folder, "migrated", "log.jsonl")


@pytest.mark.parametrize("act", [lambda a: record(a, 9), lambda a: list(a.entries()), lambda a: a.verify()])
def test_a_log_of_an_earlier_release_is_refused_until_it_is_migrated(audit, act):
    with pytest.raises(
        OldLogError,
        match="is an audit log of an earlier release: `mlops migrate` takes it over, with its proof",
    ):
        act(audit)
    assert {path.name for path in Path(audit.folder).iterdir()} == {"log.jsonl", "head.json", "specs"}


def test_what_waits_can_be_seen_before_it_is_migrated(audit):
    waiting = migration_of(audit)
    assert waiting and (waiting.end.seq, waiting.end.bytes) == (7, (EARLIER / "log.jsonl").stat().st_size)
    assert migration_of(Audit(folder=str(Path(audit.folder) / "none"))) is None


def test_the_first_sealed_entry_follows_the_old_logs_last_and_keeps_its_proof(migrated):
    *old, first = migrated.entries()
    assert [entry.version for entry in old] == list(range(1, 8)) and {entry.seal for entry in old} == {None}
    assert (first.seq, first.kind, first.previous, first.by) == (8, "migrated", old[-1].hash, "ada")
    assert first.evidence["log"]["entries"] == 7 and first.evidence["log"]["head"] == old[-1].hash
    assert kept(migrated).read_bytes() == (EARLIER / "log.jsonl").read_bytes()
    report = migrated.verify({"MLflow": (5, old[4].hash)})
    assert (report.problem, report.head.seq) == (None, 8)
    assert not Path(migrated.folder, "log.jsonl").exists()


def test_a_decision_of_the_old_log_is_not_recorded_again_and_others_follow_it(migrated):
    assert record(migrated, 3).seq == 3
    assert record(migrated, 100).seq == 9
    assert migrated.verify().problem is None


def test_migrating_twice_changes_nothing(migrated):
    before = {path: path.read_bytes() for path in Path(migrated.folder).rglob("*.json*")}
    assert take_over(migrated, "lin") is None
    assert {path: path.read_bytes() for path in Path(migrated.folder).rglob("*.json*")} == before


@pytest.mark.parametrize("write", range(12))
def test_a_migration_that_is_killed_before_any_of_its_writes_is_finished_by_the_next(
    audit, monkeypatch, write
):
    count = [0]

    def killed() -> None:
        def before(original):
            def call(*arguments, **named):
                count[0] += 1
                return die() if count[0] > write else original(*arguments, **named)

            return call

        for name in ("link", "replace", "unlink"):
            monkeypatch.setattr(os, name, before(getattr(os, name)))
        take_over(audit, "ada")

    assert in_a_process(killed) in (-signal.SIGKILL, 0)
    journal_of.cache_clear()
    take_over(audit, "ada")
    assert [(entry.seq, entry.kind) for entry in audit.entries()][-2:] == [(7, "trained"), (8, "migrated")]
    report = audit.verify()
    assert (report.problem, report.head.seq, report.notes) == (None, 8, [])
    assert kept(audit).read_bytes() == (EARLIER / "log.jsonl").read_bytes()
    assert not [name for name in ("log.jsonl", "head.json") if Path(audit.folder, name).exists()]


@given(data=st.data())
def test_any_byte_of_the_old_log_that_is_changed_before_or_after_is_found(tmp_path_factory, data):
    home = tmp_path_factory.mktemp("changed")
    audit, log = earlier_log(home), (EARLIER / "log.jsonl").read_bytes()
    at = data.draw(st.integers(0, len(log) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != log[at]))
    changed = log[:at] + bytes([byte]) + log[at + 1 :]
    line = log.count(b"\n", 0, at) + 1
    Path(audit.folder, "log.jsonl").write_bytes(changed)
    with pytest.raises(BrokenChainError, match=f"line {line} of log.jsonl"):
        take_over(audit, "ada")
    assert not Path(audit.folder, "entries").exists()
    Path(audit.folder, "log.jsonl").write_bytes(log)
    take_over(audit, "ada")
    kept(audit).write_bytes(changed)
    assert fault(audit).startswith(f"{line}: line {line} of log.jsonl")


def test_an_old_log_that_is_cut_with_its_head_after_its_migration_is_not_the_one_that_was_proved(migrated):
    from resources.audit.old_log import OldHead

    short = b"".join(LINES[:5])
    kept(migrated).write_bytes(short)
    head = OldHead(5, json.loads(LINES[4])["hash"], len(short)).text()
    kept(migrated).with_name("head.json").write_text(head)
    assert "entry 6 is missing" in fault(migrated)
    shutil.move(entry_file(migrated, 8), entry_file(migrated, 6))
    assert "entry 8 stands in the place of entry 6" in fault(migrated)


def test_a_kept_log_that_is_removed_is_found(migrated):
    kept(migrated).unlink()
    assert fault(migrated) == "1: entry 1 is missing"


def test_the_entry_that_keeps_the_proof_is_missed(migrated):
    entry_file(migrated, 8).unlink()
    assert "8: entry 8, which keeps the proof of the old log, is missing" in fault(migrated)
    with pytest.raises(AuditError, match="`mlops audit verify` says what holds"):
        list(migrated.entries())


def test_bytes_of_an_append_that_was_interrupted_are_kept_and_noted(audit):
    with Path(audit.folder, "log.jsonl").open("ab") as log:
        log.write(b'{"seq":8,"prev')
    take_over(audit, "ada")
    assert kept(audit).read_bytes().endswith(b'{"seq":8,"prev')
    report = audit.verify()
    assert report.problem is None and "14 bytes of an interrupted append" in report.notes[0]


def test_an_old_log_is_taken_over_into_another_place_and_left_where_it_was(audit, tmp_path):
    other = Audit(folder=str(tmp_path / "elsewhere" / "audit"))
    assert take_over(other, "ada", storage_at(audit.folder))
    assert other.verify().head.seq == 8 and other.text("specs/a.json") == "{}"
    assert Path(audit.folder, "log.jsonl").exists()


def test_an_old_log_is_not_taken_over_by_one_that_has_entries_of_its_own(audit, tmp_path):
    other = Audit(folder=str(tmp_path / "elsewhere" / "audit"))
    record(other, 1)
    with pytest.raises(OldLogError, match=r"has entries of its own, from entries/0000000001\.json on"):
        take_over(other, "ada", storage_at(audit.folder))
    assert other.verify().problem is None
