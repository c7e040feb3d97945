"""Lives partition after partition: the clock runs through one, its rows come, and the clock stands until the platform is at rest."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mlops_assets.live.customers import Customers, Traffic
from mlops_assets.live.journal import Event, Journal
from mlops_assets.live.landed import Landed
from mlops_assets.live.order import Order, Plant, Schedule
from mlops_assets.live.pace import Pace
from mlops_assets.live.sources import HeldBack
from mlops_assets.live.watch import Watch
from mlops_assets.spec.calendar import Calendar
from resources.clock import wall

LOOK_EVERY_S = 0.5
A_MOMENT = timedelta(minutes=1)
SAYS_SO_EVERY_S = 120.0
LATE = timedelta(days=3)
BROKEN = timedelta(hours=12)
"""How long a plant lasts by the simulated clock: rows that are late, and a file that cannot be read."""


class EndedError(Exception):
    """Somebody ends it."""


@dataclass
class Conductor:
    """Everything that one life needs; `alive` raises where a server is gone, `due` says whether a signal came."""

    order: Order
    schedule: Schedule
    calendar: Calendar
    source: HeldBack
    landed: Landed
    pace: Pace
    watch: Watch
    customers: Customers
    journal: Journal
    alive: Callable[[], None]
    due: Callable[[], bool]
    _answering: dict[str, str] = field(default_factory=dict)
    _champions: dict[str, str] = field(default_factory=dict)

    def live(self) -> None:
        """Live all partitions that are not there yet. Raises EndedError where somebody ends it first."""
        there = {*self.landed.names()}
        lived = [name for name in self.schedule.lived if name in there]
        waiting = [name for name in self.schedule.lived if name not in there]
        start = self.calendar.partition(self.schedule.lived[0]).start
        self.pace.begin(max(start, self.pace.now()) if self.pace.there else start)
        self.customers.start()
        try:
            if lived:
                self._rest(lived[-1], wall())
            for name in waiting:
                self._pass(name)
                self._bring(name)
                self._sum_up(name)
        finally:
            self.customers.end()
            self.pace.stand()

    def _pass(self, name: str) -> None:
        """Let the clock run to the end of a partition, while customers ask about what it will bring."""
        span = self.calendar.partition(name)
        self.customers.ask_about(self.source.rows(name))
        self._run_to(span.end + self.source.lateness, self.order.every_s)

    def _run_to(self, moment: datetime, seconds: float) -> None:
        """Let the clock run so that it is at a moment in so many seconds, and stop it there."""
        left = (moment - self.pace.now()).total_seconds()
        if left > 0:
            rate = left / seconds
            self.pace.set(self.pace.now(), rate)
            last = moment - timedelta(seconds=rate * LOOK_EVERY_S * 2)
            self._look_until(lambda: self.pace.now() >= last)
        self.pace.set(max(moment, self.pace.now()))

    def _bring(self, name: str) -> None:
        plant = self.schedule.plants.get(name)
        if plant is Plant.LATE_DATA:
            self._hold_up(name, f"the rows of {name} come {LATE.days} days late", LATE)
        elif plant is Plant.BROKEN_SOURCE:
            file = self.source.spoil(name)
            hours = BROKEN // timedelta(hours=1)
            self._hold_up(
                name, f"the file {file} ends in its middle, and is mended after {hours} hours", BROKEN
            )
        change = self.schedule.change(name)
        if change:
            self.journal.tell(
                Event(
                    "planted",
                    f"{change.replace('-', ' ')} in the rows of {name}",
                    name,
                    None,
                    {"plant": change},
                )
            )
        count = self.landed.bring(name, change)
        begun = wall()
        self.journal.tell(
            Event("landed", f"{count:,} rows of {name} are put in", name, None, {"rows": count})
        )
        self.pace.set(self.pace.now() + A_MOMENT)
        self._rest(name, begun)

    def _hold_up(self, name: str, text: str, span: timedelta) -> None:
        """Let the time of a plant pass, in two parts, after each of which the platform comes to rest."""
        plant = self.schedule.plants[name]
        self.journal.tell(Event("planted", text, name, None, {"plant": plant}))
        for part in (1, 2):
            self._run_to(self.pace.now() + span / 2, max(self.order.every_s / 4, 1.0))
            begun = wall()
            self._look_until(
                lambda begun=begun: self.watch.at_rest(begun),
                f"the platform has looked for {name}, time {part}",
            )

    def _rest(self, name: str, since: datetime) -> None:
        """Until a partition is reported on, the sensors want nothing more, and the endpoint answers with the champions."""
        self._look_until(
            lambda: self.watch.is_reported(name) and self.watch.at_rest(since) and self._champions_answer(),
            f"{name} is reported on and nothing is to do",
        )

    def _champions_answer(self) -> bool:
        return all(self._answering.get(model) == version for model, version in self._champions.items())

    def _look_until(self, enough: Callable[[], bool], what: str = "") -> None:
        """Tell what happens until it is enough."""
        said = time.monotonic()
        while True:
            if self.due():
                raise EndedError
            self.alive()
            done = enough()
            self._tell()
            if done and enough():  # still, by what was told in between
                return
            if what and time.monotonic() - said > SAYS_SO_EVERY_S:
                said = time.monotonic()
                self.journal.tell(Event("waiting", f"still until {what}"))
            time.sleep(LOOK_EVERY_S)

    def _tell(self) -> None:
        for event in self.watch.events():
            self.journal.tell(event)
            if event.kind == "promoted" and event.model:
                self._champions[event.model] = str(event.numbers["version"])
        for model, version in self.customers.versions().items():
            if self._answering.get(model) != version:
                self._answering[model] = version
                self.journal.tell(
                    Event(
                        "answers",
                        f"{model}: the endpoint answers with version {version}",
                        None,
                        model,
                        {"version": version},
                    )
                )

    def _sum_up(self, name: str) -> None:
        """What customers met with in a partition, and how fast time went by."""
        for model, traffic in self.customers.traffic().items():
            if traffic.answered or traffic.others:
                self.journal.tell(traffic_event(name, model, traffic))
        lived, seconds, speed = self.pace.reached()
        days = lived / timedelta(days=1)
        text = f"{name} is lived: {days:.1f} days in {seconds:.0f} s, {speed:,.0f} times as fast as a clock"
        self.journal.tell(
            Event("speed", text, name, None, {"speed": speed, "seconds": seconds, "days": days})
        )


def traffic_event(name: str, model: str, traffic: Traffic) -> Event:
    """What customers of a model met with, in a line."""
    answered = sum(traffic.answered.values())
    versions = ", ".join(f"{count} by version {version}" for version, count in traffic.answered.items())
    others = ", ".join(f"{count} {what}" for what, count in traffic.others.items())
    times = sorted(traffic.seconds)
    numbers = {
        "answered": answered,
        "by_version": dict(traffic.answered),
        "others": dict(traffic.others),
        "words": traffic.words,
        "median_ms": statistics.median(times) * 1000 if times else None,
        "p99_ms": times[math.ceil(len(times) * 0.99) - 1] * 1000 if times else None,
    }
    speed = f", median {numbers['median_ms']:.1f} ms, p99 {numbers['p99_ms']:.1f} ms" if times else ""
    text = f"{model}: {answered + sum(traffic.others.values())} requests{f': {versions}' if versions else ''}{f', {others}' if others else ''}{speed}"
    return Event("traffic", text, name, model, numbers)
