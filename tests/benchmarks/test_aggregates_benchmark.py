"""The benchmark of aggregates times a day that goes on from the day before, and compares right answers."""

import pytest

from benchmarks import aggregates
from resources.lake.lake import Lake

ROWS = 12_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    made = tmp_path_factory.mktemp("year")
    aggregates.write_year(made, ROWS)
    aggregates.day_before(made, ROWS)
    aggregates.forget(made, f"{aggregates.LAST}.")
    aggregates.a_day(made, ROWS)
    return made


def kept(folder) -> list[str]:
    return [name[:10] for name in Lake(root=str(folder)).storage.below(aggregates.RUNNING).names()]


def test_each_gives_the_values_of_ours(folder):
    """They raise where a value is another."""
    for work in (
        aggregates.duckdb_month,
        aggregates.duckdb_own,
        aggregates.duckdb_year,
        aggregates.polars_year,
    ):
        work(folder, ROWS)


def test_a_wrong_value_is_seen(folder):
    ours = Lake(root=str(folder)).read(aggregates.VIEW, [aggregates.LAST])
    found = ours.rename({"event_timestamp": "bought_at"}).with_columns(bought_7d=ours["bought_7d"] + 1)
    with pytest.raises(AssertionError, match="bought_7d"):
        aggregates._compare(folder, found)


def test_what_is_kept_of_the_day_is_made_anew_each_time(folder):
    before = aggregates.YEAR.back(aggregates.LAST, 1)[0]
    assert kept(folder) == [before, aggregates.LAST]
    aggregates.forget(folder, f"{aggregates.LAST}.")
    assert kept(folder) == [before]
    aggregates.a_day(folder, ROWS)
    assert kept(folder) == [before, aggregates.LAST]
    aggregates.forget(folder, "")
    assert kept(folder) == []
