"""How far pushes have brought each feature view: one small file a view, which every replica of the endpoint reads.

A pushed value counts from its event timestamp on. That may be later than the newest ingested partition, so accepted
pushes move the endpoint's now forward, and the file keeps it there over a restart. It never goes back.
"""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from resources.contained import below
from resources.lake import write_text
from resources.moments import read_moment


class PushedMoments:
    """Newest event timestamp that was pushed online, by feature view."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._moments: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def look(self) -> None:
        """Take up what any process has pushed."""
        self._moments = {path.stem: _read(path) for path in sorted(self.folder.glob("[!.]*.txt"))}

    def newest(self, views: Iterable[str]) -> datetime | None:
        """The newest moment of some views, None where nothing was pushed to any."""
        known = self._moments
        return max((known[view] for view in views if view in known), default=None)

    def advance(self, view: str, moment: datetime) -> None:
        """Move a view's moment forward; an earlier one changes nothing."""
        with self._lock:
            self.look()
            if moment > self._moments.get(view, datetime.min.replace(tzinfo=UTC)):
                write_text(below(self.folder, f"{view}.txt"), moment.astimezone(UTC).isoformat())
                self.look()


def _read(path: Path) -> datetime:
    return read_moment(path.read_text(encoding="utf-8").strip())
