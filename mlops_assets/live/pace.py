"""The simulated clock of a state, driven from outside: it runs fast, stands while the platform works, and says its speed."""

import time
from datetime import datetime, timedelta

from resources.clock import CLOCK_FILE, Clock, Simulation, wall
from resources.settings import Settings
from resources.storage.durable import write_bytes


class Pace:
    """Runs and stops the clock of a state; the time of every process of the state follows."""

    def __init__(self, where: Settings) -> None:
        self._file, self._clock = where.home / CLOCK_FILE, Clock.of(where)
        self._since = time.monotonic()
        self._first: datetime | None = None

    @property
    def there(self) -> bool:
        """Whether the state has a simulated clock already."""
        return self._file.exists()

    def now(self) -> datetime:
        """What the clock says."""
        return self._clock.now()

    def set(self, now: datetime, rate: float = 0.0) -> None:
        """Put the clock to a moment, from which it runs at a rate; 0: it stands."""
        write_bytes(self._file, Simulation(start=now, rate=rate, anchor=wall()).text())

    def stand(self) -> None:
        """Stop the clock where it is."""
        self.set(self.now())

    def begin(self, now: datetime) -> None:
        """Put the clock to a moment, from which its speed is told."""
        self.set(now)
        self._since, self._first = time.monotonic(), now

    def reached(self) -> tuple[timedelta, float, float]:
        """Simulated time since the beginning, the seconds that it took, and how many times as fast that is as a clock."""
        lived = self.now() - (self._first or self.now())
        seconds = time.monotonic() - self._since
        return lived, seconds, lived.total_seconds() / max(seconds, 1e-9)
