"""Files of pushed rows folded into one, so that their number does not grow with every push.

All rows stay, word for word: a pushed row outranks an ingested row of its moment, so ingestion makes none of them
superfluous, and one that was corrected still answers questions from before its correction.
"""

import hashlib
import io
import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime

import polars as pl

from resources.lake.lake import parquet, while_folding
from resources.lake.names import PUSHED
from resources.storage.storage import Storage

EVENT, CREATED = "event_timestamp", "created"
INSTANT = pl.Datetime("us", "UTC")
DIGEST = 12


def fold(folder: Storage, keys: Iterable[str], above: int = 1) -> int:
    """Fold a table's files of pushed rows, if they are more than `above`, and return how many are left.

    Files that follow each other by name with the same columns (a missing `created` is null) become one, sorted by
    (keys, event timestamp, created) and named as a push names its own. Joins answer the same before, after, and
    wherever this is killed.
    """
    if len(pushed_names(folder)) <= above:
        return len(pushed_names(folder))
    with folder.locked("fold"):
        for _, alike in itertools.groupby(_schemas(folder), key=lambda file: file[1]):
            _fold(folder, [name for name, _ in alike], list(keys))
    return len(pushed_names(folder))


def _fold(folder: Storage, files: Sequence[str], keys: Sequence[str]) -> None:
    if len(files) == 1:
        return
    rows = pl.concat([_whole(rows_in(folder, name)) for name in files], how="diagonal")
    order = dict.fromkeys([*keys, EVENT, CREATED])
    # Rows that a killed run left in two files: the last one decides ties.
    once = rows.unique(keep="last", maintain_order=True).sort(list(order), maintain_order=True)
    folded = _written(folder, once)
    # The first one first: of what is left the last file still ends every tie as all of them did.
    for name in files:
        if name != folded:
            folder.delete(name)


def rewritten(folder: Storage, condition: pl.Expr) -> None:
    """Write a table's files of pushed rows again with the rows that are kept; a file without others stays as it is."""
    with folder.locked("fold"):
        for name in pushed_names(folder):
            rows = _whole(rows_in(folder, name))
            left = rows.filter(condition)
            if left.height == rows.height:
                continue
            if left.height:
                _written(folder, left)
            folder.delete(name)


def _written(folder: Storage, rows: pl.DataFrame) -> str:
    """Rows in a file that is named as a push names its own: never another content under a name that was there."""
    content = parquet(rows)
    first, digest = rows[EVENT].min(), hashlib.sha256(content).hexdigest()[:DIGEST]
    assert isinstance(first, datetime)
    name = f"{PUSHED}{first:%Y%m%dT%H%M%S}-{digest}.parquet"
    folder.write(name, content)
    return name


def pushed_names(folder: Storage) -> list[str]:
    """Names of a table's files of pushed rows, in the order in which a later one decides a tie."""
    return [name for name in folder.names(ending=".parquet") if name.startswith(PUSHED)]


def pushed_frames(folder: Storage) -> dict[str, pl.DataFrame]:
    """Every file of pushed rows as it is now, by name, in the order in which a later one decides a tie."""
    return while_folding(lambda: {name: rows_in(folder, name) for name in pushed_names(folder)})


def rows_in(folder: Storage, name: str) -> pl.DataFrame:
    """The rows of one file."""
    return pl.read_parquet(io.BytesIO(folder.read(name)))


def _whole(rows: pl.DataFrame) -> pl.DataFrame:
    return rows if CREATED in rows.columns else rows.with_columns(pl.lit(None, INSTANT).alias(CREATED))


def _schemas(folder: Storage) -> list[tuple[str, dict[str, pl.DataType]]]:
    names = pushed_names(folder)
    return [(name, {CREATED: INSTANT, **rows_in(folder, name).schema}) for name in names]
