"""The audit log's file format: one JSON line an entry, each sealed with a SHA-256 that covers the line before it.

A line is `{"seq":3,"previous":"<hash of line 2>","event":"<identity>",...,"hash":"<hash>"}`. The hash is taken over the
canonical JSON of everything before it: ASCII, no spaces, the three envelope keys first and the rest sorted. So a line is
verified from its raw bytes, without being parsed. `head.json` says where the log ends, because a chain alone does not
show that its last lines are gone.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from resources.storage.durable import write_bytes
from resources.storage.locks import file_lock

LOG_FILE, HEAD_FILE, LOCK_FILE = "log.jsonl", "head.json", ".lock"
GENESIS = "0" * 64
SEAL = len(',"hash":""}\n') + 64


class AuditError(Exception):
    """The audit log cannot take an entry: it is not what its head says, or the entry cannot be written."""


@dataclass(frozen=True)
class Head:
    """Where the log ends: number and hash of the last entry, and the length of the file up to there in bytes."""

    seq: int = 0
    hash: str = GENESIS
    bytes: int = 0

    def text(self) -> str:
        """The only content that `head.json` may have for this head."""
        return f'{{"seq":{self.seq},"hash":"{self.hash}","bytes":{self.bytes}}}\n'


@dataclass(frozen=True)
class Problem:
    """The first thing that is wrong, in the log (with its line number, from 1) or beside it (None)."""

    line: int | None
    what: str


@dataclass(frozen=True)
class Report:
    """What a verification found: the last entry that holds, the problem if there is one, and what is worth knowing."""

    head: Head
    problem: Problem | None = None
    notes: list[str] = field(default_factory=list)


def event_identity(kind: str, model: str | None, identity: Mapping[str, Any]) -> str:
    """What makes a decision the same decision, whoever records it, when and how often: SHA-256 in hex."""
    return hashlib.sha256(_canonical({"identity": dict(identity), "kind": kind, "model": model})).hexdigest()


def sealed(head: Head, event: str, content: Mapping[str, Any]) -> tuple[bytes, Head]:
    """The line that follows `head`, and the head after it."""
    envelope = b'{"seq":%d,"previous":"%b","event":"%b",'
    start = envelope % (head.seq + 1, head.hash.encode(), event.encode())
    body = start + _canonical(content)[1:]
    digest = hashlib.sha256(body).hexdigest()
    line = body[:-1] + _seal(digest)
    return line, Head(head.seq + 1, digest, head.bytes + len(line))


def follow(lines: Iterable[bytes], head: Head) -> Iterator[tuple[bytes, int, str, int]]:
    """Each line that follows `head` unbroken, with its number, its hash and the file's length after it.

    Stops before the first line that does not follow.
    """
    seq, digest, size = head.seq, head.hash, head.bytes
    for line in lines:
        seq += 1
        found = hashlib.sha256(line[:-SEAL] + b"}").hexdigest()
        start = b'{"seq":%d,"previous":"%b",' % (seq, digest.encode())
        if not line.startswith(start) or line[-SEAL:] != _seal(found):
            return
        digest, size = found, size + len(line)
        yield line, seq, digest, size


def read_head(folder: Path) -> Head | None:
    """The head that is written down, or None where none is; one that is not exactly as written is an error."""
    path = folder / HEAD_FILE
    if not path.exists():
        return None
    text = path.read_text(errors="replace")
    try:
        head = Head(**json.loads(text))
    except (ValueError, TypeError):
        head = None
    if head is None or head.text() != text:
        raise AuditError(f"{path} is not a head as it is written: {text[:100]!r}")
    return head


def write_head(folder: Path, head: Head) -> None:
    """Replace the head whole; file and folder are flushed to disk when this returns."""
    write_bytes(folder / HEAD_FILE, head.text().encode())
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def verify(folder: Path, anchors: Mapping[str, tuple[int, str]] | None = None) -> Report:
    """Read the whole log once and name the first line that is not what was written.

    `anchors` are places outside the folder that remember an entry: where -> (seq, hash).
    """
    writable = folder.is_dir() and os.access(folder, os.W_OK)
    with file_lock(folder / LOCK_FILE) if writable else nullcontext():
        return _verified(folder, dict(anchors or {}))


def _verified(folder: Path, anchors: Mapping[str, tuple[int, str]]) -> Report:
    try:
        said = read_head(folder)
    except AuditError as error:
        return Report(Head(), Problem(None, str(error)))
    path = folder / LOG_FILE
    if not path.exists():
        return Report(Head(), _missing(path, said) or _anchored(anchors, {}, Head()))
    last, seen = _walk(path, {*(seq for seq, _ in anchors.values()), said.seq if said else 0})
    problem = _end(path, last, said, seen) or _anchored(anchors, seen, last)
    return Report(last, problem, [] if problem or not said else _interrupted(path, last, said))


def _walk(path: Path, wanted: set[int]) -> tuple[Head, dict[int, Head]]:
    """The last entry that holds, and the entries with the numbers that are wanted."""
    seq, digest, size = 0, GENESIS, 0
    seen = {0: Head()}
    with path.open("rb", buffering=2**20) as handle:
        for _, seq, digest, size in follow(handle, Head()):
            if seq in wanted:
                seen[seq] = Head(seq, digest, size)
    return Head(seq, digest, size), seen


def _end(path: Path, last: Head, said: Head | None, seen: Mapping[int, Head]) -> Problem | None:
    """What is wrong where the unbroken part ends, given what the head says."""
    if said is None:
        return Problem(None, f"{HEAD_FILE} is missing beside a log of {last.seq} entries")
    if last.seq < said.seq:
        return diagnosed(path, last, said)
    if seen[said.seq] != said:
        return Problem(
            said.seq, f"{HEAD_FILE} says otherwise of entry {said.seq}: the log or the head was replaced"
        )
    return None


def _interrupted(path: Path, last: Head, said: Head) -> list[str]:
    """What an append that was interrupted left behind; none of it is a fault."""
    rest = path.stat().st_size - last.bytes
    whole = f"the append of entry {last.seq} was interrupted after it was written: the next append keeps it"
    torn = f"{rest} bytes of an interrupted append follow entry {last.seq}: the next append puts them aside"
    return [whole] * (last.seq > said.seq) + [torn] * (rest > 0)


def diagnosed(path: Path, last: Head, said: Head) -> Problem:
    """What is wrong with the line after the last one that holds."""
    line, seq = last.seq + 1, last.seq + 1
    with path.open("rb") as handle:
        handle.seek(last.bytes)
        raw = handle.readline()
        if not raw:
            missing = f"the log ends before entry {seq}; {HEAD_FILE} says that there are {said.seq}"
            return Problem(line, f"{missing}: the last {said.seq - last.seq} were cut off")
        entry = whole(raw)
        if entry is None:
            return Problem(line, "the line was altered: its content does not have the hash that it carries")
        if entry["seq"] != seq:
            where = _line_of(handle, seq, line + 1)
            moved = (
                f"entry {seq} stands at line {where}: out of order" if where else f"entry {seq} is missing"
            )
            return Problem(line, f"entry {entry['seq']} stands where entry {seq} belongs; {moved}")
    return Problem(line, f"entry {seq} does not follow from the line before: one of the two was replaced")


def whole(raw: bytes) -> dict[str, Any] | None:
    """The entry of a line whose content has the hash that it carries, else None."""
    if raw[-SEAL:] != _seal(hashlib.sha256(raw[:-SEAL] + b"}").hexdigest()):
        return None
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("seq"), int) else None


def _line_of(handle: BinaryIO, seq: int, first: int) -> int | None:
    start = b'{"seq":%d,' % seq
    return next((number for number, raw in enumerate(handle, first) if raw.startswith(start)), None)


def _missing(path: Path, said: Head | None) -> Problem | None:
    if said is None or said.seq == 0:
        return None
    return Problem(1, f"{path.name} is missing; {HEAD_FILE} says that there are {said.seq} entries")


def _anchored(anchors: Mapping[str, tuple[int, str]], seen: Mapping[int, Head], last: Head) -> Problem | None:
    for where, (seq, digest) in anchors.items():
        if seq > last.seq:
            what = f"{where} remembers entry {seq}, the log ends with entry {last.seq}: its tail was cut off"
            return Problem(last.seq + 1, what)
        if seen[seq].hash != digest:
            what = f"{where} remembers entry {seq} with hash {digest}, the log has {seen[seq].hash}"
            return Problem(seq, f"{what}: the log was written anew")
    return None


def _seal(digest: str) -> bytes:
    return b',"hash":"%b"}\n' % digest.encode()


def _canonical(content: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AuditError(
            f"an audit entry holds what JSON cannot: {error}; give text, whole or finite numbers"
        ) from error
    return text.encode("ascii")
