"""Commands that read many keys, put together as bytes, and what their replies say."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from ..codec.decoding import event_micros
from ..plan import Found, KeyGroup, ViewRead


class Command:
    """One command for many keys, each with the same further arguments, as the server reads them.

    All but the key is put together once.
    """

    def __init__(self, name: bytes, suffix: bytes, arguments: Sequence[bytes]) -> None:
        self._start = b"*%d\r\n$%d\r\n%b\r\n$" % (2 + len(arguments), len(name), name)
        self._added = len(suffix)
        self._end = b"".join([suffix, b"\r\n", *(b"$%d\r\n%b\r\n" % (len(a), a) for a in arguments)])

    def of(self, keys: Sequence[bytes]) -> bytes:
        """The commands for keys, which go without the suffix."""
        lengths = set(map(len, keys))
        starts = {length: b"%b%d\r\n" % (self._start, length + self._added) for length in lengths}
        if len(starts) == 1:
            (start,) = starts.values()
            return b"".join([start, (self._end + start).join(keys), self._end])
        return b"".join([part for key in keys for part in (starts[len(key)], key, self._end)])


def asking(project: str, fields: Sequence[Sequence[bytes]], stamps: Sequence[bytes]) -> Command:
    """Asks for the fields of some views of an entity's hash, and for the views' time stamps after them."""
    return Command(b"HMGET", project.encode(), [*chain.from_iterable(fields), *stamps])


def answered(asked: Sequence[tuple[KeyGroup, list[bytes]]], replies: list[list[Any]]) -> list[list[Found]]:
    """What the replies say of each group of views, view by view."""
    answers, first = [], 0
    for group, keys in asked:
        rows = replies[first : first + len(keys)]
        first += len(keys)
        columns = list(zip(*rows, strict=True)) or [()] * sum(len(read.features) + 1 for read in group.views)
        answers.append(list(_by_view(group.views, columns)))
    return answers


def _by_view(views: Sequence[ViewRead], columns: list[tuple[bytes | None, ...]]) -> Iterator[Found]:
    stamps = columns[-len(views) :]
    times, height, first = event_micros(list(chain.from_iterable(stamps))), len(stamps[0]), 0
    for number, read in enumerate(views):
        last = first + len(read.features)
        yield Found(times[number * height : (number + 1) * height], columns[first:last])
        first = last
