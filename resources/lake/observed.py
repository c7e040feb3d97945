"""A lake that remembers what was read from it: what a table is made of is observed, not declared."""

from collections.abc import Sequence

import polars as pl
from pydantic import PrivateAttr

from resources.lake.lake import WHOLE, Lake


def partition_name(table: str, partition: str | None) -> str:
    """How a partition is named where partitions of several tables stand together."""
    return f"{table}@{partition or WHOLE}"


class ObservedLake(Lake):
    """The lake as one build sees it; `was_read` has the partitions that it read, with the SHA-256 of their files."""

    _read_so_far: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def was_read(self) -> dict[str, str]:
        return dict(self._read_so_far)

    def read(
        self,
        table: str,
        partitions: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        pushed: bool = False,
    ) -> pl.DataFrame:
        frame = super().read(table, partitions, columns, pushed)
        names = self.partitions(table) if partitions is None else list(partitions)
        for name in [*names, *(path.stem for path in self.pushed(table) if pushed)]:
            self._read_so_far[partition_name(table, name)] = self.hash(table, name)
        return frame
