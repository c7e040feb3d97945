"""Generated timelines: an entity's rows in several views and its questions, many of them in one world.

Instants lie on a few ticks, one unit before and one after them, so that equal times, ends of the time to live and
neighbours by one unit meet all the time; keys and times are null now and then, and many histories are empty.
"""

from collections.abc import Callable
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
STRANGERS = 10
"""Keys on either side of those of the timelines, about which no timeline asks."""
PARTS_STORED = ("p", "p", "p", "q", "q", "", None)
PARTS_ASKED = ("p", "p", "p", "q", "q", "", None, "unknown")


def _by_key(row: Row) -> tuple:
    return tuple((value is not None, value) for value in row.key)


def _by_time(row: Row) -> tuple:
    return (row.event is not None, row.event or 0), (row.created is not None, row.created or 0)


LAYOUTS: dict[str, Callable[[Row], tuple]] = {
    "shuffled": lambda row: (),
    "by_key": _by_key,
    "by_time": lambda row: _by_time(row)[:1],
    "by_key_and_event": lambda row: (_by_key(row), _by_time(row)[0]),
    "by_key_and_time": lambda row: (_by_key(row), _by_time(row)),
}


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
    keys: str = "text"
    files: int = 1
    layout: str = "shuffled"
    arrow: bool = False
    nulls: bool = True
    own_parts: bool = False
    """Whether every timeline has its own second keys, so that pairs of keys are far more than rows."""
    asked_ticks: tuple[int, int] = (0, 12)
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
        {"unit": "ms", "asked_unit": "ms", "zone": None, "asked_zone": None, "keys": "sparse"},
        {"unit": "ns", "tick": 1_000, "asked_unit": "ns", "lives": (1, 1, 1)},
        {"unit": "ns", "asked_unit": "us", "asked_zone": "America/New_York", "created_by_then": True},
        {
            "zone": "Europe/Berlin",
            "asked_zone": "Asia/Kathmandu",
            "base": 1_711_846_800 * SECOND,
            "tick": HOUR // 2,
        },
        {"files": 5, "lives": (4, 0, 1), "own_parts": True},
        {"files": 3, "full_names": True, "keys": "sparse", "asked_unit": "s", "tick": SECOND},
        {"tick": 60_000 * DAY, "base": -350_000 * DAY, "keys": "sparse", "asked_unit": "us"},
        {"tick": 4_000 * DAY, "base": -20_000 * DAY, "zone": None},
        {"lives": (1, 5, 11), "created_by_then": True, "zone": None, "files": 2},
        {"layout": "by_key_and_time", "nulls": False},
        {"layout": "by_key_and_time", "arrow": True, "keys": "dense", "created_by_then": True},
        {"layout": "by_key_and_event", "keys": "dense", "tick": 1_000, "asked_zone": None},
        {"layout": "by_key", "nulls": False, "unit": "ns", "asked_unit": "us"},
        {"layout": "by_key", "keys": "dense", "files": 4, "asked_ticks": (5, 6)},
        {"layout": "by_time", "files": 6, "asked_ticks": (4, 6), "lives": (2, 1, 3), "tick": 1_000},
        {"layout": "by_time", "files": 6, "asked_ticks": (8, 9), "zone": "Europe/Berlin", "lives": (1, 3, 2)},
        {
            "layout": "by_time",
            "unit": "ms",
            "zone": None,
            "asked_ticks": (3, 5),
            "asked_unit": "ns",
        },
        {
            "layout": "by_time",
            "unit": "ns",
            "tick": 1_000,
            "asked_ticks": (3, 4),
            "asked_unit": "ns",
            "lives": (1, 2, 0),
        },
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
        """The key of a timeline; sparse whole numbers are spread over the range of 64 bits."""
        if self.setting.keys == "text":
            return f"entity-{number * 7919 % 1000:03}-{number}"
        return number - 5 if self.setting.keys == "dense" else (number - self.setting.timelines // 2) * 10**15

    def part(self, part: str | None, number: int) -> str | None:
        """The second key of a timeline."""
        return f"{part}-{number}" if part and self.setting.own_parts else part

    def null(self, random: Random, share: float) -> bool:
        """Whether a value is left out."""
        return random.random() < share and self.setting.nulls

    def instant(self, random: Random, unit: str, ticks: tuple[int, int] = (0, TICKS)) -> Nanoseconds:
        """A tick, or its neighbour by one unit."""
        step = PER_UNIT[unit]
        off = random.choice((0, 0, 0, -step, step)) if self.setting.tick > step else 0
        return self.setting.base + random.randrange(*ticks) * self.setting.tick + off

    def view(
        self,
        name: str,
        random: Random,
        life: int,
        created: bool,
        parts: bool = False,
        rows: list[Row] | None = None,
    ) -> View:
        """A view with every timeline's rows in the setting's layout: where they lie decides the last ties."""
        if rows is None:
            numbers = range(-STRANGERS, self.setting.timelines + STRANGERS)
            owners = [n for n in numbers for _ in range(random.choice(ROWS) << parts)]
            random.shuffle(owners)
            rows = [self.row(name, n, random, created, parts) for n in owners]
            rows.sort(key=LAYOUTS[self.setting.layout])
        keys = {"id": pa.string() if self.setting.keys == "text" else pa.int64()}
        keys |= {"part": pa.string()} if parts else {}
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
            arrow=self.setting.arrow,
        )

    def feature(self, view: str, name: str) -> str:
        """Views share their columns' names where full names tell them apart."""
        return name if self.setting.full_names else f"{view}_{name}"

    def row(self, view: str, number: int, random: Random, created: bool, parts: bool) -> Row:
        """A row, recognisable by its number."""
        self.serial += 1
        key = (None if self.null(random, 0.03) else self.key(number),)
        value = None if self.null(random, 0.3) else random.random()
        return Row(
            key + ((self.part(random.choice(PARTS_STORED), number),) if parts else ()),
            None if self.null(random, 0.02) else self.instant(random, self.setting.unit),
            self.instant(random, self.setting.unit) if created and not self.null(random, 0.1) else None,
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
        key = None if self.null(random, 0.03) else self.key(number)
        other = (
            None
            if self.null(random, 0.1)
            else self.key(random.randrange(self.setting.timelines + 2 * STRANGERS))
        )
        at = self.instant(random, self.setting.asked_unit, self.setting.asked_ticks)
        return (
            key,
            self.part(random.choice(PARTS_ASKED), number),
            other,
            None if self.null(random, 0.02) else at,
        )
