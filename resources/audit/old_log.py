"""The log of releases before entries were sealed: one file, one JSON line an entry, each with the hash of the one before.

Only read: a migration keeps the file's bytes, and they are verified by the rule that they were written by. A line is
`{"seq":3,"previous":"<hash of line 2>","event":"<identity>",...,"hash":"<hash>"}`; its head file gives number and hash of
the last entry and the length of the file up to there.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from resources.audit.chain import GENESIS, MIGRATED, Place
from resources.audit.errors import BrokenChainError

LOG_FILE, HEAD_FILE = "log.jsonl", "head.json"
MIGRATED_FOLDER = "migrated"
SEAL = len(',"hash":""}\n') + 64


class OldChainError(BrokenChainError):
    """A line of an old log is not the one that was written; its number counts from 1, None: the fault is in its head."""

    def __init__(self, line: int | None, what: str) -> None:
        super().__init__(f"line {line} of {LOG_FILE}: {what}" if line else what, line)


@dataclass(frozen=True)
class OldHead:
    """Where an old log ends: number and hash of the last entry, and bytes up to there."""

    seq: int = 0
    hash: str = GENESIS
    bytes: int = 0

    def text(self) -> str:
        """The only content that its head file may have."""
        return f'{{"seq":{self.seq},"hash":"{self.hash}","bytes":{self.bytes}}}\n'


@dataclass(frozen=True)
class OldLog:
    """An old log that holds: its whole entries, its end, and the SHA-256 of all its bytes."""

    lines: Sequence[bytes]
    end: OldHead
    sha256: str
    torn: int
    """Bytes of an append that was interrupted, after the last whole entry."""

    @property
    def hashes(self) -> list[str]:
        """The hash of each entry."""
        return [line[-SEAL:].decode()[len(',"hash":"') : -3] for line in self.lines]

    @property
    def place(self) -> Place:
        """Where the first sealed entry follows on."""
        return Place(
            self.end.seq, self.end.hash, None, json.loads(self.lines[-1])["at"] if self.lines else ""
        )

    @property
    def proof(self) -> dict[str, Any]:
        """What the first sealed entry says of it."""
        return {
            "sha256": self.sha256,
            "bytes": self.end.bytes,
            "entries": self.end.seq,
            "head": self.end.hash,
        }


def read_old(log: bytes, head: bytes | None) -> OldLog:
    """Verify an old log by its own rule; raises OldChainError with the first line that is not what was written."""
    said, lines = _head(head), log.splitlines(keepends=True)
    entries, end = [], OldHead()
    for line, after in _unbroken(lines):
        entries.append(line)
        end = after
        if after.seq == said.seq and after != said:
            raise OldChainError(said.seq, f"{HEAD_FILE} says otherwise of entry {said.seq}: one was replaced")
    if end.seq < said.seq:
        raise _diagnosed(lines, end, said)
    return OldLog(entries, end, hashlib.sha256(log).hexdigest(), len(log) - end.bytes)


def refuse_other_proof(line: bytes, old: OldLog) -> None:
    """Raise BrokenChainError unless the first sealed entry keeps the proof of this very old log."""
    entry = json.loads(line)
    if entry["kind"] != MIGRATED or entry["evidence"]["log"] != old.proof:
        raise BrokenChainError(
            f"entry {entry['seq']} does not keep the proof of {MIGRATED_FOLDER}/{LOG_FILE}: that file was replaced or cut",
            entry["seq"],
        )


def old_event(line: bytes) -> str:
    """The identity of the decision that an old line records."""
    return json.loads(line)["event"]


def _unbroken(lines: Sequence[bytes]) -> Iterator[tuple[bytes, OldHead]]:
    """Each line that follows unbroken from the start, with the end of the log after it."""
    digest, size = GENESIS, 0
    for seq, line in enumerate(lines, 1):
        start = b'{"seq":%d,"previous":"%b",' % (seq, digest.encode())
        digest = hashlib.sha256(line[:-SEAL] + b"}").hexdigest()
        if not line.startswith(start) or line[-SEAL:] != b',"hash":"%b"}\n' % digest.encode():
            return
        size += len(line)
        yield line, OldHead(seq, digest, size)


def _head(text: bytes | None) -> OldHead:
    if text is None:
        raise OldChainError(None, f"{HEAD_FILE} is missing beside {LOG_FILE}")
    try:
        head = OldHead(**json.loads(text))
    except (ValueError, TypeError):
        head = None
    if head is None or head.text().encode() != text:
        raise OldChainError(None, f"{HEAD_FILE} is not a head as it is written: {text[:100]!r}")
    return head


def _diagnosed(lines: Sequence[bytes], end: OldHead, said: OldHead) -> OldChainError:
    if len(lines) <= end.seq:
        return OldChainError(
            end.seq + 1, f"the log ends before it: the last {said.seq - end.seq} of {said.seq} were cut off"
        )
    line = lines[end.seq]
    whole = line[-SEAL:] == b',"hash":"%b"}\n' % hashlib.sha256(line[:-SEAL] + b"}").hexdigest().encode()
    if not whole:
        return OldChainError(
            end.seq + 1, "it was altered: its content does not have the hash that it carries"
        )
    return OldChainError(end.seq + 1, "it does not follow from the line before: dropped, moved or replaced")
