"""The files of a lake that lies in a folder, for tests that look at them or spoil them."""

from pathlib import Path

from resources.lake.lake import Lake


def path_of(lake: Lake, table: str, partition: str | None = None) -> Path:
    """Where a partition's parquet lies."""
    return Path(lake.address(table, partition))
