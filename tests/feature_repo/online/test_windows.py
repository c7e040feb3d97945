"""Partitions brought online in any order, again, and corrected: what is served is what the history says."""

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.types import Float32, Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.online_store.codec.moment import as_of
from feature_repo.online_store.writing import Brought, BulkWrites
from tests.feature_repo.online.shop import HOUR, NOW, Database, customer, opened, view, write

DAYS = [NOW + timedelta(days=n) for n in range(4)]
DAY = timedelta(days=1)
LIVES = {"for ever": timedelta(0), "thirty hours": 30 * HOUR}
TABLE = pa.schema(
    {
        "customer_id": pa.int64(),
        "event_timestamp": pa.timestamp("us", "UTC"),
        "created": pa.timestamp("us", "UTC"),
        "points": pa.int64(),
    }
)
Event = tuple[int, datetime, datetime, int]
"""Customer, event time, created time, points."""


class Shop:
    """A store, its one view, and the history that its source would hold, by day."""

    def __init__(self, folder: Path, database: Database, life: timedelta) -> None:
        write(folder, "points", {"customer_id": [1], "points": [0]})
        self.folder = folder
        self.store: FeatureStore = opened(folder, database.bulk())
        self.store.apply(
            [customer, view(folder, "points", [customer], {"customer_id": Int64, "points": Int64}, life)]
        )
        self.life = life
        self.days: dict[int, list[Event]] = {}
        self.asked: list[tuple[datetime, datetime]] = []

    @property
    def online(self) -> BulkWrites:
        return self.store._get_provider().online_store  # type: ignore[attr-defined]

    def pull(self, first: datetime, last: datetime) -> pa.Table:
        self.asked.append((first, last))
        events = [event for day in sorted(self.days) for event in self.days[day] if first <= event[1] <= last]
        columns = zip(*events, strict=True) if events else [[]] * 4
        return pa.table([pa.array(c, t) for c, t in zip(columns, TABLE.types, strict=True)], schema=TABLE)

    def bring(self, day: int) -> Brought:
        """The day and all later ones, as the platform's asset does."""
        asked = self.store.get_feature_view("points")
        return self.online.bring_up(self.store.config, asked, self.pull, DAYS[day], self.end)

    @property
    def end(self) -> datetime:
        return DAYS[max(self.days)] + DAY

    def served(self, *customers: int) -> list[int | None]:
        with as_of(self.end):
            rows = {"customer_id": list(customers)}
            return self.store.get_online_features(["points:points"], rows).to_dict()["points"]

    def expected(self, *customers: int) -> list[int | None]:
        """By looking at every row of the history."""
        found: list[int | None] = []
        for asked in customers:
            mine = [e for events in self.days.values() for e in events if e[0] == asked and e[1] <= self.end]
            alive = [e for e in mine if not self.life or e[1] >= self.end - self.life]
            found.append(max(alive, key=lambda event: (event[1], event[2]))[3] if alive else None)
        return found


@pytest.fixture(params=LIVES)
def shop(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Shop:
    return Shop(tmp_path, database, LIVES[request.param])


def event(customer: int, day: int, points: int, hour: int = 6, made: int = 0) -> Event:
    return customer, DAYS[day] + hour * HOUR, NOW + made * HOUR, points


def test_a_later_day_reads_its_own_history_only(shop: Shop) -> None:
    shop.days = {0: [event(1, 0, 10), event(2, 0, 20, hour=23)]}
    assert shop.bring(0) == Brought(2, 0, DAYS[0] + 23 * HOUR)
    shop.days[1] = [event(1, 1, 11)]
    shop.asked.clear()
    assert shop.bring(1) == Brought(1, 0, DAYS[1] + 6 * HOUR)
    assert shop.asked == [(DAYS[1], shop.end)]
    assert shop.served(1, 2) == shop.expected(1, 2) == [11, 20]


def test_a_day_brought_again_without_a_row_serves_the_row_before(shop: Shop) -> None:
    shop.days = {
        0: [event(1, 0, 10, hour=20), event(2, 0, 20, hour=20)],
        1: [event(1, 1, 11), event(2, 1, 21)],
    }
    shop.bring(0)
    assert shop.served(1, 2) == [11, 21]
    shop.days[1] = [event(2, 1, 22)]
    assert shop.bring(1).removed == 1
    assert shop.served(1, 2) == shop.expected(1, 2) == [10, 22]


def test_a_row_taken_back_altogether_is_not_served(shop: Shop) -> None:
    shop.days = {0: [event(1, 0, 10, hour=23)]}
    shop.bring(0)
    shop.days = {0: [event(2, 0, 20, hour=23)]}
    shop.bring(0)
    assert shop.served(1, 2) == [None, 20]


def test_a_late_row_is_merged_in_and_an_old_one_changes_nothing(shop: Shop) -> None:
    shop.days = {0: [event(1, 0, 10)], 1: [event(1, 1, 11)]}
    shop.bring(0)
    shop.days[0].append(event(1, 0, 12, hour=9))
    shop.days[1].append(event(2, 1, 21))
    shop.bring(0)
    assert shop.served(1, 2) == shop.expected(1, 2) == [11, 21]


def test_a_correction_that_is_withdrawn_gives_way_to_what_it_corrected(shop: Shop) -> None:
    shop.days = {0: [event(1, 0, 10, hour=22), event(1, 0, 99, hour=22, made=5)]}
    shop.bring(0)
    assert shop.served(1) == [99]
    shop.days[0].pop()
    shop.bring(0)
    assert shop.served(1) == [10]


def test_a_view_with_other_features_is_brought_up_from_its_beginning(
    tmp_path: Path, database: Database
) -> None:
    shop = Shop(tmp_path, database, timedelta(0))
    shop.days = {0: [event(1, 0, 10)], 1: [event(2, 1, 20)]}
    shop.bring(0)
    changed = view(tmp_path, "points", [customer], {"customer_id": Int64, "points": Int64, "tier": String})
    shop.store.apply(changed)

    def pull(first: datetime, last: datetime) -> pa.Table:
        found = shop.pull(first, last)
        return found.append_column("tier", pa.array(["gold"] * found.num_rows))

    shop.online.bring_up(shop.store.config, changed, pull, DAYS[1], shop.end)
    with as_of(shop.end):
        rows = {"customer_id": [1, 2, 3]}
        assert shop.store.get_online_features(["points:tier"], rows).to_dict()["tier"] == [
            "gold",
            "gold",
            None,
        ]


def test_an_error_while_the_history_is_read_changes_nothing(shop: Shop) -> None:
    shop.days = {0: [event(1, 0, 10, hour=23)]}
    shop.bring(0)
    shop.days[0] = [event(1, 0, 11, hour=23)]
    asked = shop.store.get_feature_view("points")
    asked.features.append(asked.features[0].__class__(name="absent", dtype=Float32))
    with pytest.raises(ValueError, match="names absent, which its source does not have"):
        shop.online.bring_up(shop.store.config, asked, shop.pull, DAYS[0], shop.end)
    assert shop.served(1) == [10]


days = st.integers(0, 3)
events = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 23), st.integers(0, 2), st.integers(0, 99)), max_size=5
)


@pytest.mark.parametrize("life", LIVES)
@settings(max_examples=40)
@given(steps=st.lists(st.tuples(days, events), min_size=1, max_size=6))
def test_whatever_is_ingested_in_whatever_order_the_newest_of_the_history_is_served(
    life: str,
    steps: list[tuple[int, list[tuple[int, int, int, int]]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("windows")
    shop = Shop(folder, Database("sqlite", {"path": str(folder / "online.db")}), LIVES[life])
    for day, rows in steps:
        # A later row of equal times is a copy: the order within a source is the offline store's to decide.
        distinct = {(who, hour, made): points for who, hour, made, points in rows}
        shop.days[day] = [
            event(who, day, points, hour, made) for (who, hour, made), points in distinct.items()
        ]
        shop.bring(day)
        assert shop.served(1, 2, 3, 4) == shop.expected(1, 2, 3, 4), steps
