"""What decides which value is served, the same on both databases: event time, created time, life, and the moment asked for."""

import os
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore, FeatureView
from feast.errors import FeatureViewNotFoundException
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import Float32, Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.online_store.codec.moment import as_of
from feature_repo.online_store.writing import BulkWrites
from resources.settings import PROJECT_ROOT
from tests import forked
from tests.feature_repo.online.shop import ENGINE, HOUR, NOW, Database, customer, opened, town, view, write

MICRO = timedelta(microseconds=1)
Event = tuple[int, str, datetime, datetime | None, int]
"""Customer, town, event time, created time, number of visits."""


@pytest.fixture
def store(database: Database, tmp_path: Path) -> FeatureStore:
    """A store with one view of a composite key, valid for two hours."""
    found = opened(tmp_path, database.bulk(), batch_engine=ENGINE)
    history(tmp_path, [(1, "Ribe", NOW - HOUR, NOW, 3)])
    schema = {"customer_id": Int64, "town": String, "visit_count": Int64, "share": Float32}
    found.apply([customer, town, view(tmp_path, "visits", [customer, town], schema, ttl=2 * HOUR)])
    return found


def history(folder: Path, events: list[Event]) -> None:
    """The view's whole source."""
    columns = zip(*events, strict=True) if events else [[]] * 5
    names = ("customer_id", "town", "event_timestamp", "created", "visit_count")
    table: dict[str, Any] = {name: list(column) for name, column in zip(names, columns, strict=True)}
    write(folder, "visits", table | {"share": [count / 8 for count in table["visit_count"]]})


def materialize(store: FeatureStore, folder: Path, *events: Event) -> None:
    history(folder, list(events))
    store.materialize(NOW - timedelta(days=30), NOW + timedelta(days=30))


def push(store: FeatureStore, *events: Event) -> None:
    """Feast's way for single rows."""
    import pandas as pd

    names = ["customer_id", "town", "event_timestamp", "created", "visit_count"]
    frame = pd.DataFrame(list(events), columns=names)
    frame["share"] = frame["visit_count"] / 8
    store.write_to_online_store("visits", frame)


def served(store: FeatureStore, now: datetime | None = NOW, customer: int = 1, town: str = "Ribe") -> Any:
    """The number of visits that is answered, or the reason why none is."""
    rows = {"customer_id": [customer], "town": [town]}
    features = ["visits:visit_count", "visits:share"]
    if now is None:
        answer = store.get_online_features(features, rows)
    else:
        with as_of(now):
            answer = store.get_online_features(features, rows)
    count, share = answer.columns["visit_count"], answer.columns["share"]  # type: ignore[attr-defined]
    assert count.statuses == share.statuses
    assert share.values[0] == (None if count.values[0] is None else count.values[0] / 8)
    status = FieldStatus.Name(count.statuses[0])
    return count.values[0] if status == "PRESENT" else status


WAYS = {"materialize": materialize, "push": lambda store, _, *events: push(store, *events)}


@pytest.mark.parametrize("way", WAYS)
def test_an_older_event_never_replaces_a_newer_one(store: FeatureStore, tmp_path: Path, way: str) -> None:
    WAYS[way](store, tmp_path, (1, "Ribe", NOW - HOUR, NOW, 3))
    WAYS[way](store, tmp_path, (1, "Ribe", NOW - HOUR - MICRO, NOW + HOUR, 4))
    assert served(store) == 3
    WAYS[way](store, tmp_path, (1, "Ribe", NOW - HOUR + MICRO, NOW - HOUR, 5))
    assert served(store) == 5


@pytest.mark.parametrize("way", WAYS)
def test_of_equal_event_times_the_later_created_wins(store: FeatureStore, tmp_path: Path, way: str) -> None:
    time = NOW - HOUR
    for created, count, expected in [(0, 3, 3), (2, 4, 4), (1, 5, 4), (2, 6, 6)]:
        WAYS[way](store, tmp_path, (1, "Ribe", time, NOW + created * MICRO, count))
        assert served(store) == expected
    WAYS[way](store, tmp_path, (1, "Ribe", time, None, 7))
    assert served(store) == 6, "a row without a created time loses"


@pytest.mark.parametrize("way", WAYS)
def test_within_one_batch_the_same_rule_holds(store: FeatureStore, tmp_path: Path, way: str) -> None:
    time = NOW - HOUR
    events = [(time, 1, 1), (time - MICRO, 9, 2), (time, 3, 3), (time, 2, 4)]
    WAYS[way](
        store, tmp_path, *[(1, "Ribe", event, NOW + made * MICRO, count) for event, made, count in events]
    )
    assert served(store) == 3


moments = st.integers(0, 3).map(lambda hours: NOW - hours * HOUR)
rows = st.tuples(
    st.just(1), st.sampled_from(["Ribe", "Mols"]), moments, moments | st.none(), st.integers(0, 9)
)


@settings(max_examples=40)
@given(batches=st.lists(st.lists(rows, min_size=1, max_size=4), max_size=4))
def test_any_order_of_batches_leaves_the_newest_row_of_each_key(
    batches: list[list[Event]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("order")
    found = opened(
        folder, Database("sqlite", {"path": str(folder / "online.db")}).bulk(), batch_engine=ENGINE
    )
    schema = {"customer_id": Int64, "town": String, "visit_count": Int64, "share": Float32}
    history(folder, [(1, "Ribe", NOW, NOW, 0)])
    found.apply([customer, town, view(folder, "visits", [customer, town], schema)])
    kept: dict[str, tuple[datetime, datetime, int]] = {}
    oldest = datetime(1970, 1, 1, tzinfo=NOW.tzinfo)
    for batch in batches:
        push(found, *batch)
        for _, place, event, created, count in batch:
            row = event, created or oldest, count
            if place not in kept or row[:2] >= kept[place][:2]:
                kept[place] = row
    for place in ("Ribe", "Mols"):
        expected = kept[place][2] if place in kept else "NOT_FOUND"
        assert served(found, town=place) == expected


def test_a_value_is_served_for_as_long_as_it_lives_and_not_longer(
    store: FeatureStore, tmp_path: Path
) -> None:
    materialize(store, tmp_path, (1, "Ribe", NOW, NOW, 3))
    assert served(store, NOW + 2 * HOUR) == 3
    assert served(store, NOW + 2 * HOUR + MICRO) == "OUTSIDE_MAX_AGE"
    assert served(store, NOW - MICRO) == "NOT_FOUND", "at that moment it was not known yet"
    assert served(store, NOW) == 3


def test_without_a_moment_the_wall_clock_decides_what_has_expired(
    store: FeatureStore, tmp_path: Path
) -> None:
    now = datetime.now(NOW.tzinfo)
    materialize(store, tmp_path, (1, "Ribe", NOW, NOW, 3))
    assert served(store, None) == "OUTSIDE_MAX_AGE"
    push(store, (1, "Ribe", now - HOUR, now, 4), (2, "Ribe", now + HOUR, now, 5))
    assert served(store, None) == 4
    assert served(store, None, customer=2) == 5, "a clock that is behind hides nothing"


def test_missing_entities_and_missing_keys_are_not_found(store: FeatureStore, tmp_path: Path) -> None:
    materialize(store, tmp_path, (1, "Ribe", NOW, NOW, 3))
    assert served(store, customer=2) == served(store, town="Mols") == "NOT_FOUND"
    with as_of(NOW):
        answer = store.get_online_features(
            ["visits:visit_count"], {"customer_id": [1, None, 1, 9], "town": ["Ribe", "Ribe", None, "Ribe"]}
        )
    assert answer.to_dict()["visit_count"] == [3, None, None, None]
    statuses = list(answer.proto.results[-1].statuses)
    assert statuses == [FieldStatus.PRESENT, *[FieldStatus.NOT_FOUND] * 3]


def test_rows_without_a_key_or_an_event_time_are_left_out(store: FeatureStore, tmp_path: Path) -> None:
    table = store.get_feature_view("visits")
    rows = {
        "customer_id": [1, None, 2],
        "town": ["Ribe", "Ribe", "Ribe"],
        "event_timestamp": [NOW, NOW, None],
        "visit_count": [3, 4, 5],
        "share": [0.375, 0.5, 0.625],
    }
    import pyarrow as pa

    written = bulk(store).write_table(store.config, table, pa.table(rows))
    assert written == 1
    assert served(store) == 3 and served(store, customer=2) == "NOT_FOUND"


def bulk(store: FeatureStore) -> BulkWrites:
    found = store._get_provider().online_store  # type: ignore[attr-defined]
    assert isinstance(found, BulkWrites)
    return found


def test_a_source_that_does_not_fit_the_view_is_named_before_anything_is_written(
    store: FeatureStore, tmp_path: Path
) -> None:
    import pyarrow as pa

    table = store.get_feature_view("visits")
    good = {
        "customer_id": [1],
        "town": ["Ribe"],
        "event_timestamp": [NOW],
        "visit_count": [3],
        "share": [0.5],
    }
    with pytest.raises(ValueError, match="feature view 'visits' names share, which its source does not have"):
        bulk(store).write_table(
            store.config, table, pa.table({n: v for n, v in good.items() if n != "share"})
        )
    with pytest.raises(ValueError, match="'visits' declares visit_count as INT64 and its source has string"):
        bulk(store).write_table(store.config, table, pa.table(good | {"visit_count": ["many"]}))
    assert served(store) == "NOT_FOUND"


def test_doing_it_twice_changes_nothing(store: FeatureStore, tmp_path: Path) -> None:
    events = [(n, "Ribe", NOW - HOUR, NOW, n % 7) for n in range(300)]
    materialize(store, tmp_path, *events)
    before = bulk(store).versions(store.config, store.get_feature_view("visits")).sort("key")
    first = [served(store, customer=n) for n in (0, 1, 299)]
    materialize(store, tmp_path, *events)
    assert bulk(store).versions(store.config, store.get_feature_view("visits")).sort("key").equals(before)
    assert [served(store, customer=n) for n in (0, 1, 299)] == first
    assert before.height == 300


def test_a_partial_row_changes_its_features_only(store: FeatureStore, tmp_path: Path) -> None:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    materialize(store, tmp_path, (1, "Ribe", NOW - HOUR, NOW, 8))
    key = EntityKey(
        join_keys=["customer_id", "town"], entity_values=[Value(int64_val=1), Value(string_val="Ribe")]
    )
    rows = [(key, {"share": Value(float_val=0.75)}, NOW, None)]
    bulk(store).online_write_batch(store.config, store.get_feature_view("visits"), rows, None)
    with as_of(NOW):
        answer = store.get_online_features(
            ["visits:visit_count", "visits:share"], {"customer_id": [1], "town": ["Ribe"]}
        ).to_dict()
    assert (answer["visit_count"], answer["share"]) == ([8], [0.75])


def test_what_stock_feast_writes_later_is_what_is_read(
    store: FeatureStore, database: Database, tmp_path: Path
) -> None:
    materialize(store, tmp_path, (1, "Ribe", NOW - HOUR + MICRO, NOW, 3), (2, "Ribe", NOW - HOUR, NOW, 3))
    stock = opened(tmp_path, database.stock())
    push(stock, (1, "Ribe", NOW, NOW, 4))
    assert served(store) == 4
    assert served(store, customer=2) == 3
    materialize(store, tmp_path, (1, "Ribe", NOW - MICRO, NOW, 5))
    assert served(store) == 4
    materialize(store, tmp_path, (1, "Ribe", NOW + MICRO, NOW, 5))
    assert served(store, NOW + HOUR) == 5


def test_a_changed_definition_is_read_at_once(store: FeatureStore, tmp_path: Path) -> None:
    materialize(store, tmp_path, (1, "Ribe", NOW, NOW, 3))
    assert served(store, NOW + 3 * HOUR) == "OUTSIDE_MAX_AGE"
    longer: FeatureView = store.get_feature_view("visits")
    longer.ttl = 4 * HOUR
    store.apply(longer)
    assert served(store, NOW + 3 * HOUR) == 3
    store.apply([], objects_to_delete=[longer], partial=False)
    with pytest.raises(FeatureViewNotFoundException):
        served(store)


def test_a_deleted_view_leaves_nothing_behind(store: FeatureStore, tmp_path: Path) -> None:
    materialize(store, tmp_path, (1, "Ribe", NOW, NOW, 3))
    visits = store.get_feature_view("visits")
    store.apply([], objects_to_delete=[visits], partial=False)
    store.apply([visits])
    assert bulk(store).versions(store.config, visits).is_empty()
    assert served(store) == "NOT_FOUND"


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.feature_repo.online.shop import ENGINE, opened
from tests.feature_repo.online.test_rules import MANY
store = opened(Path(sys.argv[1]), eval(sys.argv[2]), batch_engine=ENGINE)
view = store.get_feature_view("visits")
done = 0
def progress(rows):
    global done
    done += rows
    if done >= MANY // 2:
        os.kill(os.getpid(), signal.SIGKILL)
engine = store._get_provider().batch_engine
from tests.feature_repo.online.shop import HOUR, NOW
engine.bring_up(store.registry, store.project, view, NOW - HOUR, NOW, progress)
"""
MANY = 50_000


def test_killed_in_the_middle_nothing_half_written_looks_fresh(
    store: FeatureStore, database: Database, tmp_path: Path
) -> None:
    def bring_up(until: datetime) -> Any:
        engine: Any = store._get_provider().batch_engine  # type: ignore[attr-defined]
        return engine.bring_up(store.registry, store.project, visits, until - HOUR, until)

    visits = store.get_feature_view("visits")
    history(tmp_path, [(n, "Ribe", NOW - HOUR, NOW, 1) for n in range(MANY)])
    bring_up(NOW - HOUR)
    before = bulk(store).reach(store.config, visits)
    history(tmp_path, [(n, "Ribe", NOW, NOW, 2) for n in range(MANY)])
    command = ["-c", KILLED, str(tmp_path), repr(database.bulk())]
    killed = forked.run(command, os.environ, PROJECT_ROOT)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert bulk(store).reach(store.config, visits) == before
    with as_of(NOW):
        rows = {"customer_id": list(range(MANY)), "town": ["Ribe"] * MANY}
        answer = store.get_online_features(["visits:visit_count", "visits:share"], rows).to_dict()
    assert set(zip(answer["visit_count"], answer["share"], strict=True)) <= {(1, 0.125), (2, 0.25)}
    assert bring_up(NOW).rows == MANY
    with as_of(NOW):
        assert set(store.get_online_features(["visits:visit_count"], rows).to_dict()["visit_count"]) == {2}
    after = bulk(store).reach(store.config, visits)
    assert before and after and after.until - before.until == HOUR // MICRO
