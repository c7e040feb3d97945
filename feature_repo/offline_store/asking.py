"""Questions put to feature views: entity rows, what is asked of a view, and the choice of a row for each of them.

Knows neither Feast nor where rows come from, so that a Ray worker can use it without importing Feast.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import polars as pl
import pyarrow as pa

from .assemble import Choice
from .kernel import Ints, Questions, timeline
from .keys import KeyColumn, KeySpace, KeyTypeError
from .moments import MICROSECONDS, Scale, length, microsecond, scale, utc
from .sources import EVER, Source, SourceError, Span


@dataclass(frozen=True)
class ViewRequest:
    """What a call asks of one view.

    `entity_keys` are join keys by their names in the entity rows, in the order of `source.keys`; `columns` maps a
    feature's name in the result to its column in the source; `ttl` None is for ever.
    """

    name: str
    source: Source
    entity_keys: tuple[str, ...]
    columns: dict[str, str]
    ttl: timedelta | None


@dataclass(frozen=True)
class EntityRows:
    """Entity rows as an Arrow table, in the order given; the column `time` is in UTC and has a zone."""

    table: pa.Table
    time: str

    @cached_property
    def moments(self) -> pl.Series:
        """The rows' timestamps, UTC without a zone."""
        return utc(self.column(self.time))

    @cached_property
    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last timestamp in whole microseconds, None where there is none."""
        first, last = self.moments.min(), self.moments.max()
        if not isinstance(first, datetime) or not isinstance(last, datetime):
            return None, None
        return first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)

    def column(self, name: str) -> pl.Series:
        """One column in polars."""
        return pl.Series(name, self.table[name])


@dataclass(frozen=True)
class Asker:
    """The questions of one call, numbered once for all views with the same join keys."""

    entities: EntityRows
    only_known: bool = False
    columns: dict[str, KeyColumn] = field(default_factory=dict)
    spaces: dict[tuple[str, ...], KeySpace] = field(default_factory=dict)
    questions: dict[tuple[str, ...], Questions] = field(default_factory=dict)

    def chosen(self, request: ViewRequest, rows: pl.DataFrame) -> Choice:
        """For each entity row the row of the view's source, `rows` with the source's columns.

        Raises SourceError where a join key's type cannot equal the entity rows'.
        """
        source, moments = request.source, self.entities.moments
        space = self.space(request.entity_keys)
        created = rows[source.created] if source.created else None
        on = scale(moments, rows[source.timestamp], created)
        line = timeline(
            _codes(request, space, rows),
            on.ticks(rows[source.timestamp]),
            space.size,
            None if created is None else on.ticks(created),
            self.only_known,
        )
        ttl = None
        if request.ttl is not None:
            ttl = length(request.ttl) if on is MICROSECONDS else on.oldest(moments, request.ttl)
        return Choice(line.newest(self.questions_of(request.entity_keys, on), ttl))

    def space(self, keys: tuple[str, ...]) -> KeySpace:
        """The numbers of the entity rows' keys."""
        if keys not in self.spaces:
            columns = tuple(self.column(key) for key in keys)
            self.spaces[keys] = KeySpace(columns, self.entities.table.num_rows)
        return self.spaces[keys]

    def column(self, key: str) -> KeyColumn:
        """A key column of the entity rows."""
        if key not in self.columns:
            self.columns[key] = KeyColumn(self.entities.column(key))
        return self.columns[key]

    def questions_of(self, keys: tuple[str, ...], on: Scale) -> Questions:
        """The questions about these keys; those in microseconds are the same for every view."""
        space = self.space(keys)
        if on is not MICROSECONDS:
            return Questions(space.codes, on.ticks(self.entities.moments), space.size)
        if keys not in self.questions:
            ticks, first = on.ticks(self.entities.moments), next(iter(self.questions.values()), None)
            self.questions[keys] = Questions(space.codes, ticks, space.size, first)
        return self.questions[keys]


def span(entities: EntityRows, ttl: timedelta | None) -> Span:
    """Event timestamps that can answer these rows for a view of this time to live."""
    first, last = entities.bounds
    if first is None or last is None:
        return EVER
    return Span(None if ttl is None else microsecond(first) - length(ttl), microsecond(last) + 1)


def _codes(request: ViewRequest, space: KeySpace, rows: pl.DataFrame) -> Ints:
    try:
        return space.encode([rows[key] for key in request.source.keys], rows.height)
    except KeyTypeError as error:
        raise SourceError(
            f"view {request.name!r}: the join key {' + '.join(request.source.keys)} of {request.source.where.uri} "
            f"does not go with the entity rows: {error}"
        ) from error
