"""Aggregates of a few lines of YAML are ingested, joined, served and corrected as every other feature is."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.components.use_case import UseCaseError
from resources.local import local_resources
from resources.settings import settings
from tests.acceptance.businesses import TABLE, USE_CASE, days

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
PLAIN = TABLE.replace("  features: {key: [zipcode], ttl: 30d}\n", "")
AGGREGATES = """  aggregates:
    areas:
      key: [zipcode]
      features:
        asked_36h: {count: rows, over: 36h}
        asked: {count: rows, over: lifetime}
        sum_36h: {sum: amount, over: 36h}
        large_36h: {count: rows, over: 36h, where: "amount > 2"}
        hours: {time_since: 1h, over: 2d}
---
type: mlops_assets.components.model.ModelComponent
attributes:
  name: large_loan
  owner: team:credit
  task: regression
  features: [areas]
  prediction: {table: applications, key: [loan_id], time: applied_at}
  label: {column: amount, known_at: told_at}
  trainer: {kind: xgboost, rounds: 4}
  window: {hold_out_days: 7, minimum_days: 14}
  gate: {metric: mae, floors: {mae: 30}}
"""
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
FEATURES = ["asked_36h", "asked", "sum_36h", "large_36h", "hours"]


def asked(*hours):
    """Somebody who asks about the area so many hours after noon of the first of January."""
    at = [NOON + timedelta(hours=hour) for hour in hours]
    return pl.DataFrame({"zipcode": ["10001"] * len(at), "at": at}).with_columns(
        pl.col("at").cast(pl.Datetime("us", "UTC"))
    )


def store_of():
    store = local_resources(settings())["feature_store"].of("loans")
    store.apply()
    return store


def test_two_days_are_joined_at_their_moments_and_served_as_they_are_joined(business):
    business.write(USE_CASE, PLAIN + AGGREGATES)
    business.day(1, amount=1.5)
    business.day(2, amount=2.5, rows=2)
    assert business.at(3).until_quiet() == days(1, 2) and business.failed == ""
    store = store_of()
    joined = store.historical("large_loan", asked(0.9, 1, 24.9, 25, 35.9), "at")
    assert joined.select(FEATURES).rows() == [
        (None, None, None, None, None),
        (1, 1, 1.5, 0, 1),
        (1, 1, 1.5, 0, 24),
        (3, 3, 6.5, 2, 1),
        (3, 3, 6.5, 2, 11),
    ]
    now = asked(35.999)
    online = store.online("large_loan", now.select("zipcode"), now["at"][0])
    assert online.select(FEATURES).equals(store.historical("large_loan", now, "at").select(FEATURES))


def test_a_corrected_day_changes_what_looks_back_on_it(business):
    business.write(USE_CASE + "corrections: 3\n", PLAIN + AGGREGATES)
    for day in (1, 2, 3):
        business.day(day, amount=float(day))
    assert business.at(4).until_quiet() == days(1, 3) and business.failed == ""
    business.day(1, amount=10.0, rows=2)
    made = business.until_quiet()
    assert (
        made[0] == "2024-01-01" and made[1:] == ["behind 2024-01-02 to 2024-01-03"] and business.failed == ""
    )
    joined = store_of().historical("large_loan", asked(25, 36, 49), "at")
    assert joined.select(FEATURES).rows() == [
        (3, 3, 22.0, 2, 1),
        (1, 3, 2.0, 0, 12),
        (2, 4, 5.0, 1, 1),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sum: amount": "sum: amounts"}, "sum_36h: 'amounts'"),
        ({"sum: amount": "sum: zipcode"}, "sum of 'zipcode', which is str: sum takes int or float"),
        ({"amount > 2": "amount >"}, "is no column and no SQL that polars reads"),
        ({"amount > 2": "amount + 2"}, "must be true or false"),
        ({"amount > 2": "sum(amount) > 2"}, "one value of several rows"),
        ({"amount > 2": "sum(amount) over (partition by zipcode) > 2"}, "a value is made of one row"),
    ],
)
def test_what_is_no_aggregate_is_told_with_file_and_line(business, changes, said):
    text = PLAIN + AGGREGATES
    for before, after in changes.items():
        text = text.replace(before, after)
    with pytest.raises(UseCaseError, match=r"defs\.yaml:\d+") as error:
        business.write(USE_CASE, text)
    assert said in str(error.value)
