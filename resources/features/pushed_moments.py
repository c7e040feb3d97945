"""How far pushes have brought each feature view: one small file a view and use case, which every replica of the endpoint reads.

A pushed value counts from its event timestamp on. That may be later than the newest ingested partition, so accepted
pushes move the endpoint's now forward, and the file keeps it there over a restart. It goes back where a push is taken back.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from resources.storage.contained import below
from resources.storage.mirror import Mirror
from resources.storage.moment_files import back_for_all, forward_for_all, moment_in
from resources.use_case_folders import default_use_case


class PushedMoments:
    """Newest event timestamp that was pushed online, by use case and feature view.

    The files of earlier releases, which knew one use case, lie beside the folders of use cases and count for that one.
    """

    def __init__(self, folder: Path, shared: str = "") -> None:
        """`shared`: where they lie for the endpoints of all machines; this folder follows it."""
        self.folder, self._mirror = folder, Mirror(folder, shared)
        self._moments: dict[tuple[str, str], datetime] = {}
        self._newest: dict[tuple[tuple[str, ...], str], datetime | None] = {}

    def look(self) -> None:
        """Take up what any process has pushed."""
        shared = {("", path.stem): moment_in(path) for path in sorted(self.folder.glob("[!.]*.txt"))}
        own = {
            (path.parent.name, path.stem): moment_in(path) for path in sorted(self.folder.glob("*/[!.]*.txt"))
        }
        self._moments = {view: moment for view, moment in (shared | own).items() if moment is not None}
        self._newest = {}

    def newest(self, views: Iterable[str], use_case: str = "") -> datetime | None:
        """The newest moment of some views of a use case, None where nothing was pushed to any."""
        known, names_of_views = self._moments, set(views)
        names = self._names(use_case)
        return max(
            (m for (name, view), m in known.items() if name in names and view in names_of_views), default=None
        )

    def newest_of(self, views: tuple[str, ...], use_case: str) -> datetime | None:
        """The same, remembered until the next look: it is asked at every request."""
        newest = self._newest
        if (views, use_case) not in newest:
            newest[views, use_case] = self.newest(views, use_case)
        return newest[views, use_case]

    def advance(self, view: str, moment: datetime, use_case: str = "") -> None:
        """Move a view's moment forward; an earlier one changes nothing."""
        if forward_for_all(self._mirror, self._file(use_case, view), moment):
            self.look()

    def go_back(self, view: str, moment: datetime, to: datetime | None, use_case: str = "") -> None:
        """Move a view's moment back to `to` (None: nothing is pushed any more) where it is the given one."""
        for name in self._names(use_case):
            back_for_all(self._mirror, self._file(name, view), moment, to)
        self.look()

    def _file(self, use_case: str, view: str) -> str:
        name = f"{use_case}/{view}.txt" if use_case else f"{view}.txt"
        return below(self.folder, name).relative_to(self.folder).as_posix()

    @staticmethod
    def _names(use_case: str) -> set[str]:
        return {use_case, ""} if use_case in ("", default_use_case()) else {use_case}
