"""The point-in-time join as a plain loop, one question at a time, to be checked by eye.

No frame, no join, no store's code: it is what every other implementation here is compared with.

What Feast says (read in 0.67; "templates" are the SQL texts in `feast/infra/offline_stores`):

- Newest row at or before the entity timestamp: the upper end is closed. The docstring of
  `FeatureStore.get_historical_features` and the "point-in-time joins" page speak of a scan "backward in time from the
  entity dataframe timestamp"; every template has `subquery.event_timestamp <= entity_dataframe.entity_timestamp`.
- TTL: the scan goes "up to a maximum of the TTL time", and every template has
  `subquery.event_timestamp >= entity_dataframe.entity_timestamp - ttl`: the lower end is closed too, so NEITHER END
  IS OPEN. A row that is exactly TTL old is used, one that is any finer older is not. TTL 0 (or None) means for ever.
- Equal event timestamps: `ROW_NUMBER() OVER (... ORDER BY event_timestamp DESC, created_timestamp DESC) = 1`: the
  greatest created timestamp wins. A row without one loses to a row that has one.
- What is still equal is left open by Feast; here the last row in the order of the source wins.
- Keys are compared by `=`: null equals nothing, not even null.
- `filter_by_created_timestamp` adds `created_timestamp <= entity_timestamp` (closed again; null is not known).
- The newest row wins as a whole: a value that is null in it stays null and is not filled from an older row.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Nanoseconds = int
"""An instant, since 1970-01-01T00:00Z, or a span: whole numbers, so that nothing here can round."""


@dataclass(frozen=True)
class Row:
    """One row of a source: the values of its join keys, its two timestamps, its features."""

    key: tuple[Any, ...]
    event: Nanoseconds | None
    created: Nanoseconds | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What was known of that key at that instant?"""

    key: tuple[Any, ...]
    at: Nanoseconds | None


def answer(
    question: Question,
    source: Iterable[Row],
    ttl: Nanoseconds = 0,
    created_by_then: bool = False,
) -> Row | None:
    """The one row of the source, given in its order, that answers the question, or None."""
    best = None
    for row in source:
        if question.at is None or row.event is None:
            continue
        if None in question.key or row.key != question.key:
            continue
        if row.event > question.at:
            continue
        if ttl and row.event < question.at - ttl:
            continue
        if created_by_then and (row.created is None or row.created > question.at):
            continue
        if best is None or not older(row, best):
            best = row
    return best


def older(row: Row, other: Row) -> bool:
    """Whether the row loses against the other by event timestamp, or at equal ones by created timestamp."""
    assert row.event is not None and other.event is not None
    if row.event != other.event:
        return row.event < other.event
    if row.created is None or other.created is None:
        return row.created is None and other.created is not None
    return row.created < other.created
