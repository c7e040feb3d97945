"""Reads of a Redis online store by the hashes' fields: one round trip for all views of all rows."""

from typing import Any

from ..plan import Found, KeyGroup
from ..reads import Asked, Reads
from .commands import Command, answered, asking
from .sockets import Wires


class RedisReads(Reads):
    """The hashes of one project in one server; `client` is redis-py's."""

    def __init__(self, client: Any, project: str) -> None:
        self._client, self._project, self._wires = client, project, Wires()

    def fetch(self, asked: Asked) -> list[list[Found]]:
        """A command an entity key, whatever the number of views that share it."""
        request = b"".join([self._command(group).of(keys) for group, keys in asked])
        return answered(asked, self._wires.ask(self._client, request, sum(len(keys) for _, keys in asked)))

    def _command(self, group: KeyGroup) -> Command:
        if "command" not in group.memo:
            places = [read.view for read in group.views]
            fields, stamps = [place.fields for place in places], [place.stamp for place in places]
            group.memo["command"] = asking(self._project, fields, stamps)
        return group.memo["command"]
