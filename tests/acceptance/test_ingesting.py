"""A use case of days ingests itself: each day once it is over, in order, late and corrected ones too, whatever is killed."""

from datetime import timedelta

import dagster as dg
import pytest

from tests.acceptance.businesses import TABLE, USE_CASE, days

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]


def test_a_day_is_asked_for_once_its_end_and_its_lateness_have_passed_and_not_before(business):
    business.day(1)
    assert "2024-01-01 is over at 2024-01-02 06:00 UTC" in business.at(2, 5.99).tick()
    assert business.at(2).tick() == ["2024-01-01"] and business.failed == ""
    assert "2024-01-02 is over at 2024-01-03 06:00 UTC" in business.tick()
    assert business.online() == ["2024-01-01"]


def test_a_machine_that_was_off_for_ten_days_catches_up_one_by_one_the_oldest_first(business):
    for day in range(1, 11):
        business.day(day)
    assert business.at(11).until_quiet() == days(1, 10)
    assert business.online() == days(1, 10)


def test_a_late_day_is_waited_for_raises_one_alarm_and_is_made_up_for_when_it_comes(business):
    late = timedelta(hours=15)
    for day in (1, 2, 4):
        business.day(day, after=late)
    assert business.at(3).until_quiet() == days(1, 2)
    said = business.at(4).tick()
    assert "loans/applications 2024-01-03 is empty since 2024-01-04 06:00 UTC" in said
    assert "2024-01-03" in business.at(5, 5.9).tick() and business.alarms == []
    assert business.at(5).tick() == ["2024-01-04"]
    assert [one.metadata["partition"].value for one in business.alarms] == ["2024-01-03"]
    for _ in range(3):
        assert "2024-01-03 is empty" in business.tick()
    assert len(business.alarms) == 1
    business.day(3, after=late)
    assert business.tick() == ["2024-01-03"] and business.failed == ""
    before = business.lake.manifest("loans/features/applications", "2024-01-04").rows
    assert business.tick() == ["behind 2024-01-04 to 2024-01-04"] and business.failed == ""
    assert business.lake.manifest("loans/features/applications", "2024-01-04").rows == before + 1
    assert "every partition that is over is ingested" in business.tick()
    assert business.lake.read_json("loans/ingest/overdue") == {}


def test_a_corrected_day_is_read_again_with_what_looks_back_on_it_even_if_its_run_was_killed(business):
    late = timedelta(hours=15)
    business.write(USE_CASE + "corrections: 2\n")
    for day in (1, 2, 3):
        business.day(day, after=late)
    assert business.at(4).until_quiet() == days(1, 3)
    rows = {day: business.lake.manifest("loans/features/applications", day).sha256 for day in days(1, 3)}
    business.day(1, amount=7, after=late)
    assert "every partition that is over is ingested" in business.tick()
    business.day(2, amount=9, after=late)
    [asked] = business.asked()
    assert asked.partition_key == "2024-01-02"
    assert [one.run_key for one in business.asked()] == [asked.run_key]
    business.run(
        dg.RunRequest(**asked._asdict() | {"asset_selection": [dg.AssetKey(["loans", "applications"])]})
    )
    assert business.tick() == ["behind 2024-01-02 to 2024-01-03"] and business.failed == ""
    assert "every partition that is over is ingested" in business.tick()
    now = {day: business.lake.manifest("loans/features/applications", day).sha256 for day in days(1, 3)}
    assert [now[day] != rows[day] for day in days(1, 3)] == [False, False, True]


def test_a_day_whose_run_fails_is_tried_alone_at_first_then_others_go_on_and_a_clock_set_back_asks_for_nothing(
    business,
):
    for day in (1, 2):
        business.day(day)
    (business.root / "data" / "loans_001.csv").write_text(
        "loan_id,amount,zipcode,applied_at,told_at\n1,x,1,2024-01-01T12:00:00Z,2024-01-01T13:00:00Z\n"
    )
    assert business.at(3).tick() == ["2024-01-01"] and "'x'" in business.failed
    assert "2024-01-01 was tried 1 time" in business.tick()
    for minutes in (2, 5):
        assert business.later(minutes=minutes).tick() == ["2024-01-01"]
    business.ahead = timedelta()
    assert business.tick() == ["2024-01-02"] and business.failed == ""
    business.day(1)
    assert business.later(minutes=10).tick() == ["2024-01-01"] and business.failed == ""
    business.until_quiet()
    assert "every partition that is over is ingested" in business.at(1).tick()


def test_a_table_of_weeks_has_a_job_of_its_own_and_comes_before_the_days_that_begin_after_its_week(business):
    weekly = TABLE.replace("name: applications", "name: rates").replace(
        "  lateness: 6h", "  lateness: 6h\n  cadence: weekly"
    )
    business.write(tables=TABLE + "---" + weekly)
    business.day(1)
    assert "2024-01-01 waits for the first partition of loans/rates" in business.at(3).tick()
    [week] = business.at(8).asked()
    assert (week.job_name, week.partition_key) == ("ingest_loans_weekly", "2024-01-01")
    business.run(week)
    assert business.failed == "" and business.lake.partitions("loans/features/rates") == ["2024-01-01"]
    assert business.tick() == ["2024-01-01"] and business.failed == "" and business.online() == ["2024-01-01"]
