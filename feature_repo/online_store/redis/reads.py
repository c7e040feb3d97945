"""Reads of a Redis online store by the hashes' fields: one round trip for all views of all rows."""

from typing import Any

from ..plan import KeyGroup, StoredCells
from ..reads import KeysByGroup, Reads
from .commands import Ways, fetching
from .sockets import Wires


class RedisReads(Reads):
    """The hashes of one project in one server; `client` is redis-py's."""

    def __init__(self, client: Any, project: str) -> None:
        self._client, self._project, self._wires = client, project, Wires()

    def fetch(self, questions: KeysByGroup) -> list[list[StoredCells]]:
        """A command an entity key, whatever the number of views that share it."""
        return self._wires.fetch(
            self._client, fetching(questions, [self._ways(group) for group, _ in questions])
        )

    def _ways(self, group: KeyGroup) -> Ways:
        if "ways" not in group.memo:
            group.memo["ways"] = Ways(self._project, group, lambda read: read.view)
        return group.memo["ways"]
