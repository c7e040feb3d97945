"""The point-in-time join on one machine: each view is read, asked, and its columns put beside the entity rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa

from .assemble import Choice
from .entities import EntityRows
from .kernel import NEVER, Questions, timeline
from .keys import KeySpace, KeyTypeError
from .moments import Unit, finest, length, ticks
from .requests import RequestError, ViewRequest
from .sources import EVER, Source, SourceError, Span, read


@dataclass(frozen=True)
class Asker:
    """The questions of one call, numbered once for all views with the same join keys."""

    entities: EntityRows
    only_known: bool = False
    spaces: dict[tuple[str, ...], KeySpace] = field(default_factory=dict)
    questions: dict[tuple[tuple[str, ...], Unit], Questions] = field(default_factory=dict)

    def chosen(self, request: ViewRequest, rows: pl.DataFrame) -> Choice:
        """For each entity row the row of the view's source, which `read` gave.

        Raises SourceError where a join key's type cannot equal the entity rows'.
        """
        source = request.source
        space = self.space(request.entity_keys)
        created = rows[source.created] if source.created else None
        unit = finest(self.entities.moments, rows[source.timestamp], created)
        codes = _codes(request, space, rows)
        line = timeline(
            codes,
            ticks(rows[source.timestamp], unit),
            space.size,
            None if created is None else ticks(created, unit),
            self.only_known,
        )
        ttl = None if request.ttl is None else length(request.ttl, unit)
        return Choice(line.newest(self.asked(request.entity_keys, unit), ttl))

    def space(self, keys: tuple[str, ...]) -> KeySpace:
        """The numbers of the entity rows' keys."""
        if keys not in self.spaces:
            columns = tuple(self.entities.column(key) for key in keys)
            self.spaces[keys] = KeySpace(columns, self.entities.table.num_rows)
        return self.spaces[keys]

    def asked(self, keys: tuple[str, ...], unit: Unit) -> Questions:
        """The questions about these keys."""
        if (keys, unit) not in self.questions:
            space = self.space(keys)
            moments = ticks(self.entities.moments, unit)
            self.questions[keys, unit] = Questions(space.codes, moments, space.size)
        return self.questions[keys, unit]

    def span(self, ttl: timedelta | None) -> Span:
        """Event timestamps that can answer a view of this time to live."""
        first, last = self.entities.bounds
        return Span(_earlier(first, ttl), last) if last else EVER


def joined(entities: EntityRows, requests: Sequence[ViewRequest], only_known: bool = False) -> pa.Table:
    """The entity rows, in their order and with their columns, beside the features of every request.

    Raises RequestError for entity rows that lack a join key or have a feature's name, and SourceError.
    """
    check(entities, requests)
    asker, table = Asker(entities, only_known), entities.table
    for request in requests:
        rows = read(request.source, asker.span(request.ttl))
        choice = asker.chosen(request, rows)
        for name, column in request.columns.items():
            table = table.append_column(name, choice.of(rows[column]))
    return table


def check(entities: EntityRows, requests: Sequence[ViewRequest]) -> None:
    """Refuse entity rows that cannot be joined to these views."""
    there = entities.table.column_names
    for request in requests:
        missing = [key for key in request.entity_keys if key not in there]
        if missing:
            raise RequestError(
                f"the entity rows lack {', '.join(missing)}, by which view {request.name!r} is joined; "
                f"they have {', '.join(there)}"
            )
        taken = [name for name in request.columns if name in there]
        if taken:
            raise RequestError(
                f"the entity rows have a column {', '.join(taken)}, which is also a feature of view {request.name!r}: "
                "rename it, or ask with full_feature_names=True"
            )


def _codes(request: ViewRequest, space: KeySpace, rows: pl.DataFrame):
    try:
        return space.encode([rows[key] for key in request.source.keys], rows.height)
    except KeyTypeError as error:
        raise SourceError(
            f"view {request.name!r}: the join key {' + '.join(request.source.keys)} of {request.source.where.uri} "
            f"does not go with the entity rows: {error}"
        ) from error


def _earlier(first: datetime | None, ttl: timedelta | None) -> datetime | None:
    try:
        return None if first is None or ttl is None else first - ttl
    except OverflowError:
        return None
