"""What follows a row is what one counts by hand, told when it became known and never before."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.following import following_rows, outcome_kind
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.outcomes import Outcome
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.declared_outcomes import outcome_table
from mlops_assets.stages.tables import build_partition
from resources.lake.lake import Lake
from tests.generated import slow_cases

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 6
OUTCOMES = {
    "again": {"key": ["customer"], "any": "rows", "within": "2d"},
    "times": {"key": ["customer"], "count": "rows", "within": "36h", "where": "pieces > 1"},
    "spent": {"key": ["customer"], "sum": "amount", "within": "3d"},
    "pieces_next": {"key": ["customer"], "sum": "pieces", "within": "1d"},
}
SPEC = TableSpec.model_validate(
    {
        "name": "orders",
        "source": {"kind": "parquet", "path": "orders.parquet"},
        "columns": {
            "customer": "int",
            "bought_at": "datetime",
            "amount": "float | null",
            "pieces": "int",
        },
        "key": ["customer", "bought_at"],
        "time": "bought_at",
        "outcomes": OUTCOMES,
    }
)
CALENDAR = Calendar.model_validate({"cadence": "daily", "start": "2024-01-01"})
ROWS = st.dictionaries(
    st.tuples(st.integers(1, 2), st.integers(0, DAYS * 24 - 1)),
    st.tuples(st.sampled_from([None, 0.25, 1.0, 16.0]), st.integers(1, 3)),
    min_size=1,
    max_size=14,
)


def frame(found):
    rows = [(c, START + timedelta(hours=h), a, p) for (c, h), (a, p) in found.items()]
    schema = {
        "customer": pl.Int64,
        "bought_at": pl.Datetime("us", "UTC"),
        "amount": pl.Float64,
        "pieces": pl.Int64,
    }
    return pl.DataFrame(rows, schema, orient="row").sort("bought_at", "customer")


def by_hand(found, name, customer, hour, until):
    """The outcome of a row by what was known at an hour; None where nothing has followed yet."""
    asked = Outcome.model_validate(OUTCOMES[name])
    last = min(until, hour + asked.within / timedelta(hours=1))
    after = [v for (c, h), v in found.items() if c == customer and hour < h <= last]
    if name == "times":
        after = [v for v in after if v[1] > 1]
    if name == "spent":
        after = [v for v in after if v[0] is not None]
    if not after:
        return None
    return {
        "again": 1,
        "times": len(after),
        "spent": sum(v[0] or 0 for v in after),
        "pieces_next": sum(v[1] for v in after),
    }[name]


@slow_cases(8)
@given(found=ROWS, name=st.sampled_from([*OUTCOMES]), order=st.randoms())
def test_at_every_hour_the_newest_line_says_what_has_followed_by_then(tmp_path_factory, found, name, order):
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    days = CALENDAR.names(START + timedelta(days=DAYS))
    for day in days:
        span = CALENDAR.partition(day)
        rows = frame(found).filter(pl.col("bought_at").is_between(span.start, span.end, closed="left"))
        lake.write("shop/orders", rows, day)
    table = outcome_table(SPEC, name, "shop", CALENDAR)
    for day in order.sample(days, len(days)):
        findings, _ = build_partition(lake, table, day)
        assert all(one.holds for one in findings), findings
    told = lake.read(f"shop/{name}")
    for customer, hour in found:
        mine = told.filter(customer=customer, bought_at=START + timedelta(hours=hour)).sort("known_at")
        for until in range(DAYS * 24):
            now = mine.filter(pl.col("known_at") <= START + timedelta(hours=until)).tail(1)[name].to_list()
            assert (now or [None])[0] == by_hand(found, name, customer, hour, until)


def test_a_row_follows_to_the_last_moment_of_the_time_and_neither_itself_nor_one_of_another_key():
    asked = Outcome.model_validate({"key": ["customer"], "any": "rows", "within": "24h"})
    rows = frame({(1, 0): (1.0, 1), (1, 24): (1.0, 1), (1, 49): (1.0, 1), (2, 1): (1.0, 1)})
    end = START + timedelta(days=9)
    found = following_rows(rows, "again", asked, SPEC.key, "bought_at", START, end)
    assert found.rows() == [(1, START, 1, START + timedelta(hours=24))]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"key": ["customer"], "within": "1d"}, "an outcome is one of any, count, sum, and this has none"),
        ({"key": ["customer"], "any": "rows", "sum": "amount", "within": "1d"}, "has any and sum"),
        ({"key": ["customer"], "any": "rows", "within": "0s"}, "within 0s nothing follows"),
        ({"key": ["buyer"], "any": "rows", "within": "1d"}, "which is no column"),
        ({"key": ["amount"], "any": "rows", "within": "1d"}, "no float is equal to another"),
    ],
)
def test_what_cannot_be_is_told(asked, said):
    with pytest.raises(ValueError, match=said):
        TableSpec.model_validate(SPEC.model_dump() | {"outcomes": {"again": asked}})


def test_a_table_whose_rows_are_known_later_has_no_outcomes():
    columns = {**SPEC.model_dump()["columns"], "told_at": "datetime"}
    changed = SPEC.model_dump() | {"columns": columns, "known_at": "told_at", "lateness": "1d"}
    with pytest.raises(ValueError, match="rows are known at told_at"):
        TableSpec.model_validate(changed)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sum": "bought_at"}, "'bought_at' is Datetime.* must be a number"),
        ({"any": "rows", "where": "amount"}, "must be true or false"),
        ({"sum": "price"}, "cannot be computed"),
    ],
)
def test_an_expression_that_is_no_outcome_is_told(asked, said):
    outcome = Outcome.model_validate({"key": ["customer"], "within": "1d"} | asked)
    with pytest.raises(ValueError, match=said):
        outcome_kind(outcome, SPEC.columns)
