"""Aggregates of a table in the lake: made a partition at a time, in any order and again, they are what they are at once."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.aggregates.timeline import aggregate_rows
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.declared_aggregates import aggregate_table, shape_of
from mlops_assets.stages.tables import build_partition
from resources.lake.lake import Lake
from tests.ml.aggregates.by_hand import ASKED, COLUMNS, DAYS, FOR_EVER, frame, timelines

STEADY = {name: one for name, one in ASKED.features.items() if one.word != "time_since"}
VIEWS: dict[str, Any] = {
    "recent": ASKED,
    "steady": ASKED.model_copy(update={"features": STEADY}),
    "short": ASKED.model_copy(update={"features": {"bought_1h": STEADY["bought_1h"]}}),
    "ever": FOR_EVER,
}
ORDERS = TableSpec.model_validate(
    {
        "name": "orders",
        "source": {"kind": "parquet", "path": "orders.parquet"},
        "columns": COLUMNS,
        "key": ["order_id", "recorded_at"],
        "time": "bought_at",
        "known_at": "recorded_at",
        "lateness": "48h",
        "aggregates": {name: asked.model_dump() for name, asked in VIEWS.items()},
    }
)


def lake_of(folder, calendar, rows):
    """The lake with the rows by the day on which they happened, and the days' names."""
    lake, all_rows = Lake(root=str(folder)), frame(rows).unique()
    days = calendar.names(calendar.first.start + timedelta(days=DAYS + 1, hours=2))
    for name in days:
        day = calendar.partition(name)
        own = all_rows.filter(pl.col("bought_at").is_between(day.start, day.end, closed="left"))
        lake.write("shop/orders", own.sort("bought_at", "recorded_at", "order_id"), name)
    return lake, days


@settings(max_examples=8, deadline=None)
@given(timeline=timelines(), view=st.sampled_from([*VIEWS]), order=st.randoms())
def test_in_any_order_the_partitions_are_the_whole(tmp_path_factory, timeline, view, order):
    calendar, rows = timeline
    lake, days = lake_of(tmp_path_factory.mktemp("lake"), calendar, rows)
    table = aggregate_table(ORDERS, view, "shop", calendar)
    for name in order.sample(days, len(days)):
        found, _ = build_partition(lake, table, name)
        assert all(finding.holds for finding in found), found
    ends = calendar.partition(days[-1]).end
    whole = aggregate_rows(frame(rows), VIEWS[view], shape_of(ORDERS), calendar.first.start, ends)
    keys = [*VIEWS[view].key, "event_timestamp"]
    assert lake.read(table.key).sort(keys).equals(whole.sort(keys))


@settings(max_examples=5, deadline=None)
@given(timeline=timelines(), view=st.sampled_from([*VIEWS]))
def test_made_twice_it_is_the_same_and_a_correction_makes_all_that_look_back_on_it_stale(
    tmp_path_factory, timeline, view
):
    calendar, rows = timeline
    lake, days = lake_of(tmp_path_factory.mktemp("lake"), calendar, rows)
    table = aggregate_table(ORDERS, view, "shop", calendar)
    once = build_partition(lake, table, days[-1])[1]
    again = build_partition(lake, table, days[-1])[1]
    assert once and again and once.sha256 == again.sha256
    before = {name: table.fingerprint(lake, name) for name in days}
    lake.write("shop/orders", frame([rows[0] | {"bought_at": calendar.first.start, "amount": 1.25}]), days[0])
    stale = [name for name in days if table.fingerprint(lake, name) != before[name]]
    reach = {"recent": 4, "steady": 4, "short": 4, "ever": len(days)}[view]
    assert stale == days[:reach]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"key": ["customer"], "features": {"n": {"over": "1d"}}},
            "one aggregate, and this has no aggregate",
        ),
        (
            {"key": ["customer"], "features": {"n": {"sum": "amount", "count": "rows", "over": "1d"}}},
            "has count and sum",
        ),
        ({"key": ["customer"], "features": {"n": {"sum": "amount"}}}, "over"),
        ({"key": ["customer"], "features": {"n": {"sum": "amount", "over": "0s"}}}, "over 0s"),
        ({"key": ["customer"], "features": {"n": {"sum": "amount", "over": "a while"}}}, "not a duration"),
        (
            {"key": ["customer"], "features": {"n": {"time_since": "1d", "over": "lifetime"}}},
            "change for ever",
        ),
        ({"key": ["amount"], "features": {"n": {"count": "rows", "over": "1d"}}}, "must be int or str"),
        ({"key": ["buyer"], "features": {"n": {"count": "rows", "over": "1d"}}}, "which is no column"),
        (
            {"key": ["customer"], "features": {"customer": {"count": "rows", "over": "1d"}}},
            "rename the feature",
        ),
        ({"key": ["customer"], "features": {"a b": {"count": "rows", "over": "1d"}}}, "no name of a feature"),
    ],
)
def test_what_cannot_be_is_told(asked, said):
    with pytest.raises(ValueError, match=said):
        TableSpec.model_validate(ORDERS.model_dump() | {"aggregates": {"recent": asked}})


def test_a_static_table_has_no_aggregates():
    changed = ORDERS.model_dump(exclude_defaults=True) | {"time": None, "known_at": None}
    with pytest.raises(ValueError, match="a table without time is static"):
        TableSpec.model_validate(changed)
