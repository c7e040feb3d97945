"""The pushed rows of a table that a join had before it, told by their content: their files are folded, the rows stay."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from polars import selectors

from resources.lake.pushed_files import CREATED, EVENT, INSTANT, pushed_frames
from resources.moments import read_moment
from resources.storage.storage import Storage


@dataclass(frozen=True)
class PushedPart:
    """Rows with an event in `since` to `last` (both included) that had been received by `received`, and their hash.

    `since` None is from the beginning; `received` None are rows that do not say when they were. Moments are ISO texts.
    """

    since: str | None
    last: str
    received: str | None
    sha256: str


def part_now(folder: Storage, since: datetime | None, last: datetime) -> PushedPart | None:
    """What is pushed beside a table now, as far as it reaches into a span of events; None where nothing does."""
    rows = _rows(folder, since, last)
    if rows.is_empty():
        return None
    received = rows[CREATED].max()
    assert received is None or isinstance(received, datetime)
    texts = (moment and moment.isoformat() for moment in (since, last, received))
    return PushedPart(*texts, sha256=content_hash(rows))  # type: ignore[arg-type]


def rows_of(folder: Storage, part: PushedPart) -> pl.DataFrame:
    """The rows of a part, from the files as they are now; their hash is not looked at."""
    since = read_moment(part.since) if part.since else None
    rows = _rows(folder, since, read_moment(part.last))
    unknown = pl.col(CREATED).is_null()
    if part.received is None:
        return rows.filter(unknown)
    return rows.filter(unknown | (pl.col(CREATED) <= read_moment(part.received)))


def content_hash(rows: pl.DataFrame) -> str:
    """SHA-256 of different rows, whatever order and columns' order they are in."""
    columns = sorted(rows.columns)
    # Minus zero is zero to a fold, which keeps one of the two; polars leaves out an addition of zero.
    numbers = selectors.float()
    alike = rows.select(columns).with_columns(pl.when(numbers == 0).then(0.0).otherwise(numbers).name.keep())
    text = alike.unique().sort(columns).write_csv(null_value="null")
    return hashlib.sha256(text.encode()).hexdigest()


def _rows(folder: Storage, since: datetime | None, last: datetime) -> pl.DataFrame:
    """Rows in the order of the files, in which a later one decides a tie; no rows and no columns where no file is."""
    frames = [_whole(rows) for rows in pushed_frames(folder).values()]
    if not frames:
        return pl.DataFrame(schema={EVENT: INSTANT, CREATED: INSTANT})
    event = pl.col(EVENT)
    within = event <= last if since is None else event.is_between(since, last)
    return pl.concat(frames, how="diagonal_relaxed").filter(within)


def _whole(rows: pl.DataFrame) -> pl.DataFrame:
    return rows if CREATED in rows.columns else rows.with_columns(pl.lit(None, INSTANT).alias(CREATED))
