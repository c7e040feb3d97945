"""How the models stood when one sensor looked, for another one that looks within the same minute: both run in the code location's process."""

import time
from collections.abc import Mapping
from threading import Lock

from resources.lake.lake import Lake
from resources.records.standing import Platform, Standing

GOOD_FOR_S = 75.0
"""Sensors look once a minute, some seconds earlier or later."""


class Looks:
    """The newest look at each state, for as long as it is good; from any thread."""

    def __init__(self, good_for_s: float = GOOD_FOR_S) -> None:
        self._good_for_s, self._lock = good_for_s, Lock()
        self._looks: dict[tuple[str, str], tuple[float, Mapping[str, Standing]]] = {}

    def keep(self, lake: Lake, platform: Platform) -> None:
        """Keep how the models of a state stand."""
        with self._lock:
            self._looks[lake.root, lake.state] = time.monotonic(), {one.model: one for one in platform.models}

    def take(self, lake: Lake) -> Mapping[str, Standing]:
        """How the models of a state stood a moment ago, which is taken once; none where nobody has looked lately."""
        with self._lock:
            at, standings = self._looks.pop((lake.root, lake.state), (0.0, {}))
        return standings if time.monotonic() - at <= self._good_for_s else {}


LOOKS = Looks()
"""Those of this process."""
