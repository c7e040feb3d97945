"""What was pushed beside a table, by when it was received, and a push taken out of the table's files again."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from resources.lake.pushed_files import CREATED, EVENT, pushed_frames, rewritten
from resources.storage.storage import Storage


@dataclass(frozen=True)
class Push:
    """The rows that one request brought; `received` None are rows of releases that did not note it."""

    received: datetime | None
    rows: int
    first: datetime
    last: datetime


def pushed_rows(folder: Storage) -> pl.DataFrame:
    """Every row that is pushed beside a table now, in the order of the files."""
    frames = pushed_frames(folder).values()
    rows = (
        pl.concat(frames, how="diagonal_relaxed")
        if frames
        else pl.DataFrame(schema={EVENT: pl.Datetime("us", "UTC")})
    )
    return (
        rows
        if CREATED in rows.columns
        else rows.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias(CREATED))
    )


def pushes(folder: Storage) -> list[Push]:
    """Every push of which there are rows, the one received last at the end."""
    event = pl.col(EVENT)
    spans = (
        pushed_rows(folder).unique().group_by(CREATED).agg(pl.len(), event.min(), event.max().alias("last"))
    )
    return [Push(*row) for row in spans.sort(CREATED, nulls_last=False).iter_rows()]


def taken_out(folder: Storage, received: datetime) -> None:
    """Rewrite the files without the rows of one push; the same again changes nothing, and killed it can be called again."""
    rewritten(folder, pl.col(CREATED).ne_missing(pl.lit(received, pl.Datetime("us", "UTC"))))
