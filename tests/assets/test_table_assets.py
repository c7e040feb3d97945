"""A table that is not as it was promised is not written, and the error names table, partition and column."""

from dataclasses import replace
from datetime import date

import dagster as dg
import polars as pl
import pytest

from mlops_assets.kit.tables import table_asset
from mlops_assets.ml.tables import Expectation
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.stages.tables import Table, TableError, build_partition
from mlops_assets.use_cases.flights.tables import all_tables
from resources.lake.lake import Lake, LakeError
from tests.flights import lakes
from tests.lake_files import path_of

WEEKS = Calendar(cadence="weekly", start=date(2024, 1, 1), end=date(2024, 2, 5))
FIRST, SECOND = "2024-01-01", "2024-01-08"
SCHEMA = {"pump": pl.String, "bar": pl.Float32}
TABLES = {table.key: table for table in all_tables()}


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(root=str(tmp_path))


def pumps(**columns: pl.Series) -> Table:
    def build(lake: Lake, span: Partition) -> pl.DataFrame:
        frame = pl.DataFrame({"pump": ["a"], "bar": pl.Series([1.0], dtype=pl.Float32)})
        if span.name == SECOND:
            kept = [name for name in frame.columns if columns.get(name) is not DROPPED]
            frame = frame.select(kept).with_columns(
                **{name: new for name, new in columns.items() if new is not DROPPED}
            )
        return frame

    return Table("flights/features/pumps", build, Expectation(SCHEMA, ("pump",)), WEEKS)


DROPPED = pl.Series([0])
WRONG = {
    "bar is Float64, declared Float32": {"bar": pl.Series([1.0])},
    "bar is String, declared Float32": {"bar": pl.Series(["1.0"])},
    "missing: bar": {"bar": DROPPED},
    "unknown: psi": {"psi": pl.Series([14.5])},
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_week_with_another_schema_fails_with_table_week_and_column(lake, reason):
    asset = table_asset(pumps(**WRONG[reason]))
    done = dg.materialize([asset], partition_key=SECOND, resources={"lake": lake}, raise_on_error=False)
    [failure] = [event for event in done.all_events if event.is_step_failure]
    message = failure.step_failure_data.user_failure_data.description
    assert f"flights/features/pumps {SECOND} breaks schema_is_as_declared: " in message
    assert reason in message
    assert "keys_are_unique" not in message
    assert lake.partitions("flights/features/pumps") == []


def test_the_sound_weeks_of_a_run_are_written_and_the_others_named(lake):
    asset = table_asset(pumps(bar=pl.Series([1.0])))
    tags = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": SECOND}
    job = dg.Definitions(
        [asset], resources={"lake": lake}, jobs=[dg.define_asset_job("all", [asset])]
    ).resolve_job_def("all")
    done = job.execute_in_process(tags=tags, raise_on_error=False)
    [failure] = [event for event in done.all_events if event.is_step_failure]
    assert f"flights/features/pumps {SECOND}" in failure.step_failure_data.user_failure_data.description
    assert lake.partitions("flights/features/pumps") == [FIRST]


def test_a_key_that_is_there_twice_is_counted_in_the_error(lake):
    table = pumps()
    twice = replace(table, build=lambda lake, span: pl.concat([table.build(lake, span)] * 3))
    found, manifest = build_partition(lake, twice, FIRST)
    assert manifest is None
    [broken] = [finding for finding in found if not finding.holds]
    assert broken.reason == "rows: 3; duplicate rows: 2; keys: pump"


def raw(lake: Lake, frame: pl.DataFrame) -> None:
    lake.write("flights/weather", frame, "2013-03-04")


def test_a_raw_table_without_a_column_is_named_with_what_was_to_be_made_of_it(lake):
    raw(lake, lakes.random_weather(1).drop("humid"))
    with pytest.raises(
        TableError, match=r"flights/features/weather 2013-03-04 .* from flights/weather: .*humid"
    ):
        build_partition(lake, TABLES["flights/features/weather"], "2013-03-04")
    assert lake.partitions("flights/features/weather") == []


def test_a_raw_table_with_a_wrong_type_is_named_with_what_was_to_be_made_of_it(lake):
    raw(lake, lakes.random_weather(1).with_columns(temp=pl.lit("warm")))
    with pytest.raises(
        TableError, match=r"flights/features/weather 2013-03-04 .* from flights/weather: .*temp"
    ):
        build_partition(lake, TABLES["flights/features/weather"], "2013-03-04")


def test_a_corrupt_raw_file_is_named(lake):
    raw(lake, lakes.random_weather(1))
    path_of(lake, "flights/weather", "2013-03-04").write_bytes(b"PAR1")
    with pytest.raises(LakeError, match=r"flights/weather/2013-03-04\.parquet cannot be read"):
        build_partition(lake, TABLES["flights/features/weather"], "2013-03-04")


def test_only_the_newest_week_of_a_run_has_pictures_and_lineage(lake):
    with dg.instance_for_test() as instance:
        asset = table_asset(pumps())
        tags = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": SECOND}
        job = dg.Definitions(
            [asset], resources={"lake": lake}, jobs=[dg.define_asset_job("all", [asset])]
        ).resolve_job_def("all")
        assert job.execute_in_process(tags=tags, instance=instance).success
        records = instance.fetch_materializations(asset.key, limit=10).records
    shown = {r.asset_materialization.partition: set(r.asset_materialization.metadata) for r in records}
    pictures = {"dagster/column_lineage", "distributions"}
    assert pictures <= shown[SECOND]
    assert not pictures & shown[FIRST]
    assert {"dagster/row_count", "dagster/column_schema"} <= shown[FIRST]
