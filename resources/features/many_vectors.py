"""The columns of many answers, which for single requests is cheaper than a frame of each."""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from resources.features.column_vectors import ColumnVectors, RowVectors

AT_ONCE = 64
"""So many answers are put together at once: more have left the processor's cache before, and keep every other thread waiting."""


def joined(answers: Sequence[ColumnVectors], names: Sequence[str]) -> dict[str, list[Any]]:
    """The values of some columns in all answers, in their order."""
    if not all(type(one) is RowVectors for one in answers):
        return {name: list(chain.from_iterable([one.values(name) for one in answers])) for name in names}
    pick = itemgetter(*names) if len(names) > 1 else lambda row: [row[name] for name in names]
    rows = [pick(one.row) for one in answers]  # type: ignore[attr-defined]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def nulls_of(column: Sequence[Any]) -> list[int]:
    """Where a column has no value; `in`, `count` and `index` would ask each value whether it equals None."""
    return [row for row, value in enumerate(column) if value is None]
