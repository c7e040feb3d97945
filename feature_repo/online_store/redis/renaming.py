"""The keys of a project in a Redis under another project's name: an entity's key ends with it, how far a view reaches has it within.

A key is renamed at once, with all that is in it, so whoever is stopped in the middle renames what is left.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from feast.value_type import ValueType

from ..codec.keys import values_end

SCANNED = 5_000
REACH = b"reach:"
NO_KEY = "no such key"
_COUNT, _HEAD = struct.Struct("<I"), struct.Struct("<II")


@dataclass(frozen=True)
class Renamed:
    """How many keys have the new name, and how many were left because there is one of that name already."""

    keys: int = 0
    left: int = 0


def rename_project(address: str, before: str, now: str) -> Renamed:
    """Rename every key of the project `before` in the Redis at an address; keys of others stay, whatever they end with.

    A key whose new name is taken is left as it is: what answers by the new name is newer.
    """
    from redis import Redis

    if before == now:
        return Renamed()
    done = left = 0
    with Redis.from_url(address) as client:
        for names in (_of_entities(client, before, now), _of_reaches(client, before, now)):
            for some in names:
                moved = _rename(client, some)
                done, left = done + sum(moved), left + moved.count(False)
    return Renamed(done, left)


def is_of(key: bytes, project: str) -> bool:
    """Whether a key is that of an entity of a project: names of join keys, as many values, and the project's name."""
    suffix = project.encode()
    if not key.endswith(suffix) or len(key) < _COUNT.size:
        return False
    start, count = _COUNT.size, _COUNT.unpack_from(key)[0]
    for _ in range(count):
        if start + _HEAD.size > len(key) or _HEAD.unpack_from(key, start)[0] != ValueType.STRING.value:
            return False
        start += _HEAD.size + _HEAD.unpack_from(key, start)[1]
    return count > 0 and values_end(key, start, count) == len(key) - len(suffix)


def _of_entities(client: Any, before: str, now: str) -> Iterator[list[tuple[bytes, bytes]]]:
    suffix, new = before.encode(), now.encode()
    for keys in _scanned(client, b"*" + literal(suffix)):
        yield [(key, key[: -len(suffix)] + new) for key in keys if is_of(key, before)]


def _of_reaches(client: Any, before: str, now: str) -> Iterator[list[tuple[bytes, bytes]]]:
    start, new = REACH + before.encode() + b":", REACH + now.encode() + b":"
    for keys in _scanned(client, literal(start) + b"*"):
        yield [(key, new + key.removeprefix(start)) for key in keys]


def _scanned(client: Any, pattern: bytes) -> Iterator[list[bytes]]:
    cursor = 0
    while True:
        cursor, keys = client.scan(cursor, match=pattern, count=SCANNED)
        yield keys
        if cursor == 0:
            return


def _rename(client: Any, names: list[tuple[bytes, bytes]]) -> list[bool]:
    """Whether each was renamed, of those that are still there: a walk may show a key twice, and one may expire."""
    with client.pipeline(transaction=False) as pipe:
        for old, new in names:
            pipe.renamenx(old, new)
        answers = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and NO_KEY not in str(answer):
            raise answer
    return [bool(answer) for answer in answers if not isinstance(answer, Exception)]


def literal(pattern: bytes) -> bytes:
    """Bytes that a glob pattern takes for themselves."""
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]^\\" else bytes([c]) for c in pattern)
