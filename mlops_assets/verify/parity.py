"""Two states of one use case compared: what lies in tables, what was decided, what was scored.

A state is values alone: tables as the bytes of their parquet, everything else as JSON values by name. Each difference has a
place, `tables/NAME@PARTITION#COLUMN` or `decisions/NAME#FIELD`, which a pattern of the list of expected ones can name.
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import polars as pl


@dataclass(frozen=True)
class State:
    """Tables by their place, and documents by theirs."""

    tables: Mapping[str, bytes]
    documents: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """Where two states differ, and how."""

    place: str
    what: str


@dataclass(frozen=True)
class Expected:
    """Places that may differ, as a pattern of the shell, and why they do."""

    places: str
    why: str

    def covers(self, difference: Difference) -> bool:
        return fnmatchcase(difference.place, self.places)


@dataclass(frozen=True)
class Verdict:
    """Which differences are expected, by what expects them, and which are not."""

    tables: int
    documents: int
    expected: Mapping[Expected, Sequence[Difference]] = field(default_factory=dict)
    unlisted: Sequence[Difference] = ()


def judged(first: State, second: State, expected: Sequence[Expected]) -> Verdict:
    """Every difference under the first expectation that covers it, or among those that nobody listed."""
    listed: dict[Expected, list[Difference]] = {}
    unlisted = []
    for difference in differences(first, second):
        cover = next((one for one in expected if one.covers(difference)), None)
        if cover is None:
            unlisted.append(difference)
        else:
            listed.setdefault(cover, []).append(difference)
    return Verdict(
        len({*first.tables, *second.tables}), len({*first.documents, *second.documents}), listed, unlisted
    )


def differences(first: State, second: State) -> Iterator[Difference]:
    """Every difference, tables before documents, each in the order of names."""
    for name in sorted({*first.tables, *second.tables}):
        yield from _in_table(name, first.tables.get(name), second.tables.get(name))
    for name in sorted({*first.documents, *second.documents}):
        if name not in first.documents or name not in second.documents:
            yield Difference(name, _missing(name in first.documents))
        else:
            yield from _in_value(name, "", first.documents[name], second.documents[name])


def _missing(in_the_first: bool) -> str:
    return "only in the first" if in_the_first else "only in the second"


def _in_table(place: str, first: bytes | None, second: bytes | None) -> Iterator[Difference]:
    if first is None or second is None:
        yield Difference(place, _missing(first is not None))
    elif first != second:
        ours, theirs = (pl.read_parquet(io.BytesIO(content)) for content in (first, second))
        differences = list(_in_frames(place, ours, theirs))
        yield from differences or [Difference(place, "the same rows in other bytes")]


def _in_frames(place: str, first: pl.DataFrame, second: pl.DataFrame) -> Iterator[Difference]:
    for name in [*first.columns, *(n for n in second.columns if n not in first.columns)]:
        kinds = first.schema.get(name), second.schema.get(name)
        if None in kinds:
            yield Difference(f"{place}#{name}", f"the column is {_missing(kinds[0] is not None)}")
        elif kinds[0] != kinds[1]:
            yield Difference(f"{place}#{name}", f"{kinds[0]} and {kinds[1]}")
    both = [name for name in first.columns if first.schema[name] == second.schema.get(name)]
    if first.height != second.height:
        alone, other = (_rows_alone(*pair, both) for pair in ((first, second), (second, first)))
        yield Difference(
            place,
            f"{first.height} and {second.height} rows: {alone} only in the first, {other} only in the second",
        )
    elif (
        both and _rows_alone(first, second, both) == 0 and not first.select(both).equals(second.select(both))
    ):
        yield Difference(place, "the same rows in another order")
    else:
        for name in both:
            yield from _in_column(f"{place}#{name}", first[name], second[name])


def _rows_alone(first: pl.DataFrame, second: pl.DataFrame, columns: Sequence[str]) -> int:
    """How many rows of the first, repetitions counted, the second does not have."""
    ours, theirs = (Counter(frame.select(columns).hash_rows(seed=0).to_list()) for frame in (first, second))
    return (ours - theirs).total()


def _in_column(place: str, first: pl.Series, second: pl.Series) -> Iterator[Difference]:
    unequal = first.ne_missing(second)
    if count := int(unequal.sum()):
        row = int(unequal.arg_true()[0])
        largest = ""
        if first.dtype.is_numeric():
            both = first.filter(unequal).cast(pl.Float64), second.filter(unequal).cast(pl.Float64)
            apart = (both[0] - both[1]).abs().max()
            largest = f", at most {apart:.3g} apart" if apart is not None else ""
        yield Difference(
            place,
            f"{count} of {first.len()} values{largest}; the first, in row {row}: {first[row]!r} and {second[row]!r}",
        )


def _in_value(name: str, path: str, first: Any, second: Any) -> Iterator[Difference]:
    """Where two JSON values differ, field by field."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted({*first, *second}):
            below = f"{path}.{key}" if path else key
            if key not in first or key not in second:
                yield Difference(f"{name}#{below}", _missing(key in first))
            else:
                yield from _in_value(name, below, first[key], second[key])
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, (ours, theirs) in enumerate(zip(first, second, strict=True)):
            yield from _in_value(name, f"{path}.{number}" if path else str(number), ours, theirs)
    elif type(first) is not type(second) or first != second:
        place = f"{name}#{path}" if path else name
        yield Difference(place, f"{_short(first)} and {_short(second)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
