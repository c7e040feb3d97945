"""The key is made for an empty log only, is nobody else's to read, is never shown, and can be changed."""

import shutil
import stat
from pathlib import Path

import pytest

from resources.audit.errors import AuditKeyError
from resources.audit.keys import Key, KeyFile
from resources.audit.log import Audit, AuditError
from tests.resources.audit.logs import copy_of, entry_file, fault, key_path, log_in, record


@pytest.fixture
def audit(tmp_path) -> Audit:
    return log_in(tmp_path / "home", 3)


def test_the_first_entry_makes_a_key_that_only_its_owner_can_read(audit):
    assert stat.S_IMODE(key_path(audit).stat().st_mode) == 0o600
    assert len(bytes.fromhex(key_path(audit).read_text())) == 32


def test_two_logs_have_two_keys(tmp_path):
    keys = {key_path(log_in(tmp_path / name, 1)).read_text() for name in ("a", "b")}
    assert len(keys) == 2


def test_a_log_without_its_key_is_neither_read_nor_gone_on_with_nor_given_another_key(audit):
    key_path(audit).unlink()
    for act in (
        lambda: record(audit, 9),
        audit.verify,
        lambda: copy_of(audit, Path(audit.folder).parent.parent / "b").latest("m", ()),
    ):
        with pytest.raises(
            AuditKeyError, match="is missing: put it back from a copy, or name the file with MLOPS_AUDIT"
        ):
            act()
    assert not key_path(audit).exists()


def test_a_log_with_the_key_of_another_is_not_gone_on_with(audit, tmp_path):
    shutil.copy(key_path(log_in(tmp_path / "other", 1)), key_path(audit))
    with pytest.raises(AuditError, match=r"is sealed with key [0-9a-f]{16}, which .*audit\.key lacks"):
        record(audit, 9)
    assert "entry 1 is foreign" in fault(audit)


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604, 0o666])
def test_a_key_that_is_open_to_others_is_refused(audit, mode):
    key_path(audit).chmod(mode)
    with pytest.raises(AuditKeyError, match=f"has mode {mode:o}: others may read or change it; `chmod 600"):
        record(audit, 9)


def test_a_key_that_a_secret_store_gives_to_its_group_is_taken(audit):
    key_path(audit).chmod(0o440)
    assert record(audit, 9).seq == 4


@pytest.mark.parametrize("text", ["", "abc\n", "x" * 64 + "\n", "\n" + "a" * 64 + "\n"])
def test_what_is_no_list_of_keys_is_refused_without_being_shown(tmp_path, text):
    path = tmp_path / "audit.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(AuditKeyError, match="line 1 is no key: a key is 64 hexadecimal digits") as refused:
        KeyFile(path).load()
    assert text.strip() == "" or text.strip() not in str(refused.value)


def test_the_key_can_lie_in_a_file_that_is_named(tmp_path):
    path = tmp_path / "store" / "key"
    audit = Audit(folder=str(tmp_path / "home" / "audit"), key_file=str(path))
    record(audit, 1)
    assert path.exists() and not (tmp_path / "home" / "keys").exists()


def test_a_log_in_a_bucket_needs_to_be_told_where_its_key_lies():
    with pytest.raises(AuditKeyError, match="has no key file: name one with MLOPS_AUDIT_KEY_FILE"):
        Audit(folder="s3://bucket/prefix").verify()


def test_a_changed_key_is_an_entry_that_the_old_one_seals_and_seals_what_follows(audit):
    first = record(audit, 1).key
    change = audit.change_key("ada", "the laptop was lost")
    after = record(audit, 9)
    assert (change.kind, change.key, change.evidence) == ("key_changed", first, {"key": after.key})
    assert after.key != first and audit.verify().problem is None
    again = Audit(folder=audit.folder, key_file=str(key_path(audit).resolve()))
    assert [entry.key for entry in again.entries()] == 4 * [first] + [after.key]
    assert stat.S_IMODE(key_path(audit).stat().st_mode) == 0o600


def test_a_retired_key_seals_nothing_any_more(audit, tmp_path):
    retired = Key(bytes.fromhex(key_path(audit).read_text()))
    audit.change_key("ada", "the laptop was lost")
    from resources.audit.chain import entry_line

    content = {"kind": "promoted", "model": "m", "evidence": {}}
    head = audit.verify().head
    entry_file(audit, 5).write_bytes(entry_line(head, retired, "e" * 64, head.at, content))
    assert f"5: entry 5 is sealed with key {retired.id}, where key {head.key} seals" in fault(audit)


def test_a_change_of_key_that_was_killed_before_its_entry_takes_the_key_that_it_made(audit):
    spare = KeyFile(key_path(audit)).add()
    assert record(audit, 9).key != spare.id, "a key that no entry names seals nothing"
    assert audit.change_key("ada", "again").evidence == {"key": spare.id}
    assert len(key_path(audit).read_text().split()) == 2


def test_a_key_file_that_cannot_be_written_says_where_the_next_key_goes(audit):
    with (
        key_path(audit).open() as handle,
        pytest.raises(AuditKeyError, match="add a line with 64 random hex"),
    ):
        KeyFile(Path(f"/proc/self/fd/{handle.fileno()}")).add()


def test_a_key_is_never_shown(audit):
    text = key_path(audit).read_text().strip()
    key = Key(bytes.fromhex(text))
    shown = [
        repr(key),
        str(key),
        repr(audit),
        str(audit.journal.__dict__),
        repr(KeyFile(key_path(audit)).load()),
    ]
    assert [line for line in shown if text in line or repr(key.secret) in line] == []
    files = [path for path in Path(audit.folder).rglob("*") if path.is_file()]
    assert len(files) > 3 and [path for path in files if text.encode() in path.read_bytes()] == []
