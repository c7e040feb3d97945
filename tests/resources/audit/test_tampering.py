"""Whoever has no key changes nothing in the log that is not seen: altered, extra, doubled, foreign, missing, moved."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.audit.chain import Place, canonical, entry_line, entry_name, envelope_of, head_text
from resources.audit.journal import journal_of
from resources.audit.keys import Key
from resources.audit.log import Audit, AuditError
from tests.resources.audit.logs import (
    ENTRIES_OF_A_LOG,
    copy_of,
    entry_file,
    fault,
    head_file,
    key_path,
    log_in,
    record,
)

NUMBERS = st.integers(1, ENTRIES_OF_A_LOG)
ENVELOPE = ("seq", "previous", "event", "key", "at", "hash", "seal")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Audit:
    """A log of seven entries, not to be changed."""
    return log_in(tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Audit:
    """Another log with a key of its own."""
    return log_in(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where generated cases change their copy."""
    return tmp_path_factory.mktemp("cases") / "home"


def stolen_key(audit: Audit) -> Key:
    return Key(bytes.fromhex(key_path(audit).read_text().split()[-1]))


def resealed(line: bytes, key: Key, at: Place | None = None, **changes: object) -> bytes:
    """An entry as whoever holds a key writes it anew, at the same place or another."""
    entry = json.loads(line)
    content = {name: value for name, value in entry.items() if name not in ENVELOPE} | changes
    before = at or Place(entry["seq"] - 1, entry["previous"])
    return entry_line(before, key, entry["event"], entry["at"], content)


@given(number=NUMBERS, data=st.data())
def test_any_byte_that_is_changed_is_found_with_its_entry(written, place, number, data):
    audit = copy_of(written, place)
    line = entry_file(audit, number).read_bytes()
    at = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != line[at]))
    entry_file(audit, number).write_bytes(line[:at] + bytes([byte]) + line[at + 1 :])
    assert fault(audit).startswith(f"{number}: ")


@given(data=st.data())
def test_any_byte_of_the_head_that_is_changed_is_found(written, place, data):
    audit = copy_of(written, place)
    head = head_file(audit).read_bytes()
    at = data.draw(st.integers(0, len(head) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != head[at]))
    head_file(audit).write_bytes(head[:at] + bytes([byte]) + head[at + 1 :])
    assert fault(audit).startswith("None: sealed_head.json ")


@given(numbers=st.sets(NUMBERS, min_size=1))
def test_any_entries_that_are_missing_are_found_also_at_the_end_with_the_first_one(written, place, numbers):
    audit = copy_of(written, place)
    for number in numbers:
        entry_file(audit, number).unlink()
    left = set(range(1, ENTRIES_OF_A_LOG + 1)) - numbers
    said = fault(audit)
    if left and max(left) > min(numbers):
        assert said == f"{min(numbers)}: entry {min(numbers)} is missing"
    else:
        assert f"ends with entry {min(numbers) - 1}, and its head names entry 7" in said


@given(order=st.permutations(range(1, ENTRIES_OF_A_LOG + 1)))
def test_any_other_order_of_the_entries_is_found_with_the_first_that_stands_wrong(written, place, order):
    audit = copy_of(written, place)
    lines = [entry_file(audit, number).read_bytes() for number in order]
    for number, line in enumerate(lines, 1):
        entry_file(audit, number).write_bytes(line)
    first = next((number for number, moved in enumerate(order, 1) if moved != number), None)
    if first is None:
        assert audit.verify().problem is None
    else:
        assert fault(audit).startswith(
            f"{first}: entry {order[first - 1]} stands in the place of entry {first}"
        )


@given(number=NUMBERS)
def test_an_entry_that_is_doubled_at_the_end_is_found(written, place, number):
    audit = copy_of(written, place)
    entry_file(audit, 8).write_bytes(entry_file(audit, number).read_bytes())
    assert fault(audit) == f"8: entry {number} stands in the place of entry 8: it was doubled or moved"


@pytest.mark.parametrize(
    "name", ["3.json", "0000000003 copy.json", "00000000003.json", "more/0000000008.json", "x"]
)
def test_what_lies_among_the_entries_under_another_name_is_extra(written, tmp_path, name):
    audit = copy_of(written, tmp_path / "home")
    path = Path(audit.folder, "entries", name)
    path.parent.mkdir(exist_ok=True)
    shutil.copy(entry_file(audit, 3), path)
    assert fault(audit) == f"None: entries/{name}: extra, no name of an entry"


def test_an_entry_before_the_first_is_extra(written, tmp_path):
    audit = copy_of(written, tmp_path / "home")
    shutil.copy(entry_file(audit, 1), entry_file(audit, 0))
    assert fault(audit) == "1: entries/0000000000.json is extra"


@given(key=st.binary(min_size=32, max_size=32), number=st.integers(1, ENTRIES_OF_A_LOG + 1))
def test_an_entry_with_a_valid_chain_and_another_key_is_foreign(written, place, key, number):
    audit = copy_of(written, place)
    line = entry_file(audit, min(number, ENTRIES_OF_A_LOG)).read_bytes()
    end = audit.verify().head if number > ENTRIES_OF_A_LOG else None
    entry_file(audit, number).write_bytes(resealed(line, Key(key), end, why="planted"))
    said = f"entry {number} is foreign: it is sealed with key {Key(key).id}, which is not in the key file"
    assert fault(audit) == f"{number}: {said}"
    journal_of.cache_clear()
    with pytest.raises(AuditError, match=said):
        list(audit.entries())


@given(seal=st.text("0123456789abcdef", min_size=64, max_size=64))
def test_an_entry_that_names_the_key_and_was_not_sealed_with_it_is_forged(written, place, seal):
    audit = copy_of(written, place)
    planted = resealed(
        entry_file(audit, 7).read_bytes(), stolen_key(audit), audit.verify().head, why="planted"
    )
    entry_file(audit, 8).write_bytes(planted[: -len(seal) - 3] + seal.encode() + b'"}\n')
    assert fault(audit).startswith("8: entry 8 is forged: its seal was not made with key")


def test_entries_of_another_log_are_foreign_and_so_is_its_head(written, other, tmp_path):
    audit = copy_of(written, tmp_path / "home")
    shutil.copy(entry_file(other, 5), entry_file(audit, 5))
    assert fault(audit).startswith("5: entry 5 is foreign")
    audit = copy_of(written, tmp_path / "home")
    shutil.copy(head_file(other), head_file(audit))
    assert fault(audit).startswith("None: sealed_head.json is foreign")


def test_an_entry_of_another_log_with_the_same_key_does_not_follow(written, tmp_path):
    audit = copy_of(written, tmp_path / "home")
    (tmp_path / "second" / "keys").mkdir(parents=True)
    shutil.copy(key_path(written), tmp_path / "second" / "keys" / "audit.key")
    second = log_in(tmp_path / "second")
    shutil.copy(entry_file(second, 5), entry_file(audit, 5))
    assert fault(audit).startswith(
        "5: entry 5 does not follow from entry 4: one of the two was replaced, or is of another"
    )


def test_a_head_that_was_cut_back_with_the_log_needs_the_key(written, tmp_path):
    audit, before = copy_of(written, tmp_path / "home"), written.verify().head
    entry_file(audit, 7).unlink()
    sixth = envelope_of(entry_file(audit, 6).read_bytes())
    assert sixth
    head_file(audit).write_bytes(head_text(Place(6, sixth.hash), Key(b"x" * 32)))
    assert fault(audit).startswith("None: sealed_head.json is foreign")
    head_file(audit).write_bytes(head_text(Place(6, sixth.hash), stolen_key(audit)))
    assert audit.verify().problem is None, "who holds the key can cut the log back"
    remembered = {"MLflow's model m": (before.seq, before.hash)}
    assert "7: MLflow's model m remembers entry 7, the log ends with entry 6" in fault(audit, remembered)


def test_a_log_that_its_key_holder_writes_anew_is_found_by_what_remembers_it_elsewhere(written, tmp_path):
    audit, key, place = copy_of(written, tmp_path / "home"), stolen_key(written), Place()
    remembered = {"MLflow": (6, list(written.entries())[5].hash)}
    assert audit.verify(remembered).problem is None
    for number in range(1, ENTRIES_OF_A_LOG + 1):
        line = resealed(entry_file(audit, number).read_bytes(), key, place, why="a better story")
        entry_file(audit, number).write_bytes(line)
        found = envelope_of(line)
        assert found
        place = Place(number, found.hash)
    head_file(audit).write_bytes(head_text(place, key))
    assert audit.verify().problem is None
    assert "6: MLflow remembers entry 6 with hash" in fault(audit, remembered)


def test_a_decision_that_is_sealed_twice_is_doubled(written, tmp_path):
    audit = copy_of(written, tmp_path / "home")
    third, head = list(audit.entries())[2], audit.verify().head
    again = entry_line(head, stolen_key(audit), third.event, head.at, {"kind": "trained", "evidence": {}})
    entry_file(audit, 8).write_bytes(again)
    assert fault(audit) == "8: entry 8 is doubled: it records the decision of entry 3"


def test_an_entry_that_goes_back_in_time_is_found_though_it_is_sealed(written, tmp_path):
    audit = copy_of(written, tmp_path / "home")
    entry = json.loads(entry_file(audit, 7).read_bytes())
    content = {name: value for name, value in entry.items() if name not in ENVELOPE}
    head = audit.verify().head
    early = "2001-01-01T00:00:00.000000+00:00"
    entry_file(audit, 8).write_bytes(entry_line(head, stolen_key(audit), "e" * 64, early, content))
    assert fault(audit) == f"8: entry 8 goes back in time: {early}, after {head.at}"


def test_an_appended_line_that_seals_itself_as_earlier_releases_did_is_no_entry(written, tmp_path):
    """The chain of before needed no key: whoever could write to the folder could promote."""
    import hashlib

    audit = copy_of(written, tmp_path / "home")
    head = audit.verify().head
    body = b'{"seq":8,"previous":"%b","event":"%b",' % (head.hash.encode(), b"e" * 64)
    body += canonical({"kind": "promoted", "model": "flight_delay", "version": 3})[1:]
    line = body[:-1] + b',"hash":"%b"}\n' % hashlib.sha256(body).hexdigest().encode()
    Path(audit.folder, entry_name(8)).write_bytes(line)
    with pytest.raises(AuditError, match="entry 8 was altered"):
        audit.latest("flight_delay", ("promoted",))
    assert record(written, 3).seq == 3
