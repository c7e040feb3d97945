"""The format of the audit log: one JSON line an entry, an object of its own, chained by hash and sealed with a key.

A line is `{"seq":3,"previous":"<hash of 2>","event":"<identity>","key":"<id>","at":"<moment>",...,"hash":"<hash>",
"seal":"<seal>"}`. The hash is the SHA-256 of the canonical JSON of everything before it: ASCII, no spaces, the five
envelope keys first and the rest sorted. The seal is the HMAC of that hash. So a line is verified from its raw bytes,
without being parsed. `sealed_head.json` says where the log ends, because a chain alone does not show that its last
entries are gone.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resources.audit.errors import AuditError, BrokenChainError
from resources.audit.keys import Key

ENTRIES, HEAD = "entries", "sealed_head.json"
GENESIS = "0" * 64
DIGITS = 10
"""Digits of an entry's number in its name, so that names sort as numbers do."""

KEY_CHANGED, MIGRATED = "key_changed", "migrated"
NAME = re.compile(rf"{ENTRIES}/(\d{{{DIGITS}}})\.json")
_START = re.compile(
    rb'\{"seq":(\d+),"previous":"([0-9a-f]{64})","event":"([0-9a-f]{64})","key":"([0-9a-f]{16})","at":"([^"]{32})",'
)
_END = re.compile(rb',"hash":"([0-9a-f]{64})","seal":"([0-9a-f]{64})"\}\n')
_END_BYTES = len(',"hash":"","seal":""}\n') + 128


@dataclass(frozen=True)
class Place:
    """Where a log stands after an entry: its number, hash and moment, and the key that seals the next one (None: any)."""

    seq: int = 0
    hash: str = GENESIS
    key: str | None = None
    at: str = ""


@dataclass(frozen=True)
class Envelope:
    """What stands at both ends of a line."""

    seq: int
    previous: str
    event: str
    key: str
    at: str
    hash: str
    seal: str


def entry_name(seq: int) -> str:
    """The name under which an entry is stored."""
    return f"{ENTRIES}/{seq:0{DIGITS}}.json"


def event_identity(kind: str, model: str | None, identity: Mapping[str, Any]) -> str:
    """What makes a decision the same decision, whoever records it, when and how often: SHA-256 in hex."""
    return hashlib.sha256(canonical({"identity": dict(identity), "kind": kind, "model": model})).hexdigest()


def entry_line(place: Place, key: Key, event: str, at: str, content: Mapping[str, Any]) -> bytes:
    """The line of the entry that follows a place."""
    envelope = b'{"seq":%d,"previous":"%b","event":"%b","key":"%b","at":"%b",' % (
        place.seq + 1,
        *(text.encode() for text in (place.hash, event, key.id, at)),
    )
    body = envelope + canonical(content)[1:]
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + b',"hash":"%b","seal":"%b"}\n' % (digest.encode(), key.seal("entry", digest).encode())


def envelope_of(line: bytes) -> Envelope | None:
    """Both ends of a line whose content has the hash that it carries, else None."""
    start, end = _START.match(line), _END.fullmatch(line[-_END_BYTES:])
    if start is None or end is None:
        return None
    digest = hashlib.sha256(line[:-_END_BYTES] + b"}").hexdigest()
    seq, *texts = (part.decode("ascii", errors="replace") for part in (*start.groups(), *end.groups()))
    ends = Envelope(int(seq), *texts)
    return ends if ends.hash == digest else None


def sealed_envelope(line: bytes) -> Envelope:
    """Both ends of a line that was verified before."""
    ends = envelope_of(line)
    assert ends is not None, "a line that was verified has both its ends"
    return ends


def follow(place: Place, line: bytes, keys: Mapping[str, Key]) -> Place:
    """The place after an entry; raises BrokenChainError with the first rule that it breaks."""
    ends, seq = envelope_of(line), place.seq + 1
    if ends is None:
        raise BrokenChainError(
            f"entry {seq} was altered: its content does not have the hash that it carries", seq
        )
    if ends.seq != seq:
        raise BrokenChainError(
            f"entry {ends.seq} stands in the place of entry {seq}: it was doubled or moved", seq
        )
    _refuse_seal(ends, place, keys)
    if ends.previous != place.hash:
        raise BrokenChainError(
            f"entry {seq} does not follow from entry {place.seq}: one of the two was replaced, or is of another log",
            seq,
        )
    if ends.at < place.at:
        raise BrokenChainError(f"entry {seq} goes back in time: {ends.at}, after {place.at}", seq)
    return Place(seq, ends.hash, _next_key(ends, line), ends.at)


def kind_is(line: bytes, kind: str) -> bool:
    """Whether an entry is of a kind; most others are told without parsing."""
    return b'"kind":"%b"' % kind.encode() in line and json.loads(line)["kind"] == kind


def canonical(content: Mapping[str, Any]) -> bytes:
    """The one text that a content has in the log."""
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AuditError(
            f"an audit entry holds what JSON cannot: {error}; give text, whole or finite numbers"
        ) from error
    return text.encode("ascii")


def head_text(place: Place, key: Key) -> bytes:
    """The only content that the head may have for a place."""
    body = f'{{"seq":{place.seq},"hash":"{place.hash}","key":"{key.id}"'
    return f'{body},"seal":"{key.seal("head", body)}"}}\n'.encode()


def head_of(text: bytes, keys: Mapping[str, Key]) -> Place:
    """Number, hash and key that a head gives; raises BrokenChainError where it was not sealed with a key of this log."""
    try:
        held = json.loads(text)
        place, key = Place(held["seq"], held["hash"], held["key"]), keys.get(held["key"])
    except (ValueError, TypeError, KeyError):
        raise BrokenChainError(f"{HEAD} is no head as it is written: {text[:100]!r}") from None
    if key is None:
        raise BrokenChainError(
            f"{HEAD} is foreign: it is sealed with key {place.key!r}, which is not in the key file"
        )
    if text != head_text(place, key):
        raise BrokenChainError(f"{HEAD} was altered: its seal does not fit")
    return place


def _refuse_seal(ends: Envelope, place: Place, keys: Mapping[str, Key]) -> None:
    key = keys.get(ends.key)
    if key is None:
        raise BrokenChainError(
            f"entry {ends.seq} is foreign: it is sealed with key {ends.key}, which is not in the key file",
            ends.seq,
        )
    if not key.fits("entry", ends.hash, ends.seal):
        raise BrokenChainError(
            f"entry {ends.seq} is forged: its seal was not made with key {ends.key}, which it names", ends.seq
        )
    if place.key not in (None, ends.key):
        raise BrokenChainError(
            f"entry {ends.seq} is sealed with key {ends.key}, where key {place.key} seals: a key that was retired, or "
            f"is of another log",
            ends.seq,
        )


def _next_key(ends: Envelope, line: bytes) -> str:
    return json.loads(line)["evidence"]["key"] if kind_is(line, KEY_CHANGED) else ends.key
