"""Whatever a source does, its partitions are ingested in the end: it is missing, raises, gives other rows, or is static."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.stages import declared_tables, source_spans
from mlops_assets.stages.online import online_content
from tests.acceptance.businesses import TABLE, USE_CASE, Business, days
from tests.declared import a_loan, loans_frame

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
BY_PYTHON = """
type: mlops_assets.components.table.TableComponent
attributes:
  name: applications
  source: {kind: python, function: "tests.acceptance.test_ingesting_sources:given"}
  columns: {loan_id: int, amount: float, zipcode: str | null, applied_at: datetime}
  key: [loan_id]
  time: applied_at
  lateness: 6h
  alarm_after: 24h
"""
STATIC = """
---
type: mlops_assets.components.table.TableComponent
attributes:
  name: areas
  source: {kind: csv, path: "../data/areas.csv"}
  columns: {zipcode: str, people: int}
  key: [zipcode]
  features: {key: [zipcode]}
"""


class Source:
    """What the function gives: the loans of the days that it has, or its error."""

    def __init__(self) -> None:
        self.days: set[int] = set()
        self.more = 0.0
        self.error: Exception | None = None


SOURCE = Source()


def given(start: datetime, end: datetime) -> pl.DataFrame:
    """The loans of a span."""
    if SOURCE.error:
        raise SOURCE.error
    frame = loans_frame(*sorted(SOURCE.days)).with_columns(pl.col("amount") + SOURCE.more)
    return frame.filter(pl.col("applied_at").is_between(start, end, closed="left"))


@pytest.fixture
def source(monkeypatch) -> Source:
    monkeypatch.setattr("tests.acceptance.test_ingesting_sources.SOURCE", found := Source())
    return found


def areas(business: Business, people: int | str) -> None:
    """The file of the static table."""
    (business.root / "data" / "areas.csv").write_text(f"zipcode,people\n10001,{people}\n")


@pytest.mark.parametrize("path", ["../data/loans_*.csv", "../data/of/today.csv", "../away/*/loans.csv"])
def test_a_source_without_a_file_is_waited_for_with_its_path_raises_one_alarm_and_is_read_when_it_is_there(
    business, path
):
    business.write(tables=TABLE.replace("../data/loans_*.csv", path))
    where = f"no file is at {(business.root / 'loans' / path).resolve()}"
    said = business.at(2).tick()
    assert "loans/applications 2024-01-01 is missing since 2024-01-02 06:00 UTC" in said and where in said
    for _ in range(3):
        assert where in business.at(3).tick()
    [alarm] = business.alarms
    assert alarm.metadata["outcome"].value == "missing" and where in str(alarm.description)
    for day in (1, 2):
        business.day(day)
        if "loans_" not in path:
            file = business.root / "loans" / path.replace("*", "here")
            file.resolve().parent.mkdir(parents=True, exist_ok=True)
            more = (business.root / "data" / f"loans_{day:03}.csv").read_text().splitlines(keepends=True)
            file.resolve().write_text("".join([*(file.read_text() if day > 1 else more[:1]), *more[1:]]))
    assert business.until_quiet() == days(1, 2) and business.failed == ""
    assert business.lake.read_json("loans/ingest/overdue") == {}


def test_a_file_that_goes_away_after_it_was_read_changes_nothing_and_the_next_day_waits(business):
    business.write(USE_CASE + "corrections: 2\n")
    business.day(1)
    assert business.at(2).until_quiet() == days(1, 1)
    (business.root / "data" / "loans_001.csv").unlink()
    assert "every partition that is over is ingested" in business.tick()
    assert "2024-01-02 is missing" in business.at(3).tick()
    business.day(2)
    assert business.until_quiet() == days(2, 2) and business.online() == days(1, 2)


@pytest.fixture
def looked_at(monkeypatch) -> list[str]:
    """Files of whose state a look asked, in a source of which the file of the newest rows alone is always looked at."""
    found, whole = list[str](), declared_tables.states

    def noted(*given: Any) -> Any:
        states = whole(*given)
        if given[2:] != (None,):
            found.extend(Path(str(one[0])).stem for one in states or () if len(one) > 1)
        return states

    monkeypatch.setattr(declared_tables, "states", noted)
    monkeypatch.setattr(source_spans, "ALWAYS_LOOKED_AT", 1)
    return found


def test_a_quiet_look_asks_for_the_state_of_files_with_rows_of_partitions_that_are_read_again_alone(
    business, looked_at
):
    business.write(USE_CASE + "corrections: 2\n")
    for day in range(1, 7):
        business.day(day)
    assert business.at(7).until_quiet() == days(1, 6)
    looked_at.clear()
    assert "every partition that is over is ingested" in business.tick()
    assert looked_at == ["loans_005", "loans_006"]
    business.day(5, amount=7.0)
    assert business.tick() == days(5, 5) and business.failed == ""


def test_a_newer_row_in_a_file_of_old_ones_is_found_within_the_hour(business, looked_at):
    business.write(USE_CASE + "corrections: 2\n")
    for day in range(1, 7):
        business.day(day)
    assert business.at(7).until_quiet() == days(1, 6)
    file = business.root / "data" / "loans_002.csv"
    file.write_text(file.read_text() + a_loan(999, "2024-01-06T13:00:00Z") + ",2024-01-06T14:00:00Z\n")
    assert "every partition that is over is ingested" in business.tick()
    assert business.at(7, 7).until_quiet() == days(6, 6) and business.failed == ""
    assert business.lake.read("loans/applications", days(6, 6))["loan_id"].to_list() == [600, 999]


def test_a_row_of_a_gap_is_found_at_once_in_whatever_file_behind_it_it_comes(business, looked_at):
    business.write(USE_CASE + "corrections: 1\n")
    for day in (1, 2, 4, 5, 6):
        business.day(day)
    business.at(4, 12).until_quiet()
    assert business.at(7).until_quiet() == days(4, 6)
    file = business.root / "data" / "loans_004.csv"
    file.write_text(file.read_text() + a_loan(999, "2024-01-03T13:00:00Z") + ",2024-01-03T14:00:00Z\n")
    assert "2024-01-03" in business.until_quiet() and business.failed == ""
    assert business.online() == days(1, 6)


def test_a_function_that_raises_is_told_by_its_run_tried_again_with_pauses_and_read_once_it_answers(
    business, source
):
    business.write(tables=BY_PYTHON)
    source.days, source.error = {1, 2}, ConnectionError("the warehouse is away")
    assert business.at(3).tick() == ["2024-01-01"]
    assert "given failed with ConnectionError: the warehouse is away" in business.failed
    assert "2024-01-01 was tried 1 time, last by run" in business.tick()
    assert business.later(minutes=2).tick() == ["2024-01-01"] and "warehouse" in business.failed
    source.error, business.ahead = None, timedelta(minutes=1)
    assert "2024-01-01 was tried 2 times" in business.tick()
    assert business.later(minutes=2).until_quiet() == days(1, 2) and business.failed == ""
    assert business.lake.read("loans/applications")["loan_id"].to_list() == [1, 2]


def test_a_function_without_rows_is_waited_for_and_asked_again_after_some_minutes(business, source):
    business.write(tables=BY_PYTHON)
    assert "loans/applications 2024-01-01 is empty since" in business.at(2).tick()
    source.days = {1}
    assert "2024-01-01 is empty" in business.at(2, 6.05).tick()
    assert business.at(2, 6.1).tick() == ["2024-01-01"] and business.failed == ""


def test_a_function_that_gives_other_rows_is_read_again_within_the_hour(business, source):
    business.write(USE_CASE + "corrections: 2\n", tables=BY_PYTHON)
    source.days = {1, 2, 3}
    assert business.at(4).until_quiet() == days(1, 3)
    source.more = 1.0
    assert "every partition that is over is ingested" in business.at(4, 6.5).tick()
    assert business.at(4, 7).until_quiet() == days(2, 3)
    amounts = dict(business.lake.read("loans/applications").select("loan_id", "amount").rows())
    assert amounts == {1: 1.5, 2: 4.0, 3: 5.5}


def test_a_function_that_raises_when_it_is_asked_for_corrections_is_told_and_loses_nothing(business, source):
    business.write(USE_CASE + "corrections: 1\n", tables=BY_PYTHON)
    source.days = {1}
    assert business.at(2).until_quiet() == days(1, 1)
    source.error = ConnectionError("the warehouse is away")
    assert business.at(2, 8).tick() == ["2024-01-01"] and "warehouse" in business.failed
    assert "2024-01-01 was tried 1 time" in business.tick()
    source.error = None
    business.later(minutes=30)
    assert "every partition that is over is ingested" in business.at(2, 9).tick()
    assert business.lake.read("loans/applications").height == 1


def test_a_new_file_of_a_static_table_is_ingested_at_once_with_what_is_made_of_it(business):
    business.write(tables=TABLE + STATIC)
    areas(business, 7)
    for day in (1, 2):
        business.day(day)
    assert business.at(3).until_quiet() == days(1, 2)
    before = online_content(business.lake, "loans")
    areas(business, 8)
    assert business.tick() == ["2024-01-02"] and business.failed == ""
    for table in ("loans/areas", "loans/features/areas"):
        assert business.lake.read(table)["people"].to_list() == [8]
    after = online_content(business.lake, "loans")
    assert {day for day in after if after[day] != before[day]} == {"2024-01-02"}
    assert "every partition that is over is ingested" in business.tick()
    areas(business, 8)
    assert "every partition that is over is ingested" in business.tick()


def test_a_new_file_of_a_static_table_whose_run_was_killed_after_reading_it_is_followed_all_the_same(
    business,
):
    business.write(tables=TABLE + STATIC)
    areas(business, 7)
    business.day(1)
    assert business.at(2).until_quiet() == days(1, 1)
    areas(business, 8)
    [asked] = business.asked()
    business.run(dg.RunRequest(**asked._asdict() | {"asset_selection": [dg.AssetKey(["loans", "areas"])]}))
    assert business.until_quiet() == ["behind 2024-01-01 to 2024-01-01"] and business.failed == ""
    assert business.lake.read("loans/features/areas")["people"].to_list() == [8]


def test_a_new_file_of_a_static_table_that_cannot_be_read_is_told_and_keeps_what_there_is(business):
    business.write(tables=TABLE + STATIC)
    areas(business, 7)
    business.day(1)
    assert business.at(2).until_quiet() == days(1, 1)
    areas(business, "many")
    assert business.tick() == ["2024-01-01"] and "'many'" in business.failed
    assert "2024-01-01 was tried 1 time" in business.tick()
    areas(business, 8)
    assert business.later(minutes=5).until_quiet() == days(1, 1) and business.failed == ""
    assert business.lake.read("loans/features/areas")["people"].to_list() == [8]
    assert business.ahead < timedelta(hours=1)
