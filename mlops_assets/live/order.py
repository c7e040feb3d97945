"""What somebody wants to see live: a use case, how many partitions, how fast, and what is to go wrong on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

from mlops_assets.spec.calendar import Calendar


class Plant(StrEnum):
    """What goes wrong with the data, while the platform's code is as it is."""

    DRIFT = "drift"
    LATE_DATA = "late-data"
    BROKEN_SOURCE = "broken-source"
    BAD_CHALLENGER = "bad-challenger"


SPOILED = 2
"""Partitions in a row whose labels a bad challenger learns from."""


class LiveError(Exception):
    """What cannot be shown live, with the value, the rule and the fix."""


@dataclass(frozen=True)
class Order:
    """The options of `mlops live`.

    `every_s` is how many seconds a partition takes beside the work, `a_second` how many requests customers make a second.
    """

    use_case: str
    partitions: int | None = None
    since: str | None = None
    every_s: float = 15.0
    a_second: float = 5.0
    anew: bool = False
    plants: Sequence[Plant] = ()
    days: Sequence[date] = ()

    def __post_init__(self) -> None:
        if len(self.plants) != len(self.days):
            raise LiveError(
                f"--plant is given {len(self.plants)} times and --on {len(self.days)} times: give one --on DAY for each --plant"
            )
        if self.partitions is not None and self.partitions < 1:
            raise LiveError(f"--partitions {self.partitions}: give a whole number, 1 or more")
        if self.every_s < 1 or self.a_second < 0:
            raise LiveError(
                f"--every {self.every_s:g} and --requests {self.a_second:g}: give seconds, 1 or more, and requests a second, 0 or more"
            )


@dataclass(frozen=True)
class Schedule:
    """Which partitions are history, which are lived, and what is done to which of these."""

    history: Sequence[str]
    lived: Sequence[str]
    plants: Mapping[str, Plant] = field(default_factory=dict)
    drifts_from: str | None = None
    spoiled: Sequence[str] = ()

    @classmethod
    def of(cls, order: Order, calendar: Calendar, names: Sequence[str], first: str) -> Self:
        """For the partitions that a source has rows of, and the first that is lived unless the order names one.

        Raises LiveError for a partition or a day that is not among them.
        """
        first = order.since or first
        if first not in names:
            raise LiveError(
                f"--from {first}: no such partition; there are {names[0]} to {names[-1]}, name one of them"
            )
        behind = [name for name in names if name >= first]
        lived = behind[: order.partitions]
        plants = {
            _with_the_day(day, calendar, lived, plant): plant
            for plant, day in zip(order.plants, order.days, strict=True)
        }
        if len(plants) < len(order.plants):
            raise LiveError("two plants are on one partition: choose days that are further apart")
        by_plant = {plant: name for name, plant in plants.items()}
        bad = by_plant.get(Plant.BAD_CHALLENGER)
        return cls(
            [name for name in names if name < first],
            lived,
            plants,
            by_plant.get(Plant.DRIFT),
            [name for name in names if bad and name >= bad][:SPOILED],
        )

    def change(self, name: str) -> str:
        """What is done to the rows of a partition; empty: nothing."""
        if name in self.spoiled:
            return "bad-labels"
        return "drift" if self.drifts_from and name >= self.drifts_from else ""


def _with_the_day(day: date, calendar: Calendar, lived: Sequence[str], plant: Plant) -> str:
    """The lived partition that has a day's noon."""
    noon = datetime.combine(day, time(12), ZoneInfo(calendar.timezone))
    for name in lived:
        span = calendar.partition(name)
        if span.start <= noon < span.end:
            return name
    raise LiveError(
        f"--plant {plant} --on {day}: that day is in no partition that is lived, which are {lived[0]} to {lived[-1]}: "
        "choose one of their days, or give --from and --partitions"
    )
