"""Files of pushed rows folded into one, so that their number does not grow with every push.

All rows stay, word for word: a pushed row outranks an ingested row of its moment, so ingestion makes none of them
superfluous, and one that was corrected still answers questions from before its correction.
"""

import hashlib
import io
import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from resources.lake.lake import PUSHED
from resources.storage.durable import write_bytes
from resources.storage.locks import file_lock

EVENT, CREATED = "event_timestamp", "created"
INSTANT = pl.Datetime("us", "UTC")
DIGEST = 12


def fold(folder: Path, keys: Iterable[str], above: int = 1) -> int:
    """Fold a table's files of pushed rows, if they are more than `above`, and return how many are left.

    Files that follow each other by name with the same columns (a missing `created` is null) become one, sorted by
    (keys, event timestamp, created) and named as a push names its own. Joins answer the same before, after, and
    wherever this is killed.
    """
    if len(_files(folder)) <= above:
        return len(_files(folder))
    with file_lock(folder / ".fold.lock"):
        for _, alike in itertools.groupby(_files(folder), key=_columns):
            _fold(list(alike), list(keys))
    return len(_files(folder))


def _fold(files: Sequence[Path], keys: Sequence[str]) -> None:
    if len(files) == 1:
        return
    rows = pl.concat([_whole(pl.read_parquet(path, glob=False)) for path in files], how="diagonal")
    order = dict.fromkeys([*keys, EVENT, CREATED])
    # Rows that a killed run left in two files: the last one decides ties.
    once = rows.unique(keep="last", maintain_order=True).sort(list(order), maintain_order=True)
    folded = _written(files[0].parent, once)
    # The first one first: of what is left the last file still ends every tie as all of them did.
    for path in files:
        if path != folded:
            path.unlink(missing_ok=True)


def rewritten(folder: Path, kept: pl.Expr) -> None:
    """Write a table's files of pushed rows again with the rows that are kept; a file without others stays as it is."""
    with file_lock(folder / ".fold.lock"):
        for path in _files(folder):
            rows = _whole(pl.read_parquet(path, glob=False))
            left = rows.filter(kept)
            if left.height == rows.height:
                continue
            if left.height:
                _written(folder, left)
            path.unlink()


def _written(folder: Path, rows: pl.DataFrame) -> Path:
    """Rows in a file that is named as a push names its own: never another content under a name that was there."""
    content = parquet(rows)
    first, digest = rows[EVENT].min(), hashlib.sha256(content).hexdigest()[:DIGEST]
    assert isinstance(first, datetime)
    path = folder / f"{PUSHED}{first:%Y%m%dT%H%M%S}-{digest}.parquet"
    write_bytes(path, content)
    return path


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PUSHED}*.parquet"))


def _whole(rows: pl.DataFrame) -> pl.DataFrame:
    return rows if CREATED in rows.columns else rows.with_columns(pl.lit(None, INSTANT).alias(CREATED))


def _columns(path: Path) -> dict[str, pl.DataType]:
    return {CREATED: INSTANT, **pl.scan_parquet(path, glob=False).collect_schema()}


def parquet(rows: pl.DataFrame) -> bytes:
    """Rows as the bytes of a file."""
    sink = io.BytesIO()
    rows.write_parquet(sink, compression="lz4", statistics=True)
    return sink.getvalue()
