"""Rows to compare the functions of on-demand views on: values of every type, odd ones and missing ones among them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import numpy as np

SEED = 4711
ROWS = 96
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RECENT = (946_684_800, 2_145_916_800)
"""Seconds since 1970 of 2000 and 2038, between which moments are drawn that are whole numbers."""

Columns = dict[str, list[Any]]


def _whole(dice: Random) -> int:
    return dice.choice(
        (0, 1, -1, dice.randrange(-1000, 1000), dice.randrange(*RECENT), dice.randrange(*RECENT))
    )


def _number(dice: Random) -> float:
    return float(
        np.float32(
            dice.choice((0.0, -1.5, dice.gauss(0, 100), dice.uniform(1900, 2100), float(_whole(dice))))
        )
    )


DRAWN: dict[str, Callable[[Random], Any]] = {
    "INT32": _whole,
    "INT64": _whole,
    "FLOAT": _number,
    "DOUBLE": _number,
    "STRING": lambda dice: dice.choice(("", "A", "JFK", "12", "ä b")),
    "BOOL": lambda dice: dice.random() < 0.5,
    "UNIX_TIMESTAMP": lambda dice: EPOCH + timedelta(seconds=dice.randrange(*RECENT)),
}


def sample(kinds: Mapping[str, Any], missing: float = 0.15) -> Columns | None:
    """Columns of these types, some values missing; None where one has a type of which nothing can be drawn."""
    if any(kind.name not in DRAWN for kind in kinds.values()):
        return None
    dice = Random(SEED)
    return {
        name: [None if dice.random() < missing else DRAWN[kind.name](dice) for _ in range(ROWS)]
        for name, kind in kinds.items()
    }


def difference(
    views: Sequence[Any], called: Sequence[Any], by_feast: Callable[[Columns], Columns]
) -> str | None:
    """What Feast's functions and the others give differently, in words; None where nothing does."""
    kinds = {name: kind for view in views for name, kind in read_by(view).items()}
    columns = sample(kinds)
    if columns is None:
        return None
    try:
        expected = by_feast(columns)
    except Exception:  # noqa: BLE001 - a function of frames may refuse what is missing
        columns = sample(kinds, missing=0.0) or {}
        expected = by_feast(columns)
    for one in called:
        rows = [one.columns({name: [columns[name][row]] for name in one.reads}, 1) for row in range(ROWS)]
        together = one.columns(columns, ROWS)
        for name in one.kinds:
            for values in ([row[name][0] for row in rows], together[name]):
                if values != expected[name]:
                    return _in_words(name, one, columns, values, expected[name])
    return None


def read_by(view: Any) -> dict[str, Any]:
    """Types of the columns that a view reads: of the request, and of stored features."""
    types = dict(view.get_request_data_schema())
    for projection in view.source_feature_view_projections.values():
        types.update((feature.name, feature.dtype.to_value_type()) for feature in projection.features)
    return types


def _in_words(name: str, one: Any, columns: Columns, values: Sequence[Any], expected: Sequence[Any]) -> str:
    row = next(row for row in range(ROWS) if values[row] != expected[row])
    given = ", ".join(f"{column}={columns[column][row]!r}" for column in one.reads)
    return (
        f"for {given} the on-demand feature {name} is {values[row]!r} by the function of its form and {expected[row]!r} by "
        "that of its view: make them equal, or leave the form out"
    )
