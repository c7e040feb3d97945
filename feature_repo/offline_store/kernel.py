"""The as-of lookup itself: for every question the newest row of its key, in numpy and nothing else.

Key and moment of a row are packed into one 64-bit integer, so that one binary search answers both "which key" and
"how new". Moments are whole ticks since 1970 (microseconds or nanoseconds, the same unit on both sides).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

NEVER = np.iinfo(np.int64).min
"""The tick of a moment that is null."""
WORD = 63
DIGIT = 16
BLOCK = 1 << 15
"""Rows worked on at a time: what is computed on the way then stays in the cache and takes no fresh memory."""


@dataclass(frozen=True)
class Questions:
    """What is asked: for each row a key code in `[0, size)`, or -1 where a key is null, and a tick or `NEVER`.

    `beside` are questions at the same moments about other keys.
    """

    codes: Ints
    ticks: Ints
    size: int
    beside: "Questions | None" = None

    @cached_property
    def by_time(self) -> Ints:
        """Rows roughly by time, which does not depend on the keys."""
        return np.argsort(_digits(self.ticks), kind="stable") if self.beside is None else self.beside.by_time

    @cached_property
    def order(self) -> Ints | None:
        """Rows with equal keys together and roughly by time, which a binary search reads from near memory.

        None where they are so already. The order is no promise: the search is right in any order.
        """
        if self.codes.size < 2 or _rises(self.codes):
            return None
        return self.by_time[np.argsort(_digits(self.codes)[self.by_time], kind="stable")]


@dataclass(frozen=True)
class Clock:
    """Ticks as small whole numbers that keep their order: 0 is before the first, and `bits` hold the last.

    The ticks' common divisor is taken out; where that does not do, `moments` has the distinct ticks and a moment's
    number is its rank.
    """

    first: int
    last: int
    step: int = 1
    moments: Ints | None = None

    @classmethod
    def fitting(cls, ticks: Ints, bits: int) -> "Clock":
        """A clock for these ticks (at least one) whose numbers take at most so many bits if that can be."""
        clock = cls(int(ticks.min()), int(ticks.max()))
        if bits < clock.bits < WORD:
            clock = cls(clock.first, clock.last, int(np.gcd.reduce(ticks - clock.first)) or 1)
        return clock if clock.bits <= bits else cls(clock.first, clock.last, 1, np.unique(ticks))

    @property
    def bits(self) -> int:
        """Bits that the largest number takes."""
        if self.moments is not None:
            return int(self.moments.size).bit_length()
        return ((self.last - self.first) // self.step + 1).bit_length()

    def number(self, ticks: Ints) -> Ints:
        """For each tick the number of the newest moment at or before it."""
        if self.moments is not None:
            return np.searchsorted(self.moments, ticks, side="right")
        since = np.clip(ticks, self.first - 1, self.last)
        since -= self.first
        if self.step > 1:
            since //= self.step
        since += 1
        return since

    def tick(self, numbers: Ints) -> Ints:
        """The tick of each number above 0."""
        if self.moments is not None:
            return self.moments.take(numbers - 1, mode="clip")
        return (numbers - 1) * self.step + self.first


@dataclass(frozen=True)
class Timeline:
    """A source's rows by (key, event timestamp, created timestamp, place in the source).

    `packed` holds key and moment of each row, rising; `rows` the row's place in the source (None: the same);
    `rank` the packed key of every key code, where keys were numbered anew by their order in the source;
    `created` the created ticks, where they decide which row is a candidate.
    """

    packed: Ints
    clock: Clock
    rows: Ints | None = None
    rank: Ints | None = None
    created: Ints | None = None

    @cached_property
    def keys(self) -> Ints:
        """The packed key of each row."""
        return self.packed >> self.clock.bits

    def newest(self, questions: Questions, ttl: int | Ints | None = None) -> Ints:
        """For each question the source row to take, or -1.

        It is the last row of the question's key whose event timestamp is at or before the question's tick and,
        with `ttl` ticks, not before `tick - ttl`: both ends belong to it. `ttl` may also give, for each question,
        the oldest tick that is allowed.
        """
        answer = np.full(questions.codes.size, -1)
        if not self.packed.size:
            return answer
        for block in _blocks(answer.size):
            rows = block if questions.order is None else questions.order[block]
            codes, ticks = questions.codes[rows], questions.ticks[rows]
            oldest = ttl[rows] if isinstance(ttl, np.ndarray) else _oldest(ticks, ttl)
            answer[rows] = self._newest(codes, ticks, oldest)
        return answer

    def last(self) -> Ints:
        """The source row of each key's newest row, by key."""
        ends = np.flatnonzero(np.append(self.keys[1:] != self.keys[:-1], True)) if self.packed.size else []
        places = np.asarray(ends, dtype=np.int64)
        return places if self.rows is None else self.rows[places]

    def _newest(self, codes: Ints, ticks: Ints, oldest: Ints | None) -> Ints:
        places = self._places(codes if self.rank is None else self.rank[codes], ticks)
        if oldest is not None:
            moments = self.clock.tick(self.packed.take(places, mode="clip") & ((1 << self.clock.bits) - 1))
            places[moments < oldest] = -1
        return places if self.rows is None else _chosen(self.rows, places)

    def _places(self, keys: Ints, ticks: Ints) -> Ints:
        needles = _packed(keys, self.clock, ticks)
        # Needles that come in order are close together: the search is in what lies between the first and the last.
        low, high = np.searchsorted(self.packed, (needles.min(), needles.max()), side="right")
        places = np.searchsorted(self.packed[low:high], needles, side="right")
        places += low - 1
        keys_there = self.packed.take(places, mode="clip")
        keys_there >>= self.clock.bits
        places[keys_there != keys] = -1
        return places if self.created is None else self._known(places, ticks)

    def _known(self, places: Ints, ticks: Ints) -> Ints:
        """Go back from each place to the newest row of its key that had been created by the tick."""
        created, nodes = self._created, places + 1
        late = np.flatnonzero(created[nodes] > ticks)
        at, until = nodes[late], ticks[late]
        for jump in reversed(self._jumps):
            further = jump[at]
            at = np.where(created[further] > until, further, at)
        nodes[late] = self._jumps[0][at]
        return nodes - 1

    @cached_property
    def _created(self) -> Ints:
        """The created ticks by row, counted from 1; 0 stands for "no such row" and was created `NEVER`."""
        assert self.created is not None
        return np.concatenate(([NEVER], self.created))

    @cached_property
    def _jumps(self) -> list[Ints]:
        """Jumps of 1, 2, 4, ... steps from row to the nearest earlier row of its key that was created before it."""
        created, jump = self._created, np.arange(-1, self.packed.size)
        jump[0] = 0
        jump[1:][np.append(True, self.keys[1:] != self.keys[:-1])] = 0
        while (later := np.flatnonzero((created[jump] >= created) & (jump > 0))).size:
            jump[later] = jump[jump[later]]
        return list(_doubled(jump))


def timeline(
    codes: Ints, ticks: Ints, size: int, created: Ints | None = None, only_known: bool = False
) -> Timeline:
    """Bring a source's rows in order; what is in order already is not sorted, and that is checked.

    `codes` and `ticks` as in `Questions`; rows with code -1 or tick `NEVER` are never chosen. Among equal moments
    of a key the greatest `created` is last (`NEVER` before all), then the row that comes last in the source. With
    `only_known` a row is a candidate only for questions at or after its `created`, so one without it never is.
    """
    usable = (codes >= 0) & (ticks != NEVER)
    if only_known and created is not None:
        usable &= created != NEVER
    rows = None if usable.all() else np.flatnonzero(usable)
    if rows is not None:
        codes, ticks = codes[rows], ticks[rows]
        created = None if created is None else created[rows]
    if not codes.size:
        return Timeline(codes, Clock(0, 0))
    codes, rank = _numbered_by_run(codes, size)
    clock = Clock.fitting(ticks, WORD - size.bit_length())
    packed = _packed(codes, clock, ticks)
    order, packed = _order(packed, created)
    if order is not None:
        rows = order if rows is None else rows[order]
        created = None if created is None else created[order]
    return Timeline(packed, clock, rows, rank, created if only_known else None)


def _digits(values: Ints) -> NDArray[np.uint16]:
    """The highest 16 bits in which the values differ: they keep a rough order, and numpy sorts them by counting."""
    low = int(values.min())
    shift = max((int(values.max()) - low).bit_length() - DIGIT, 0)
    digits, whole = np.empty(values.size, np.uint16), values.view(np.uint64)
    for block in _blocks(values.size):
        digits[block] = (whole[block] - np.uint64(low % 2**64)) >> np.uint64(shift)
    return digits


def _oldest(ticks: Ints, ttl: int | None) -> Ints | None:
    return None if ttl is None else np.maximum(ticks, NEVER + ttl) - ttl


def _packed(keys: Ints, clock: Clock, ticks: Ints) -> Ints:
    packed = keys << clock.bits
    for block in _blocks(packed.size):
        packed[block] |= clock.number(ticks[block])
    return packed


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def _numbered_by_run(codes: Ints, size: int) -> tuple[Ints, Ints | None]:
    """Codes by the order in which keys appear, where each key's rows are together, and the new number of each code."""
    if _rises(codes):
        return codes, None
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    if starts.size > size:
        return codes, None
    rank = np.full(size + 1, -1)
    rank[codes[starts]] = np.arange(starts.size)
    if np.count_nonzero(rank >= 0) < starts.size:
        return codes, None
    return np.repeat(np.arange(starts.size), np.diff(np.append(starts, codes.size))), rank


def _order(packed: Ints, created: Ints | None) -> tuple[Ints | None, Ints]:
    """The order by (packed, created, place), or None where the rows have it, and what is packed in that order."""
    # A stable sort keeps places, and takes files that are sorted each for itself as runs to merge.
    order = None if _rises(packed) else np.argsort(packed, kind="stable")
    ordered = packed if order is None else packed[order]
    tied = ordered[1:] == ordered[:-1]
    if created is None or not tied.any():
        return order, ordered
    among = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
    places = among if order is None else order[among]
    sorted_ties = places[np.lexsort((created[places], ordered[among]))]
    if order is None and np.array_equal(sorted_ties, among):
        return None, ordered
    order = np.arange(packed.size) if order is None else order
    order[among] = sorted_ties
    return order, ordered


def _doubled(jump: Ints) -> Iterator[Ints]:
    yield jump
    while jump.any():
        jump = jump[jump]
        yield jump


def _chosen(rows: Ints, places: Ints) -> Ints:
    chosen = rows.take(places, mode="clip")
    chosen[places < 0] = -1
    return chosen


def _rises(values: Ints) -> bool:
    return bool((values[1:] >= values[:-1]).all())
