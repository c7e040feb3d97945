"""A push source of the tests: events become files of a folder that several processes write, as the offline store writes them."""

import hashlib
from datetime import datetime
from pathlib import Path

import polars as pl

from resources.features.push_sources import EVENT, PushSource
from resources.lake.lake import parquet
from resources.lake.names import PUSHED
from resources.lake.pushed_files import pushed_names, rows_in
from resources.storage.addresses import storage_at


class Readings:
    """A feature store with one push source, of the view that the model `trips` reads; nothing of it is online."""

    def __init__(self, folder: Path) -> None:
        storage = storage_at(folder / "readings")
        self.source = PushSource("readings", ("trip",), {"station": "String"}, {"temp": "Float64"}, storage)

    def push_sources(self) -> dict[str, PushSource]:
        return {"readings": self.source}

    def push(self, source: str, rows: pl.DataFrame, to: str) -> None:
        if to == "offline":
            content, first = parquet(rows), rows[EVENT].min()
            assert isinstance(first, datetime)
            digest = hashlib.sha256(content).hexdigest()[:12]
            self.source.folder.write(f"{PUSHED}{first:%Y%m%dT%H%M%S}-{digest}.parquet", content)

    def rows(self) -> pl.DataFrame:
        """All rows that were pushed."""
        folder = self.source.folder
        return pl.concat([rows_in(folder, name) for name in pushed_names(folder)], how="diagonal")
