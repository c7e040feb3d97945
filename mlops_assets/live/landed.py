"""Which partitions have come: written down once all of one's files are in, so that a life goes on where it was."""

import json

from mlops_assets.live.sources import HeldBack
from resources.settings import Settings
from resources.storage.durable import write_text


class Landed:
    """The partitions of a state whose rows have come."""

    def __init__(self, where: Settings, source: HeldBack) -> None:
        self._file, self._source = where.home / "landed.json", source

    def names(self) -> list[str]:
        """In order."""
        return json.loads(self._file.read_text()) if self._file.exists() else []

    def bring(self, name: str, change: str = "") -> int:
        """Put a partition's rows in, with a change done to them; how many there are."""
        count = self._source.bring(name, change)
        write_text(self._file, json.dumps(sorted({*self.names(), name})))
        return count
