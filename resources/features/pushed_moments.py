"""How far pushes have brought each feature view: one small file a view, which every replica of the endpoint reads.

A pushed value counts from its event timestamp on. That may be later than the newest ingested partition, so accepted
pushes move the endpoint's now forward, and the file keeps it there over a restart. It goes back where a push is taken back.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from resources.storage.contained import below
from resources.storage.moment_files import moment_in, move_back, move_forward


class PushedMoments:
    """Newest event timestamp that was pushed online, by feature view."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._moments: dict[str, datetime] = {}

    def look(self) -> None:
        """Take up what any process has pushed."""
        read = {path.stem: moment_in(path) for path in sorted(self.folder.glob("[!.]*.txt"))}
        self._moments = {view: moment for view, moment in read.items() if moment is not None}

    def newest(self, views: Iterable[str]) -> datetime | None:
        """The newest moment of some views, None where nothing was pushed to any."""
        known = self._moments
        return max((known[view] for view in views if view in known), default=None)

    def advance(self, view: str, moment: datetime) -> None:
        """Move a view's moment forward; an earlier one changes nothing."""
        if move_forward(below(self.folder, f"{view}.txt"), moment):
            self.look()

    def go_back(self, view: str, moment: datetime, to: datetime | None) -> None:
        """Move a view's moment back to `to` (None: nothing is pushed any more) where it is the given one."""
        move_back(below(self.folder, f"{view}.txt"), moment, to)
        self.look()
