"""Commands that read many keys, put together as bytes, and what their replies say."""

from collections.abc import Callable, Generator, Sequence
from itertools import chain
from typing import Any

from ..plan import KeyGroup, StoredCells, ViewRead
from ..reads import KeysByGroup, Place
from .packing import ByField, ByRow, by_row

BY_FIELD_FOR = 16
"""Reads of a group that ask for its fields one by one after one in which something was not packed."""

Request = tuple[bytes, int]
"""Commands, and how many replies they have."""


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
        if len(keys) == 1:
            return b"%b%d\r\n%b%b" % (self._start, len(keys[0]) + self._added, keys[0], self._end)
        lengths = set(map(len, keys))
        starts = {length: b"%b%d\r\n" % (self._start, length + self._added) for length in lengths}
        if len(starts) == 1:
            (start,) = starts.values()
            return b"".join([start, (self._end + start).join(keys), self._end])
        return b"".join([part for key in keys for part in (starts[len(key)], key, self._end)])


class Way:
    """A command for the views of an entity's hash, and what its replies say."""

    def __init__(self, project: str, views: Sequence[ByField | ByRow]) -> None:
        self._views, fields = views, [view.fields for view in views]
        self._ends = [0, *(sum(map(len, fields[: n + 1])) for n in range(len(fields)))]
        self.command = Command(b"HMGET", project.encode(), list(chain.from_iterable(fields)))

    def cells(self, rows: Sequence[Any]) -> list[StoredCells | None]:
        """View by view; None where a view has to be asked another way."""
        columns = list(zip(*rows, strict=True)) or [()] * self._ends[-1]
        return [
            view.cells(columns[start:end])
            for view, start, end in zip(self._views, self._ends, self._ends[1:], strict=False)
        ]


class Ways:
    """How the views of a group are asked for: by rows, and by fields while there are entities that have none."""

    def __init__(self, project: str, group: KeyGroup, place: Callable[[ViewRead], Place]) -> None:
        places = [place(read) for read in group.views]
        self.by_field = Way(project, [ByField(one) for one in places])
        self._by_row = Way(project, [by_row(*pair) for pair in zip(group.views, places, strict=True)])
        self._left = 0

    def next(self) -> Way:
        """The way that is likely to answer."""
        if self._left <= 0:
            return self._by_row
        self._left -= 1
        return self.by_field

    def failed(self) -> Way:
        """The way that answers whatever is stored."""
        self._left = BY_FIELD_FOR
        return self.by_field


Fetching = Generator[Request, list[Any], list[list[StoredCells]]]


def fetching(questions: KeysByGroup, ways: Sequence[Ways]) -> Fetching:
    """What is stored for the keys of each group: asks for replies, a second time for what is not packed."""
    pairs = [(way.next(), keys) for way, (_, keys) in zip(ways, questions, strict=True)]
    answers = _answered(pairs, (yield _request(pairs)))
    again = [place for place, views in enumerate(answers) if None in views]
    if again:
        pairs = [(ways[place].failed(), questions[place][1]) for place in again]
        for place, views in zip(again, _answered(pairs, (yield _request(pairs))), strict=True):
            answers[place] = views
    return answers  # type: ignore[return-value]


def _request(pairs: Sequence[tuple[Way, list[bytes]]]) -> Request:
    return b"".join([way.command.of(keys) for way, keys in pairs]), sum(len(keys) for _, keys in pairs)


def _answered(pairs: Sequence[tuple[Way, list[bytes]]], replies: list[Any]) -> list[list[StoredCells | None]]:
    answers, first = [], 0
    for way, keys in pairs:
        answers.append(way.cells(replies[first : first + len(keys)]))
        first += len(keys)
    return answers
