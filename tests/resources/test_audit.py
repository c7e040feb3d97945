"""The audit log is found out whatever byte or line of it changes, and outlives every way in which its writer can die."""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resources.audit.log
from resources.audit.chain import HEAD_FILE, LOG_FILE, Head, read_head, sealed, verify, write_head
from resources.audit.log import KINDS, Audit, AuditError

ENTRIES = 7
MOMENT = datetime(2013, 7, 1, 4, tzinfo=UTC)


def record(audit: Audit, number: int, kind: str = "trained", model: str | None = "flight_delay"):
    return audit.record(
        kind,  # type: ignore[arg-type]
        model,
        identity={"number": number},
        by='sensor "retrain"',
        why="ältere Daten\nand a line break",
        moment=MOMENT,
        evidence={"run": f"run-{number}", "event": "x", "kind": "promoted", "gain": 0.25},
        version=number,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of seven entries."""
    folder = tmp_path_factory.mktemp("audit") / "audit"
    audit = Audit(folder=str(folder))
    for number in range(1, ENTRIES + 1):
        record(audit, number)
    return folder


@pytest.fixture
def audit(written: Path, tmp_path: Path) -> Audit:
    return Audit(folder=str(shutil.copytree(written, tmp_path / "audit")))


def log_of(audit: Audit) -> Path:
    return Path(audit.folder, LOG_FILE)


def changed(written: Path, log: bytes | None = None, head: bytes | None = None) -> Path:
    """A folder beside it whose log or head has another content; overwritten by the next call."""
    folder = written.with_name("changed")
    folder.mkdir(exist_ok=True)
    (folder / LOG_FILE).write_bytes((written / LOG_FILE).read_bytes() if log is None else log)
    (folder / HEAD_FILE).write_bytes((written / HEAD_FILE).read_bytes() if head is None else head)
    return folder


def line_of(log: bytes, place: int) -> int:
    return log.count(b"\n", 0, place) + 1


def test_a_log_as_it_was_written_is_whole(written):
    report = verify(written)
    assert (report.problem, report.notes, report.head) == (None, [], read_head(written))
    assert report.head.seq == ENTRIES


def test_nothing_at_all_is_whole_too(tmp_path):
    assert verify(tmp_path / "audit").problem is None


@given(data=st.data())
def test_any_byte_that_is_changed_is_found_with_its_line(written, data):
    log = (written / LOG_FILE).read_bytes()
    place = data.draw(st.integers(0, len(log) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != log[place]))
    report = verify(changed(written, log[:place] + bytes([byte]) + log[place + 1 :]))
    assert report.problem is not None
    assert report.problem.line == line_of(log, place)


@given(data=st.data())
def test_any_byte_of_the_head_that_is_changed_is_found(written, data):
    head = (written / HEAD_FILE).read_bytes()
    place = data.draw(st.integers(0, len(head) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != head[place]))
    assert verify(changed(written, head=head[:place] + bytes([byte]) + head[place + 1 :])).problem


@given(data=st.data())
def test_any_bytes_that_are_cut_out_or_off_are_found_with_the_first_line_they_touch(written, data):
    log = (written / LOG_FILE).read_bytes()
    start = data.draw(st.integers(0, len(log) - 1))
    stop = data.draw(st.integers(start + 1, len(log)))
    report = verify(changed(written, log[:start] + log[stop:]))
    assert report.problem is not None
    assert report.problem.line == line_of(log, start)


@given(places=st.lists(st.integers(0, ENTRIES - 1), max_size=ENTRIES + 2))
def test_any_other_choice_or_order_of_the_lines_is_found_with_the_first_wrong_one(written, places):
    lines = (written / LOG_FILE).read_bytes().splitlines(keepends=True)
    if places == list(range(ENTRIES)):
        return
    report = verify(changed(written, b"".join(lines[place] for place in places)))
    expected = next((i for i, place in enumerate(places) if place != i), min(len(places), ENTRIES))
    if places[:ENTRIES] == list(range(ENTRIES)):
        assert report.problem is None and report.notes, "what follows the head is no entry"
    else:
        assert report.problem is not None and report.problem.line == expected + 1


def said(folder: Path, anchors: dict[str, tuple[int, str]] | None = None) -> str:
    problem = verify(folder, anchors).problem
    assert problem is not None
    return f"{problem.line}: {problem.what}"


def test_what_is_wrong_is_told_in_words(written):
    lines = (written / LOG_FILE).read_bytes().splitlines(keepends=True)
    altered = [*lines[:2], lines[2].replace(b"run-3", b"run-9"), *lines[3:]]
    assert said(changed(written, b"".join(altered))).startswith("3: the line was altered")
    dropped = [*lines[:2], *lines[3:]]
    assert "3: entry 4 stands where entry 3 belongs; entry 3 is missing" in said(
        changed(written, b"".join(dropped))
    )
    swapped = [*lines[:2], lines[3], lines[2], *lines[4:]]
    assert "entry 3 stands at line 4: out of order" in said(changed(written, b"".join(swapped)))
    assert "the last 2 were cut off" in said(changed(written, b"".join(lines[:5])))
    (folder := changed(written)).joinpath(HEAD_FILE).unlink()
    assert "head.json is missing beside a log of 7 entries" in said(folder)
    (folder := changed(written)).joinpath(LOG_FILE).unlink()
    assert "log.jsonl is missing; head.json says that there are 7 entries" in said(folder)


def rewritten(folder: Path, upto: int, why: str) -> Head:
    """The log as somebody with write access to the whole folder would make it anew, chain, head and all."""
    lines = [json.loads(line) for line in (folder / LOG_FILE).read_bytes().splitlines()][:upto]
    head, log = Head(), b""
    for entry in lines:
        content = {k: v for k, v in entry.items() if k not in ("seq", "previous", "event", "hash")}
        line, head = sealed(head, entry["event"], content | {"why": why})
        log += line
    (folder / LOG_FILE).write_bytes(log)
    write_head(folder, head)
    return head


def test_a_line_that_was_replaced_with_its_hash_made_anew_is_found(written):
    lines = (written / LOG_FILE).read_bytes().splitlines(keepends=True)
    previous = json.loads(lines[3])["previous"]
    entry = json.loads(lines[3])
    content = {k: v for k, v in entry.items() if k not in ("seq", "previous", "event", "hash")}
    forged, _ = sealed(Head(3, previous), entry["event"], content | {"by": "nobody"})
    assert "5: entry 5 does not follow from the line before" in said(
        changed(written, b"".join([*lines[:3], forged, *lines[4:]]))
    )


def test_a_log_that_was_written_anew_or_cut_with_its_head_is_found_by_what_remembers_it_elsewhere(written):
    remembered = json.loads((written / LOG_FILE).read_bytes().splitlines()[5])
    anchors = {"MLflow": (6, remembered["hash"])}
    assert verify(changed(written), anchors).problem is None
    rewritten(folder := changed(written), ENTRIES, "a better story")
    assert verify(folder).problem is None
    assert "6: MLflow remembers entry 6 with hash" in said(folder, anchors)
    rewritten(folder, 4, "x")
    assert "5: MLflow remembers entry 6, the log ends with entry 4: its tail was cut off" in said(
        folder, anchors
    )


def test_an_entry_comes_back_as_it_was_recorded(audit):
    before = datetime.now(UTC)
    made = record(audit, 9, "promoted", "arrival_minutes")
    assert list(audit.entries("arrival_minutes")) == [made]
    assert (made.kind, made.version, made.by, made.moment) == ("promoted", 9, 'sensor "retrain"', MOMENT)
    assert made.why == "ältere Daten\nand a line break"
    assert before <= made.at <= datetime.now(UTC)
    assert list(audit.entries(since=made.at)) == [made]
    assert audit.latest("arrival_minutes", ("promoted", "rolled_back")) == made
    assert audit.latest("flight_delay", ("promoted",)) is None, (
        "a word in the evidence is not the entry's kind"
    )
    assert [entry.version for entry in audit.entries("flight_delay")] == list(range(1, ENTRIES + 1))


def test_the_same_decision_is_one_entry_and_another_one_is_not(audit):
    first = record(audit, 3)
    assert (first.seq, verify(Path(audit.folder)).head.seq) == (3, ENTRIES)
    assert record(audit, 3, model="arrival_minutes").seq == ENTRIES + 1
    assert record(audit, 3, kind="evaluated").seq == ENTRIES + 2
    assert audit.find("evaluated", "flight_delay", {"number": 3}).seq == ENTRIES + 2
    assert audit.find("evaluated", "flight_delay", {"number": 4}) is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_recorded(audit, kind):
    assert record(audit, 99, kind).kind == kind
    assert audit.verify().problem is None


def test_what_cannot_be_written_is_refused_and_leaves_nothing(audit):
    with pytest.raises(AuditError, match="kind 'renamed' is not one of trained, evaluated"):
        record(audit, 1, "renamed")
    with pytest.raises(AuditError, match="holds what JSON cannot"):
        audit.record("erased", None, identity={}, by="x", why="", moment=None, evidence={"n": float("nan")})
    assert audit.verify().head.seq == ENTRIES


@pytest.mark.parametrize(
    "harm",
    [
        lambda log: log[:-200],
        lambda log: log[:-20] + b"0" * 16 + log[-4:],
        lambda log: b"",
    ],
    ids=["cut", "altered at its end", "emptied"],
)
def test_nothing_is_recorded_beside_a_log_that_is_not_what_its_head_says(audit, harm):
    log_of(audit).write_bytes(harm(log_of(audit).read_bytes()))
    with pytest.raises(AuditError, match="`mlops audit verify` names the line"):
        record(audit, 50)


def test_an_altered_line_is_not_read_as_an_entry(audit):
    log_of(audit).write_bytes(log_of(audit).read_bytes().replace(b"run-3", b"run-9"))
    with pytest.raises(AuditError, match="a line of the audit log was altered"):
        list(audit.entries())


def killed(work: Callable[[], object]) -> None:
    """Do it in a process of its own, which must end by SIGKILL."""
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        return
    try:
        work()
    finally:
        os._exit(1)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_append_that_was_killed_before_its_head_is_kept_by_the_next_one(audit, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(resources.audit.log, "write_head", die)
        killed(lambda: record(audit, 50))
    report = audit.verify()
    assert report.problem is None and "entry 8 was interrupted after it was written" in report.notes[0]
    assert record(audit, 51).seq == ENTRIES + 2
    assert "entry 8 of an interrupted append is kept" in caplog.text
    assert record(audit, 50).seq == ENTRIES + 1, "the decision of the killed process is there once"
    assert (audit.verify().problem, audit.verify().notes) == (None, [])


@given(share=st.floats(0, 1, exclude_max=True))
def test_an_append_that_was_torn_anywhere_is_put_aside_and_loses_no_entry(written, share):
    folder = changed(written)
    for file in folder.glob("torn-*"):
        file.unlink()
    line, _ = sealed(read_head(folder) or Head(), "e" * 64, {"why": "torn", "version": None})
    part = line[: int(share * len(line))]
    with (folder / LOG_FILE).open("ab") as handle:
        handle.write(part)
    audit = Audit(folder=str(folder))
    assert audit.verify().problem is None
    assert bool(audit.verify().notes) == bool(part)
    assert record(audit, 60).seq == ENTRIES + 1
    assert (audit.verify().problem, audit.verify().notes) == (None, [])
    assert [file.read_bytes() for file in folder.glob("torn-*")] == ([part] if part else [])


def test_a_first_append_that_was_killed_before_its_head_leaves_a_log_that_is_whole(tmp_path, monkeypatch):
    audit, real = Audit(folder=str(tmp_path / "new")), resources.audit.log.write_head
    with monkeypatch.context() as patch:
        patch.setattr(resources.audit.log, "write_head", lambda f, head: die() if head.seq else real(f, head))
        killed(lambda: record(audit, 1))
    assert audit.verify().problem is None
    assert [record(audit, number).seq for number in (2, 1)] == [2, 1]


def _record_some(folder: str, numbers: list[int]) -> None:
    for number in numbers:
        record(Audit(folder=folder), number)


def test_processes_that_append_at_once_lose_and_double_nothing(tmp_path):
    folder, fork = str(tmp_path / "audit"), multiprocessing.get_context("fork")
    shares = [list(range(start, start + 20)) for start in (0, 10, 20, 30)]
    running = [fork.Process(target=_record_some, args=(folder, share)) for share in shares]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * 4
    assert sorted(entry.version or 0 for entry in Audit(folder=folder).entries()) == list(range(50))
    assert verify(Path(folder)).problem is None
