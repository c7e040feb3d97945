"""Failed runs, silent daemons and a month's cost, from a real instance of Dagster."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from mlops_assets.kit.operations import failed_runs, month_costs, silent_daemons

ADDRESS = "http://dagster.example/"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
WEEKS = dg.WeeklyPartitionsDefinition("2024-01-01", end_date="2024-03-01")
FIRST, SECOND = WEEKS.get_partition_keys()[:2]


class Rows(dg.Config):
    """Whether there are any."""

    there: bool = True


@dg.asset(key=["parcels", "rows"], partitions_def=WEEKS, backfill_policy=dg.BackfillPolicy.single_run())
def rows(config: Rows):
    if not config.there:
        raise ValueError("no rows came")
    return dg.MaterializeResult(metadata={"run cpu seconds": 1800.0})


@dg.asset(key=["parcels", "fit"])
def fit():
    return dg.MaterializeResult(metadata={"run cpu seconds": 36.0, "cpu seconds": 5400.0})


@dg.asset(key=["parcels", "note"])
def note():
    return dg.MaterializeResult(metadata={"cpu seconds": "not measured"})


JOB = dg.Definitions([rows], jobs=[dg.define_asset_job("join_rows", [rows])]).resolve_job_def("join_rows")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def now() -> datetime:
    return datetime.now(UTC)


def run(instance: dg.DagsterInstance, partition: str, there: bool) -> str:
    config = {**QUIET, "ops": {"parcels__rows": {"config": {"there": there}}}}
    done = JOB.execute_in_process(
        instance=instance, partition_key=partition, run_config=config, raise_on_error=False
    )
    assert done.success == there
    return done.run_id


def said(instance: dg.DagsterInstance, at: datetime | None = None) -> list[str]:
    return list(failed_runs(instance, ADDRESS, at or now()))


def test_a_failed_run_is_told_with_its_page_until_a_later_one_of_the_same_partition_ends_well(instance):
    run(instance, FIRST, there=True)
    assert said(instance) == []
    run(instance, FIRST, there=False)
    newest = run(instance, SECOND, there=False)
    (sentence,) = said(instance)
    assert sentence.startswith(f"2 runs of join_rows of {FIRST}, {SECOND} failed, the newest at ")
    assert sentence.endswith(f" and none has ended well since: http://dagster.example/runs/{newest}")
    run(instance, SECOND, there=True)
    (sentence,) = said(instance)
    assert sentence.startswith(f"a run of join_rows of {FIRST} failed")
    run(instance, FIRST, there=True)
    assert said(instance) == []


def test_what_failed_more_than_a_week_ago_is_history(instance):
    run(instance, FIRST, there=False)
    assert len(said(instance)) == 1
    assert said(instance, now() + timedelta(days=8)) == []


def test_a_daemon_is_silent_five_minutes_after_its_last_report_and_one_that_never_ran_is_not_missed(instance):
    assert list(silent_daemons(instance, now())) == []
    beat = datetime(2024, 1, 8, 6, tzinfo=UTC)
    instance.add_daemon_heartbeat(DaemonHeartbeat(beat.timestamp(), "SENSOR", "d1", []))
    assert list(silent_daemons(instance, beat + timedelta(minutes=4))) == []
    (sentence,) = silent_daemons(instance, beat + timedelta(minutes=6))
    assert sentence.startswith("Dagster's daemon is silent since 2024-01-08 06:00 UTC")


def test_a_run_of_many_partitions_costs_once_and_of_a_fit_elsewhere_its_workers_count(instance):
    dg.materialize([fit, note], instance=instance)
    span = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": SECOND}
    JOB.execute_in_process(instance=instance, tags=span, run_config=QUIET)
    assert month_costs(instance, ["parcels", "letters"], now()) == {"parcels": 2.0}
    assert month_costs(instance, ["parcels"], now() + timedelta(days=32)) == {}
