"""Generated timelines: an entity's rows in several views and its questions, many of them in one world.

Instants lie on a few ticks, one unit before and one after them, so that equal times, ends of the time to live and
neighbours by one unit meet all the time; keys and times are null now and then, and many histories are empty.
"""

from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import pyarrow as pa

from tests.feature_repo.offline_oracle.oracle import Nanoseconds, Row
from tests.feature_repo.offline_oracle.world import DAY, HOUR, PER_UNIT, SECOND, Entities, View, World

BASE = 1_709_294_400 * SECOND
TICKS = 12
ROWS = (0, 1, 2, 4, 8)
PARTS_STORED = ("p", "p", "p", "q", "q", "", None)
PARTS_ASKED = ("p", "p", "p", "q", "q", "", None, "unknown")


@dataclass(frozen=True)
class Setting:
    """How a world of timelines is made."""

    seed: int
    timelines: int
    tick: Nanoseconds = HOUR
    unit: str = "us"
    zone: str | None = "UTC"
    asked_unit: str = "us"
    asked_zone: str | None = "UTC"
    lives: tuple[int, int, int] = (0, 3, 2)
    whole_keys: bool = False
    files: int = 1
    full_names: bool = False
    created_by_then: bool = False
    base: Nanoseconds = BASE


def settings(timelines: int) -> list[Setting]:
    """Worlds over every unit, zone, kind of key, layout and option, that many timelines each."""
    kinds: list[dict[str, Any]] = [
        {},
        {"tick": 1_000},
        {"tick": 1_000, "created_by_then": True, "full_names": True},
        {"unit": "ms", "tick": 1_000_000, "asked_unit": "ns"},
        {"unit": "ms", "asked_unit": "ms", "zone": None, "asked_zone": None, "whole_keys": True},
        {"unit": "ns", "tick": 1_000, "asked_unit": "ns", "lives": (1, 1, 1)},
        {"unit": "ns", "asked_unit": "us", "asked_zone": "America/New_York", "created_by_then": True},
        {
            "zone": "Europe/Berlin",
            "asked_zone": "Asia/Kathmandu",
            "base": 1_711_846_800 * SECOND,
            "tick": HOUR // 2,
        },
        {"files": 5, "lives": (4, 0, 1)},
        {"files": 3, "full_names": True, "whole_keys": True, "asked_unit": "s", "tick": SECOND},
        {"tick": 4_000 * DAY, "base": -20_000 * DAY, "whole_keys": True, "asked_unit": "us"},
        {"lives": (1, 5, 11), "created_by_then": True, "zone": None, "files": 2},
    ]
    return [Setting(seed=number, timelines=timelines, **kind) for number, kind in enumerate(kinds)]


def world_of(setting: Setting) -> World:
    """The world of that setting, the same at each call."""
    random, made = Random(setting.seed), _Maker(setting)
    plain = made.view("plain", random, setting.lives[0], created=False)
    versioned = made.view("versioned", random, setting.lives[1], created=True)
    pair = made.view("pair", random, setting.lives[2], created=True, parts=True)
    other = made.view("plain", random, setting.lives[0], created=False, rows=plain.rows)
    views = [plain, versioned, pair, made.aliased(other)]
    return World(views, made.questions(random), setting.full_names, setting.created_by_then)


class _Maker:
    """Draws rows and questions of one setting."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.serial = 0

    def key(self, number: int) -> Any:
        """The key of a timeline; whole numbers are spread over the whole range of 64 bits."""
        return (
            (number - self.setting.timelines // 2) * 10**15 if self.setting.whole_keys else f"entity-{number}"
        )

    def instant(self, random: Random, unit: str, null: float = 0.0) -> Nanoseconds | None:
        """A tick, or its neighbour by one unit."""
        if random.random() < null:
            return None
        step = PER_UNIT[unit]
        off = random.choice((0, 0, 0, -step, step)) if self.setting.tick > step else 0
        return self.setting.base + random.randrange(TICKS) * self.setting.tick + off

    def view(
        self,
        name: str,
        random: Random,
        life: int,
        created: bool,
        parts: bool = False,
        rows: list[Row] | None = None,
    ) -> View:
        """A view with every timeline's rows, shuffled: the order in which they lie decides the last ties."""
        if rows is None:
            owners = [n for n in range(self.setting.timelines) for _ in range(random.choice(ROWS) << parts)]
            random.shuffle(owners)
            rows = [self.row(name, n, random, created, parts) for n in owners]
        keys = {"id": pa.int64() if self.setting.whole_keys else pa.string()} | (
            {"part": pa.string()} if parts else {}
        )
        return View(
            name=name,
            keys=keys,
            features={self.feature(name, "row"): pa.int64(), self.feature(name, "value"): pa.float64()},
            rows=rows,
            ttl=timedelta(microseconds=life * self.setting.tick // 1000),
            created=created,
            unit=self.setting.unit,
            zone=self.setting.zone,
            created_unit=self.setting.unit,
            files=self.setting.files,
        )

    def feature(self, view: str, name: str) -> str:
        """Views share their columns' names where full names tell them apart."""
        return name if self.setting.full_names else f"{view}_{name}"

    def row(self, view: str, number: int, random: Random, created: bool, parts: bool) -> Row:
        """A row, recognisable by its number."""
        self.serial += 1
        key = (None if random.random() < 0.03 else self.key(number),)
        value = None if random.random() < 0.3 else random.random()
        return Row(
            key + ((random.choice(PARTS_STORED),) if parts else ()),
            self.instant(random, self.setting.unit, null=0.02),
            self.instant(random, self.setting.unit, null=0.1) if created else None,
            {self.feature(view, "row"): self.serial, self.feature(view, "value"): value},
        )

    def aliased(self, view: View) -> View:
        """The view once more, about another entity."""
        features = {f"other_{n}" if not self.setting.full_names else n: t for n, t in view.features.items()}
        mapping = {} if self.setting.full_names else {n: f"other_{n}" for n in view.features}
        rows = [
            Row(r.key, r.event, r.created, {mapping.get(n, n): v for n, v in r.values.items()})
            for r in view.rows
        ]
        fields = view.__dict__ | {"features": features, "rows": rows, "mapping": mapping, "name": "again"}
        return View(**fields | {"alias": "other", "alias_keys": {"id": "other_id"}})

    def questions(self, random: Random) -> Entities:
        """Every timeline's questions, shuffled, a fifth of them twice."""
        asked = [
            self.question(n, random)
            for n in range(self.setting.timelines)
            for _ in range(random.randint(1, 4))
        ]
        asked += random.sample(asked, len(asked) // 5)
        random.shuffle(asked)
        names = ("id", "part", "other_id")
        columns: dict[str, Any] = {name: [a[place] for a in asked] for place, name in enumerate(names)}
        return Entities(
            columns | {"row": list(range(len(asked)))},
            [a[3] for a in asked],
            unit=self.setting.asked_unit,
            zone=self.setting.asked_zone,
        )

    def question(self, number: int, random: Random) -> tuple[Any, Any, Any, Nanoseconds | None]:
        """A timeline's question: its key, the part, another entity, and the moment."""
        key = None if random.random() < 0.03 else self.key(number)
        other = None if random.random() < 0.1 else self.key(random.randrange(self.setting.timelines + 5))
        part = random.choice(PARTS_ASKED)
        return key, part, other, self.instant(random, self.setting.asked_unit, null=0.02)
