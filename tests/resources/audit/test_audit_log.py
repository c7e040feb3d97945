"""What is recorded comes back as it was, once, in its order, and never earlier than what was recorded before it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import resources.audit.log
from resources.audit.log import KINDS, Audit, AuditError
from tests.resources.audit.logs import (
    ENTRIES_OF_A_LOG,
    MOMENT,
    copy_of,
    entry_file,
    fault,
    head_file,
    log_in,
    record,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Audit:
    """A log of seven entries, not to be changed."""
    return log_in(tmp_path_factory.mktemp("written"))


@pytest.fixture
def audit(written, tmp_path) -> Audit:
    return copy_of(written, tmp_path / "home")


def test_a_log_as_it_was_written_is_whole(written):
    report = written.verify()
    assert (report.problem, report.notes, report.head.seq) == (None, [], ENTRIES_OF_A_LOG)
    assert report.head.hash == list(written.entries())[-1].hash


def test_a_log_that_was_never_written_is_whole_and_asking_it_makes_nothing(tmp_path):
    audit = Audit(folder=str(tmp_path / "audit"))
    assert audit.verify().problem is None
    assert (list(audit.entries()), audit.latest("m", KINDS), audit.find("trained", "m", {})) == (
        [],
        None,
        None,
    )
    assert list(tmp_path.iterdir()) == []


def test_an_entry_comes_back_as_it_was_recorded(audit):
    before = datetime.now(UTC)
    entry = record(audit, 9, "promoted", "arrival_minutes")
    assert list(audit.entries("arrival_minutes")) == [entry]
    assert (entry.kind, entry.version, entry.by, entry.moment) == ("promoted", 9, 'sensor "retrain"', MOMENT)
    assert entry.why == "ältere Daten\nand a line break"
    assert before <= entry.at <= datetime.now(UTC)
    assert list(audit.entries(since=entry.at)) == [entry]
    assert audit.latest("arrival_minutes", ("promoted", "rolled_back")) == entry
    assert audit.latest("flight_delay", ("promoted",)) is None, (
        "a word in the evidence is not the entry's kind"
    )
    assert [entry.version for entry in audit.entries("flight_delay")] == list(range(1, ENTRIES_OF_A_LOG + 1))


def test_the_same_decision_is_one_entry_and_another_one_is_not(audit):
    assert (record(audit, 3).seq, audit.verify().head.seq) == (3, ENTRIES_OF_A_LOG)
    assert record(audit, 3, model="arrival_minutes").seq == ENTRIES_OF_A_LOG + 1
    assert record(audit, 3, kind="evaluated").seq == ENTRIES_OF_A_LOG + 2
    assert audit.find("evaluated", "flight_delay", {"number": 3}).seq == ENTRIES_OF_A_LOG + 2
    assert audit.find("evaluated", "flight_delay", {"number": 4}) is None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "key_changed"])
def test_every_kind_can_be_recorded(audit, kind):
    assert record(audit, 99, kind).kind == kind
    assert audit.verify().problem is None


def test_what_cannot_be_written_is_refused_and_leaves_nothing(audit):
    with pytest.raises(AuditError, match="kind 'renamed' is not one of trained, evaluated"):
        record(audit, 1, "renamed")
    with pytest.raises(AuditError, match="holds what JSON cannot"):
        audit.record("erased", None, identity={}, by="x", why="", moment=None, evidence={"n": float("nan")})
    assert audit.verify().head.seq == ENTRIES_OF_A_LOG


def test_an_entry_is_an_object_under_its_number_that_a_person_can_read(audit):
    text = entry_file(audit, 3).read_text()
    assert text.startswith('{"seq":3,"previous":"') and text.endswith('"}\n') and '"kind":"trained"' in text


@pytest.mark.parametrize("hours", [1, 24 * 400])
def test_a_clock_that_was_set_back_takes_no_entry_back_and_is_named(audit, monkeypatch, hours):
    last, early = list(audit.entries())[-1], datetime.now(UTC) - timedelta(hours=hours)
    with monkeypatch.context() as patch:
        patch.setattr(resources.audit.log, "wall_clock", lambda: early.isoformat(timespec="microseconds"))
        behind = [record(audit, number) for number in (20, 21)]
    assert [(entry.at, entry.clock) for entry in behind] == 2 * [(last.at, early)]
    after = record(audit, 22)
    assert after.at > last.at and after.clock is None
    assert audit.verify().problem is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda audit: entry_file(audit, 7).unlink(),
        lambda audit: entry_file(audit, 7).write_bytes(entry_file(audit, 6).read_bytes()),
        lambda audit: entry_file(audit, 4).unlink(),
        lambda audit: entry_file(audit, 4).write_bytes(b"{}\n"),
        lambda audit: head_file(audit).unlink(),
        lambda audit: head_file(audit).write_bytes(b""),
        lambda audit: [entry_file(audit, number).unlink() for number in range(1, 8)],
    ],
    ids=["cut", "doubled", "missing", "altered", "without a head", "torn head", "emptied"],
)
def test_nothing_is_read_from_a_log_that_is_not_what_was_written_or_recorded_in_it(audit, harm):
    harm(audit)
    with pytest.raises(AuditError, match="`mlops audit verify` says what holds"):
        list(audit.entries())
    with pytest.raises(AuditError, match="Until then nothing is read from it or recorded"):
        record(audit, 50)
    assert fault(audit)


def test_a_log_whose_end_is_cut_off_under_a_running_process_is_not_gone_on_with(audit):
    assert record(audit, 8).seq == 8
    entry_file(audit, 8).unlink()
    with pytest.raises(
        AuditError, match="ends with entry 7, and its head names entry 8: the last 1 were cut off"
    ):
        record(audit, 9)


def test_a_text_beside_the_log_is_kept_as_it_was_first(audit):
    audit.keep("specs/a.json", "first")
    audit.keep("specs/a.json", "second")
    assert (audit.text("specs/a.json"), audit.text("specs/b.json")) == ("first", None)
    assert Path(audit.folder, "specs", "a.json").read_text() == "first"
