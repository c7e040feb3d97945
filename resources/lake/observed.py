"""A lake that remembers what was read from it: what a table is made of is observed, not declared."""

import hashlib
from collections.abc import Mapping

from pydantic import PrivateAttr

from resources.lake.lake import Lake
from resources.lake.names import WHOLE


def partition_name(table: str, partition: str | None) -> str:
    """How a partition is named where partitions of several tables stand together."""
    return f"{table}@{partition or WHOLE}"


class ObservedLake(Lake):
    """The lake as one build sees it; `was_read` has the partitions that it read, with the SHA-256 of their files."""

    _read_so_far: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def was_read(self) -> dict[str, str]:
        return dict(self._read_so_far)

    def rests_on(self, read: Mapping[str, str]) -> None:
        """Take partitions as read, of which something was made that was read instead."""
        self._read_so_far.update(read)

    def _observe(self, table: str, contents: Mapping[str, bytes]) -> None:
        for name, content in contents.items():
            self._read_so_far[partition_name(table, name)] = hashlib.sha256(content).hexdigest()
