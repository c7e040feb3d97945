"""What a store answered, what the oracle answers, and the difference in words."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tests.feature_repo.offline_oracle.oracle import Question, Row, answer
from tests.feature_repo.offline_oracle.world import PER_UNIT, View, World, job_of, store_over

Line = dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """The store raised an error instead of answering."""

    error: str
    message: str


def found(world: World, folder: Path, offline: dict[str, Any], **sources: str) -> list[Line] | Failed:
    """The store's answer as plain Python values, or its error."""
    try:
        return lines(job_of(world, store_over(world, folder, offline, **sources)).to_arrow())
    except Exception as error:  # noqa: BLE001 - any error of a store is its answer
        return Failed(type(error).__name__, str(error))


def lines(table: pa.Table) -> list[Line]:
    """A table's rows as dicts; instants as nanoseconds since 1970, NaN as None."""
    columns = {name: _plain(table.column(name)) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        factor = PER_UNIT[column.type.unit]
        return [None if v is None else v * factor for v in column.cast(pa.int64()).to_pylist()]
    return [None if isinstance(v, float) and v != v else v for v in column.to_pylist()]


def expected(world: World) -> list[Line]:
    """The oracle's answer: the entity frame's rows in their order, each with every feature asked for."""
    out, histories = [], {view.shown: by_entity(view) for view in world.views}
    for place, at in enumerate(world.entities.at):
        asked = {name: _value(values, place) for name, values in world.entities.columns.items()}
        line = asked | {world.entities.moment: at}
        for view in world.views:
            put = question(view, asked, at)
            history = histories[view.shown].get(put.key[:1], [])
            row = answer(put, history, view.ttl_ns, world.created_by_then and view.created)
            values = row.values if row else {}
            line |= {world.column(view, feature): values.get(feature) for feature in view.features}
        out.append(line | (world.computed(line) if world.computed else {}))
    return out


def by_entity(view: View) -> dict[tuple, list[Row]]:
    """The view's rows by the first part of their key, in the source's order: one loop of the oracle stays short."""
    histories: dict[tuple, list[Row]] = {}
    for row in view.rows:
        histories.setdefault(row.key[:1], []).append(row)
    return histories


def question(view: View, asked: Line, at: int | None) -> Question:
    """What the line of the entity frame asks the view."""
    return Question(tuple(asked[key] for key in view.asked_keys), at)


def _value(values: Any, place: int) -> Any:
    value = values.iloc[place] if isinstance(values, pd.Series) else values[place]
    return None if value is None or value is pd.NA or value != value else value


def verdict(want: list[Line], got: list[Line] | Failed, ordered: bool = True) -> str:
    """In two words how the answer differs from the oracle's, or `right`."""
    if isinstance(got, Failed):
        return f"fails ({got.error.split('(')[0]})"
    if got and want and set(got[0]) != set(want[0]):
        return "other columns"
    if len(got) != len(want):
        return "rows lost" if len(got) < len(want) else "rows added"
    if Counter(map(_hashable, want)) != Counter(map(_hashable, got)):
        return "wrong values"
    return "order lost" if ordered and want != got else "right"


def _hashable(line: Line) -> tuple:
    return tuple(
        (name, tuple(v) if isinstance(v, list) else v) for name, v in sorted(line.items(), key=lambda i: i[0])
    )


def mismatches(world: World, got: list[Line] | Failed, want: list[Line] | None = None) -> list[str]:
    """What is wrong with the answer, readably: one text a wrong cell or row, none where all is right.

    `want` is what the oracle answers, where it was asked already.
    """
    if isinstance(got, Failed):
        return [f"the store failed with {got.error}: {got.message}"]
    want = expected(world) if want is None else want
    numbers = [line["row"] for line in got]
    if sorted(numbers) != list(range(len(want))):
        return [f"{len(got)} rows came back for {len(want)} entity rows"]
    if numbers != list(range(len(want))):
        return [f"the entity rows' order is lost: they came back as {numbers[:20]}..."]
    return [text for place in range(len(want)) for text in _wrong(world, want[place], got[place])]


def _wrong(world: World, want: Line, got: Line) -> list[str]:
    if want == got:
        return []
    texts = []
    for view in world.views:
        columns = [world.column(view, feature) for feature in view.features]
        if [want[c] for c in columns] != [got.get(c) for c in columns]:
            texts.append(_told(world, view, want, got, columns))
    return texts or [f"entity row {want} came back as {got}"]


def _told(world: World, view: View, want: Line, got: Line, columns: list[str]) -> str:
    put = question(view, want, want[world.entities.moment])
    history = [
        f"    event {row.event}, created {row.created}: {row.values}"
        for row in view.rows
        if row.key == put.key
    ]
    return "\n".join(
        [
            f"view {view.shown} (TTL {view.ttl}), key {put.key}, asked at {put.at}"
            + (", known by then" if world.created_by_then else ""),
            f"  expected {[want[c] for c in columns]}, found {[got.get(c) for c in columns]} of {columns}",
            f"  history of the key, in the source's order ({len(history)} rows):",
            *history,
        ]
    )
