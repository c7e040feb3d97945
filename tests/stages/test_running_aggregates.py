"""What is kept of settled rows changes no cell: after appends, corrections and late rows a table is what it is made at once."""

from datetime import timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.aggregates.running import NUMBER, Running, Span
from mlops_assets.ml.aggregates.timeline import aggregate_rows
from mlops_assets.stages.declared_aggregates import CODE, aggregate_table, shape_of
from mlops_assets.stages.running_aggregates import History
from mlops_assets.stages.tables import build_partition
from resources.lake.lake import Lake
from tests.generated import slow_cases
from tests.ml.aggregates.by_hand import DAYS, frame, timelines
from tests.stages.test_declared_aggregates import ORDERS, VIEWS, lake_of


def written(lake: Lake, calendar: Any, rows: Any, name: str) -> bool:
    """Write a raw partition anew, as a correction would; whether its content is another."""
    day, before = calendar.partition(name), lake.manifest("shop/orders", name).sha256
    own = frame(rows).unique().filter(pl.col("bought_at").is_between(day.start, day.end, closed="left"))
    return lake.write("shop/orders", own.sort("bought_at", "recorded_at", "order_id"), name).sha256 != before


def folder(lake: Lake, view: str) -> list[str]:
    return lake.storage.names(f"shop/features/{view}/running", ".running")


@slow_cases(5)
@given(
    timeline=timelines(),
    view=st.sampled_from(["recent", "ever"]),
    changes=st.lists(st.tuples(st.integers(0, DAYS), st.integers(0, 8), st.booleans()), max_size=3),
)
def test_made_from_the_touched_partition_on_it_is_what_it_is_at_once(
    tmp_path_factory, timeline, view, changes
):
    """Some rows are missing at first, and come; others are there, and are taken away."""
    calendar, rows = timeline
    late = {number for _, number, come in changes if come}
    lake, days = lake_of(
        tmp_path_factory.mktemp("lake"), calendar, [r for r in rows if r["order_id"] not in late]
    )
    table = aggregate_table(ORDERS, view, "shop", calendar)
    for name in days:
        build_partition(lake, table, name)
    gone = {number for _, number, come in changes if not come}
    now = [row for row in rows if row["order_id"] not in gone]
    touched = [name for name in days if written(lake, calendar, now, name)]
    for name in days[days.index(touched[0]) :] if touched else []:
        build_partition(lake, table, name)
    ends = calendar.partition(days[-1]).end
    whole = aggregate_rows(frame(now), VIEWS[view], shape_of(ORDERS), calendar.first.start, ends)
    keys = [*VIEWS[view].key, "event_timestamp"]
    assert lake.read(table.key).sort(keys).equals(whole.sort(keys))


@settings(max_examples=5, deadline=None)
@given(timeline=timelines(), view=st.sampled_from(["recent", "ever"]))
def test_what_is_kept_is_what_it_is_made_of_all_rows(tmp_path_factory, timeline, view):
    calendar, rows = timeline
    root = tmp_path_factory.mktemp("lake")
    lake, days = lake_of(root, calendar, rows)
    table = aggregate_table(ORDERS, view, "shop", calendar)
    for name in days:
        build_partition(lake, table, name)
    content = {name: lake.storage.read(name) for name in folder(lake, view)}
    for name in content:
        lake.storage.delete(name)
    before = lake.manifest(table.key, days[-1]).sha256
    build_partition(lake, table, days[-1])
    assert lake.manifest(table.key, days[-1]).sha256 == before
    assert folder(lake, view) == [max(content)]


def test_a_day_reads_what_is_new_and_what_leaves_and_no_history(tmp_path):
    """Of forty days before, the newest is read: neither a lifetime nor a window of thirty days needs another."""
    from mlops_assets.spec.aggregates import Aggregates
    from mlops_assets.spec.calendar import Calendar
    from mlops_assets.spec.table import TableSpec

    calendar = Calendar.model_validate({"cadence": "daily", "start": "2024-01-01"})
    spec = TableSpec.model_validate(
        ORDERS.model_dump(exclude={"aggregates"}, exclude_defaults=True)
        | {"known_at": None, "lateness": "0s"}
    )
    asked = Aggregates.model_validate(
        {
            "key": ["customer"],
            "features": {
                "n": {"count": "rows", "over": "lifetime"},
                "n_30d": {"count": "rows", "over": "30d"},
                "most_30d": {"max": "amount", "over": "30d"},
            },
        }
    )
    spec = spec.model_copy(update={"aggregates": {"customer": asked}})
    lake, days = Lake(root=str(tmp_path)), calendar.names(calendar.first.start + timedelta(days=42))
    for number, name in enumerate(days):
        at = calendar.partition(name).start + timedelta(hours=5)
        row = {"order_id": number, "customer": number % 2, "bought_at": at, "recorded_at": at, "amount": 1.0}
        row |= {"pieces": 1, "shop": "a", "returned": False}
        lake.write("shop/orders", frame([row]), name)
    read: list[str] = []

    class Watched(Lake):
        def _observe(self, table, contents):
            read.extend(contents)

    for name in days[:-1]:
        build_partition(lake, aggregate_table(spec, "customer", "shop", calendar), name)
    history = History(
        Watched(root=str(tmp_path)),
        "shop/orders",
        "shop/features/customer",
        asked,
        shape_of(spec),
        calendar,
        timedelta(),
        CODE,
    )
    span = calendar.partition(days[-1])
    made = history.rows(span)
    assert {*read} == {days[-1], days[-2], days[-31]}
    assert made.filter(pl.col("customer") == 1)["n"].to_list()[-1] == 21
    assert len(folder(lake, "customer")) <= 9


def test_a_state_that_was_cut_off_in_the_middle_of_a_write_is_not_found(tmp_path):
    """A run that is killed leaves the temporary name that the next write replaces, and the table is made anew."""
    from tests.stages.test_declared_aggregates import ASKED

    assert ASKED.longest
    from mlops_assets.spec.calendar import Calendar

    calendar = Calendar.model_validate({"cadence": "daily", "start": "2024-03-29"})
    at = calendar.first.start + timedelta(hours=3)
    row = {"order_id": 1, "customer": 1, "bought_at": at, "recorded_at": at, "amount": 2.5}
    row |= {"pieces": 1, "shop": "a", "returned": False}
    lake, days = lake_of(tmp_path, calendar, [row])
    table = aggregate_table(ORDERS, "recent", "shop", calendar)
    for name in days[:3]:
        build_partition(lake, table, name)
    before = lake.manifest(table.key, days[2]).sha256
    running = tmp_path / table.key / "running"
    for file in [*running.iterdir()]:
        (running / f".{file.name}.tmp").write_bytes(file.read_bytes()[:10])
        file.unlink()
    build_partition(lake, table, days[2])
    assert lake.manifest(table.key, days[2]).sha256 == before


def test_of_a_key_without_new_rows_no_more_stays_than_a_lifetime_needs(tmp_path):
    """One customer buys for five days, another every day; a window of five days needs nothing of the first three weeks later."""
    from mlops_assets.spec.aggregates import Aggregates
    from mlops_assets.spec.calendar import Calendar

    calendar = Calendar.model_validate({"cadence": "daily", "start": "2024-01-01"})
    features = {"span_5d": {"span": "1d", "over": "5d"}, "last": {"last": "amount", "over": "lifetime"}}
    asked = Aggregates.model_validate({"key": ["customer"], "features": features})
    spec = ORDERS.model_copy(update={"aggregates": {"customer": asked}})
    lake, days = Lake(root=str(tmp_path)), calendar.names(calendar.first.start + timedelta(days=24))
    for number, name in enumerate(days):
        at = calendar.partition(name).start + timedelta(hours=5)
        row = {"order_id": number, "bought_at": at, "recorded_at": at, "amount": float(number), "pieces": 1}
        row |= {"shop": "a", "returned": False}
        buyers = [1, 2] if number < 5 else [2]
        rows = [row | {"customer": one, "order_id": 2 * number + one} for one in buyers]
        lake.write("shop/orders", frame(rows), name)
        build_partition(lake, aggregate_table(spec, "customer", "shop", calendar), name)
    newest = [name for name in folder(lake, "customer") if days[-1] in name]
    kept = Running.of_content(["customer"], Span(0, 0, 0), lake.storage.read(newest[0]))
    many = kept.rows.group_by(NUMBER).len().sort(NUMBER)["len"].to_list()
    assert kept.keys["customer"].to_list() == [1, 2] and many[0] == 1 and many[1] <= 6
    made = lake.read("shop/features/customer", [days[-1]]).sort("event_timestamp")
    assert made.filter(customer=2)["last"].to_list()[-1] == float(len(days) - 1)
