"""The flights cut by days instead of weeks: the same rows, and the same features cell by cell."""

from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.spec.calendar import Calendar
from mlops_assets.stages.tables import build_partition
from mlops_assets.use_cases.flights.tables import WEEKS, all_tables
from resources.lake.lake import Lake
from tests.flights.thinned import thin

FIRST, LAST = date(2012, 12, 31), date(2013, 2, 4)
CADENCES = ("weekly", "daily")


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lake]:
    """Five weeks of every sixteenth flight, ingested by each cadence in order of time."""
    home = tmp_path_factory.mktemp("cadences")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home))
        patch.setenv("MLOPS_DATA", str(thin(home / "data", every=16, before="2013-02-05")))
        return {cadence: ingested(Lake(root=str(home / cadence)), cadence) for cadence in CADENCES}


def ingested(lake: Lake, cadence: str) -> Lake:
    calendar = Calendar(cadence=cadence, start=FIRST, end=LAST, timezone=WEEKS.timezone)
    tables = all_tables(calendar)
    for name in [None, *calendar.names()]:
        for table in tables:
            if (table.calendar is None) == (name is None):
                found, _ = build_partition(lake, table, name)
                assert all(one.holds for one in found if one.blocking), (table.key, name, found)
    return lake


@pytest.mark.parametrize("table", [table.key for table in all_tables()])
def test_a_table_has_the_same_rows_whichever_cadence_cut_it(lakes, table):
    weekly, daily = (lakes[cadence].read(table) for cadence in CADENCES)
    keys = next(one.expected.keys for one in all_tables() if one.key == table)
    assert weekly.height > 0
    assert_frame_equal(weekly.sort(keys), daily.sort(keys), check_exact=True)


def test_there_are_seven_times_as_many_partitions(lakes):
    counts = {cadence: len(lake.partitions("flights/raw")) for cadence, lake in lakes.items()}
    assert counts == {"weekly": 5, "daily": 35}


def test_a_cell_that_differed_would_be_seen(lakes):
    weekly = lakes["weekly"].read("flights/features/origin_traffic")
    wrong = weekly.with_columns(origin_delay=pl.col("origin_delay") + 1)
    with pytest.raises(AssertionError):
        assert_frame_equal(weekly, wrong)
