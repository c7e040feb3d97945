"""How much was asked of a model lately, by the serving log."""

from datetime import datetime
from pathlib import Path

import polars as pl

from resources.serving.log import READS, REQUEST, SERVED_AT, SHADOWS, ServingLogResource
from resources.storage.errors import AbsentError

NEEDED = [REQUEST, SERVED_AT]


def rows_served(log: ServingLogResource, model: str, since: datetime) -> int | None:
    """Rows that were answered from a moment of the wall clock on; None where none of the model was ever logged.

    One that two files hold counts once, and those that were scored in shadow do not count.
    Raises OSError where files go away under the reader's hands again and again.
    """
    for _ in range(READS):
        try:
            return _count(log, model, since)
        except AbsentError:
            continue
    raise OSError(f"{model} in {log.folder}: files went away {READS} times while they were read; ask again")


def _count(log: ServingLogResource, model: str, since: datetime) -> int | None:
    days = {name: Path(name).parent for name in log.storage.names(model, ".parquet", deep=True)}
    files = [
        name for name, day in days.items() if day.parent.name != SHADOWS and day.name >= f"{since:%Y-%m-%d}"
    ]
    frames = [pl.read_parquet(log.storage.read(name), columns=NEEDED) for name in files]
    recent = [frame.filter(pl.col(SERVED_AT) >= since) for frame in frames]
    return pl.concat(recent)[REQUEST].n_unique() if recent else (0 if days else None)
