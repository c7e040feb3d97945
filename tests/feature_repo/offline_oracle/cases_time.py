"""Cases on what is newest, what has expired, which of two equals wins, and how instants are written."""

from datetime import timedelta

from tests.feature_repo.offline_oracle.cases import NOON, ask, case, hours, row, view
from tests.feature_repo.offline_oracle.oracle import Row
from tests.feature_repo.offline_oracle.world import DAY, HOUR, SECOND, Entities

NANOSECOND, MICROSECOND, SECOND_IN_HOURS = 1 / HOUR, 1000 / HOUR, SECOND / HOUR
DAILY = [row("a", h, h) for h in range(0, 96, 24)]

case("newest", "The newest of several earlier rows is used.", view(DAILY), ask(["a"] * 2, [30, 71]))
case("same-moment", "A row at the very moment of the question is used.", view(DAILY), ask(["a"], [24]))
case(
    "next-microsecond",
    "A row one microsecond after the question is not used.",
    view(DAILY),
    ask(["a"], [24 - MICROSECOND]),
)
case(
    "next-nanosecond",
    "A row one nanosecond after the question is not used, and one at that nanosecond is.",
    view([Row(("a",), NOON, values={"x": 0}), Row(("a",), NOON + 1, values={"x": 1})], unit="ns"),
    Entities({"id": ["a", "a"], "row": [0, 1]}, [NOON, NOON + 1]),
)
case(
    "only-future",
    "Where every row is in the future, the entity row stays, with nulls.",
    view(DAILY),
    ask(["a"], [-1]),
)
case("unknown-key", "A key without any row stays, with nulls.", view(DAILY), ask(["z", "a"], [30, 30]))
case("ttl-edge", "A row exactly TTL old is used.", view(DAILY[:1], ttl=hours(6)), ask(["a"], [6]))
case(
    "ttl-past",
    "A row one microsecond older than the TTL is not used, and the entity row stays.",
    view(DAILY[:1], ttl=hours(6)),
    ask(["a", "a"], [6, 6 + MICROSECOND]),
)
case("ttl-zero", "A TTL of zero is for ever.", view(DAILY[:1], ttl=timedelta(0)), ask(["a"], [24 * 4000]))
case("ttl-none", "No TTL is for ever.", view(DAILY[:1], ttl=None), ask(["a"], [24 * 4000]))
case(
    "ttl-milliseconds",
    "A TTL under a second is kept exactly.",
    view([row("a", 0, 1)], ttl=timedelta(milliseconds=500)),
    ask(["a", "a"], [0.4 * SECOND_IN_HOURS, 0.6 * SECOND_IN_HOURS]),
)
case(
    "ttl-days-and-seconds",
    "A TTL of a day and thirty seconds is both together.",
    view([row("a", 0, 1)], ttl=timedelta(days=1, seconds=30)),
    ask(["a", "a"], [24 + 30 * SECOND_IN_HOURS, 24 + 31 * SECOND_IN_HOURS]),
)
case(
    "ttl-of-the-newest",
    "A newer row that has expired is not replaced by an older one, and a fresh one is found among expired.",
    view([row("a", 0, 1), row("a", 10, 2)], ttl=hours(3)),
    ask(["a", "a", "a"], [12, 14, 2]),
)
case(
    "two-lives",
    "Two views over the same rows each keep their own TTL.",
    [view(DAILY, ttl=hours(6)), view(DAILY, name="w", ttl=hours(48))],
    ask(["a", "a"], [30, 31]),
    full_names=True,
)
case(
    "correction",
    "Of two rows with the same event timestamp the later created one is used, wherever it lies.",
    view(
        [
            row("a", 0, 1, created=9),
            row("a", 0, 2, created=3),
            row("b", 0, 1, created=3),
            row("b", 0, 2, created=9),
        ],
        created=True,
    ),
    ask(["a", "b"], [20, 20]),
)
case(
    "three-corrections",
    "Of three versions of a row the last created is used.",
    view(
        [row("a", 0, i, created=c) for i, c in enumerate([2, 9, 5])] + [row("b", 0, 7, created=1)],
        created=True,
    ),
    ask(["a", "b"], [20, 20]),
)
case(
    "correction-not-yet-made",
    "Without the filter by created timestamp, a correction made after the question is used.",
    view([row("a", 0, 1, created=1), row("a", 0, 2, created=9)], created=True),
    ask(["a"], [5]),
)
case(
    "created-null",
    "A row without a created timestamp loses to one of the same event timestamp that has one.",
    view([row("a", 0, 1, created=2), row("a", 0, 2)], created=True),
    ask(["a"], [5]),
)
case(
    "late-row",
    "A row that arrives late counts by its event timestamp, not by when it was created.",
    view([row("a", 10, 1, created=10), row("a", 4, 2, created=30)], created=True),
    ask(["a", "a"], [40, 5]),
)
case(
    "known-by-then",
    "With the filter by created timestamp a correction counts from the moment at which it was made.",
    view([row("a", 0, 1, created=1), row("a", 0, 2, created=9)], created=True),
    ask(["a", "a", "a"], [8, 9, 10]),
    created_by_then=True,
)
case(
    "nothing-known-by-then",
    "With the filter by created timestamp an older row stands in, and where none was known the entity row has nulls.",
    view([row("a", 0, 1, created=4), row("a", 2, 2, created=9)], created=True),
    ask(["a", "a"], [3, 5]),
    created_by_then=True,
)
case(
    "created-null-by-then",
    "With the filter by created timestamp a row without one is not known to have been known.",
    view([row("a", 0, 1, created=1), row("a", 2, 2)], created=True),
    ask(["a"], [5]),
    created_by_then=True,
)
case(
    "no-created-by-then",
    "The filter by created timestamp leaves views without such a column alone.",
    view(DAILY),
    ask(["a"], [30]),
    created_by_then=True,
)
ALIKE = [f"e{n}" for n in range(200)]
"""So many keys with the same tie: a store that takes any of the equal rows does not take the last for all of them."""
TIE = [row(key, 0, x, created=5) for x in (1, 2, 0) for key in ALIKE]
case(
    "full-tie",
    "Of rows equal in both timestamps the last of the source is used.",
    view(TIE, created=True),
    ask(ALIKE, [9] * len(ALIKE)),
)
case(
    "tie-without-created",
    "Of rows equal in event timestamp, in a source without created timestamps, the last of the source is used.",
    view(TIE),
    ask(ALIKE, [9] * len(ALIKE)),
)
case(
    "tie-over-files",
    "Files count in the order of their names: the last row of the last file wins a tie.",
    view(TIE, files=3),
    ask(ALIKE, [9] * len(ALIKE)),
)
case(
    "null-event",
    "A row without an event timestamp is never used.",
    view([row("a", 0, 1), row("a", None, 2)]),
    ask(["a", "a"], [9, -1]),
)
case(
    "null-moment",
    "An entity row without a moment stays, with nulls.",
    view(DAILY),
    ask(["a", "a"], [None, 30]),
)
case(
    "naive-entities",
    "Entity timestamps without a zone are UTC.",
    view(DAILY),
    ask(["a"] * 2, [24, 23.9], zone=None),
)
case(
    "naive-source",
    "Source timestamps without a zone are UTC.",
    view(DAILY, zone=None),
    ask(["a"] * 2, [24, 23.9]),
)
case(
    "naive-created",
    "Created timestamps without a zone are UTC.",
    view([row("a", 0, 1, created=1), row("a", 0, 2, created=9)], created=True, zone=None),
    ask(["a", "a"], [8, 9]),
    created_by_then=True,
)
AUTUMN = 1_730_610_000 * SECOND
"""2024-11-03T05:00Z, 01:00 in New York; an hour later it is 01:00 there again."""
case(
    "daylight-saving-entities",
    "Entity timestamps in New York time are instants, also in the hour that comes twice.",
    view([Row(("a",), AUTUMN + h * HOUR, values={"x": h}) for h in range(3)]),
    Entities(
        {"id": ["a"] * 5, "row": list(range(5))},
        [AUTUMN + h * HOUR // 2 for h in range(5)],
        zone="America/New_York",
    ),
)
case(
    "daylight-saving-source",
    "Source timestamps in New York time are instants, also in the hour that comes twice.",
    view([Row(("a",), AUTUMN + h * HOUR, values={"x": h}) for h in range(3)], zone="America/New_York"),
    Entities({"id": ["a"] * 5, "row": list(range(5))}, [AUTUMN + h * HOUR // 2 for h in range(5)]),
)
case(
    "text-moments",
    "Entity timestamps written as ISO text are read.",
    view(DAILY),
    ask(["a"] * 2, [24, 23], style="text"),
)
case(
    "object-moments",
    "Entity timestamps may be Python objects with a zone.",
    view(DAILY),
    ask(["a"] * 2, [24, 23], style="object", zone="America/New_York"),
)
for unit in ("ms", "us", "ns"):
    case(
        f"source-{unit}",
        f"A source in {unit} answers entity rows in seconds.",
        view(DAILY, unit=unit),
        ask(["a", "a"], [24, 23], unit="s"),
    )
case(
    "milliseconds-against-microseconds",
    "Units are compared as instants: half a millisecond before a row it is not used.",
    view(DAILY, unit="ms"),
    ask(["a", "a"], [24 - 500 * MICROSECOND, 24 + 500 * MICROSECOND], unit="us"),
)
case(
    "created-other-unit",
    "Event and created timestamps may differ in unit.",
    view([row("a", 0, 1, created=9), row("a", 0, 2, created=3)], created=True, unit="ms", created_unit="ns"),
    ask(["a"], [20]),
)
case(
    "before-1970",
    "Instants before 1970 are instants.",
    view([Row(("a",), -2 * DAY, values={"x": 1}), Row(("a",), -DAY, values={"x": 2})]),
    Entities({"id": ["a"] * 3, "row": [0, 1, 2]}, [-3 * DAY, -DAY - 1000, -DAY], unit="us"),
)
case(
    "two-thousand-years",
    "Instants from the year 1 to 9999 are told apart to the microsecond.",
    view(
        [
            Row(("a",), -62_135_596_800 * SECOND, values={"x": 1}),
            Row(("a",), NOON, values={"x": 2}),
            Row(("a",), 253_402_300_799 * SECOND, values={"x": 3}),
        ]
    ),
    Entities({"id": ["a"] * 3, "row": [0, 1, 2]}, [NOON - 1000, NOON, 4_102_444_800 * SECOND], unit="us"),
)
case(
    "other-moment-column",
    "The only datetime column of the entity frame is its moment, whatever its name.",
    view(DAILY),
    ask(["a"] * 2, [30, 23], moment="asked_at"),
)
