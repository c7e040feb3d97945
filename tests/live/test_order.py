"""Which partitions are history and which are lived, and on which of them something is planted."""

from datetime import date, timedelta

import pytest

from mlops_assets.live.order import LiveError, Order, Plant, Schedule
from mlops_assets.spec.calendar import Calendar

CALENDAR = Calendar(cadence="weekly", start=date(2024, 1, 1), timezone="Europe/Berlin")
NAMES = [str(date(2024, 1, 1) + timedelta(days=7 * n)) for n in range(20)]


def schedule(**options) -> Schedule:
    return Schedule.of(Order("shop", **options), CALENDAR, NAMES, NAMES[8])


def test_what_is_before_the_first_lived_partition_is_history():
    order = schedule(partitions=3)
    assert order.history == NAMES[:8] and order.lived == NAMES[8:11]
    assert schedule(since=NAMES[2], partitions=1).lived == [NAMES[2]]
    assert schedule().lived == NAMES[8:]


def test_a_plant_is_on_the_partition_that_has_its_day():
    order = schedule(plants=[Plant.DRIFT, Plant.LATE_DATA], days=[date(2024, 3, 13), date(2024, 3, 3)])
    assert order.plants == {"2024-03-11": Plant.DRIFT, "2024-02-26": Plant.LATE_DATA}
    assert [order.change(name) for name in ("2024-03-04", "2024-03-11", "2024-04-01")] == [
        "",
        "drift",
        "drift",
    ]


def test_the_labels_of_two_partitions_make_a_bad_challenger():
    order = schedule(plants=[Plant.BAD_CHALLENGER], days=[date(2024, 3, 13)])
    assert order.spoiled == ["2024-03-11", "2024-03-18"]
    assert [order.change(name) for name in NAMES[9:13]] == ["", "bad-labels", "bad-labels", ""]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"since": "2024-01-02"}, "no such partition; there are 2024-01-01 to 2024-05-13"),
        (
            {"plants": [Plant.DRIFT], "days": [date(2024, 1, 3)]},
            "in no partition that is lived, which are 2024-02-26",
        ),
        ({"plants": [Plant.DRIFT], "days": []}, "give one --on DAY for each --plant"),
        ({"partitions": 0}, "--partitions 0: give a whole number, 1 or more"),
        ({"every_s": 0.0}, "give seconds, 1 or more"),
        (
            {"plants": [Plant.DRIFT, Plant.LATE_DATA], "days": [date(2024, 3, 12), date(2024, 3, 13)]},
            "further apart",
        ),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_value_rule_and_fix(options, says):
    with pytest.raises(LiveError, match=says):
        schedule(**options)
