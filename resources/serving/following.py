"""An endpoint on a machine of its own: it takes up what runs on others deployed, and brings them what it served.

Requests are answered from this machine's folder alone. A thread of its own keeps that folder up to date, so that an
endpoint goes on answering with what it has while the store that all share is away.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from resources.settings import Settings
from resources.storage.addresses import storage_at
from resources.storage.errors import StorageError
from resources.storage.mirror import Mirror, ship

LOG = logging.getLogger(__name__)
EVERY_S = 1.0


class Following:
    """What an endpoint shares with other machines: records and feature definitions come, served vectors go."""

    def __init__(self, home: Settings) -> None:
        self._taken = [
            Mirror(folder, home.shared(part))
            for part, folder in (("feast", home.feast), ("serving", home.serving))
        ]
        self._log, self._to = home.serving_log, home.shared(home.serving_log.name)
        self._shipped: set[str] = set()
        self._away: dict[str, str] = {}
        self._shipping = threading.Lock()
        self._closed = threading.Event()

    def look(self) -> None:
        """Take up what is new, and bring what was served; where the store is away, what is here stays as it is."""
        for mirror in self._taken:
            self._tried(f"{mirror.address} is not followed", mirror.pull)
        self._tried(f"served vectors do not reach {self._to}", self.ship)

    def ship(self) -> None:
        """Bring the files of the serving log to where runs read them."""
        if self._to and Path(self._log).exists():
            with self._shipping:
                self._shipped = ship(self._log, storage_at(self._to), self._shipped)

    def follow(self, every_s: float = EVERY_S) -> threading.Thread:
        """Look every second, in a thread of its own."""
        thread = threading.Thread(target=self._follow, args=(every_s,), name="follow-shared", daemon=True)
        thread.start()
        return thread

    def _follow(self, every_s: float) -> None:
        while not self._closed.wait(every_s):
            self.look()

    def close(self) -> None:
        """Look no more, and bring what was served last."""
        self._closed.set()
        self.ship()

    def _tried(self, what: str, work: Callable[[], None]) -> None:
        """Do it; an error is told once, not every second."""
        try:
            work()
            self._away.pop(what, None)
        except (StorageError, OSError) as error:
            if self._away.get(what) != type(error).__name__:
                LOG.warning("%s: %s", what, error)
            self._away[what] = type(error).__name__
