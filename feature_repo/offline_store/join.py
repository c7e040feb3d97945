"""The point-in-time join on one machine: each view is read, asked, and its columns put beside the entity rows."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from .asking import Asker, EntityRows, ViewRequest, span
from .reading import read


def joined(entities: EntityRows, requests: Sequence[ViewRequest], only_known: bool = False) -> pa.Table:
    """The entity rows, in their order and with their columns, beside the features of every request.

    Raises SourceError for a source that is not as its view needs it.
    """
    asker, table = Asker(entities, only_known), entities.table
    for request in requests:
        for name, values in _features(asker, request):
            table = table.append_column(name, values)
    return table


def _features(asker: Asker, request: ViewRequest) -> Iterator[tuple[str, pa.Array | pa.ChunkedArray]]:
    """A view's features; its source leaves the memory before the next one is read."""
    rows = read(request.source, span(asker.entities, request.ttl))
    choice = asker.chosen(request, rows)
    for name, column in request.columns.items():
        yield name, choice.of(rows[column])
