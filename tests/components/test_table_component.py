"""A table's YAML becomes assets that Dagster runs: written by partition, checked, left alone, and made again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from mlops_assets.components.table import folder_of
from mlops_assets.components.use_case import UseCaseError, load_use_case
from mlops_assets.kit.reuse import SKIPPED
from mlops_assets.spec.files import table_specs_in
from resources.lake.lake import Lake
from resources.use_case_folders import UseCaseFolder
from tests.declared import FIRST, SECOND, a_loan, write_loans

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
RAW, VIEW = "loans/applications", "loans/features/applications"
YAML = """
type: mlops_assets.components.table.TableComponent
attributes:
  name: applications
  description: One row an application.
  source: {kind: csv, path: "../data/loans_*.csv"}
  columns:
    loan_id: int
    amount: {type: float, unit: USD, description: What is asked for.}
    zipcode: str | null
    applied_at: datetime
  key: [loan_id]
  time: applied_at
  lateness: 6h
  expect: {amount: {range: [0, 50000]}}
  features: {key: [zipcode], ttl: 30d}
---
type: mlops_assets.components.table.TableComponent
attributes:
  name: areas
  source: {kind: python, function: "CODE:areas"}
  columns: {zipcode: str, city: str}
  key: [zipcode]
  features: {key: [zipcode]}
"""
LINES = [a_loan(1, "2024-01-02T10:00:00Z"), a_loan(2, "2024-01-09T10:00:00Z")]


class Business:
    """A use case in a folder, as its definitions make it, over a lake and an instance of its own."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, cadence: str = "weekly") -> None:
        self.root, self.instance = root, instance
        self.code = f"areas_{uuid4().hex}"
        self.folder = UseCaseFolder(root / "loans", "loans")
        self.lake = Lake(root=str(root / "lake"))
        (self.folder.path / "tables").mkdir(parents=True)
        self.folder.file.write_text(
            f"owner: team:loans\ncalendar: {{cadence: {cadence}, start: 2024-01-01, end: 2024-02-05}}\n"
        )
        (root / f"{self.code}.py").write_text(
            "import polars as pl\ndef areas():\n    return pl.DataFrame({'zipcode': ['10001'], 'city': ['New York']})\n"
        )
        self.write()

    def write(self, text: str = YAML) -> None:
        text = text.replace("CODE", self.code)
        (self.folder.path / "tables" / "defs.yaml").write_text(text)

    def data(self, *lines: str, name: str = "loans_1") -> None:
        write_loans(self.root / "data" / f"{name}.csv", *lines)

    def assets(self) -> dict[str, dg.AssetsDefinition]:
        found = load_use_case(self.folder).defs.assets
        return {one.key.to_user_string(): one for one in found or () if isinstance(one, dg.AssetsDefinition)}

    def run(
        self, *keys: str, partition: str | None = FIRST, fails: bool = False
    ) -> dg.ExecuteInProcessResult:
        assets = self.assets()
        done = dg.materialize(
            [assets[key] for key in keys],
            partition_key=partition,
            resources={"lake": self.lake},
            instance=self.instance,
            raise_on_error=False,
        )
        assert done.success != fails, [event.message for event in done.all_events if event.is_failure]
        return done

    def shown(self, key: str) -> dict[str, Any]:
        """Metadata of the newest materialization."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(key.split("/")))
        assert event and event.asset_materialization
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@pytest.fixture
def business(tmp_path, monkeypatch) -> Iterator[Business]:
    monkeypatch.syspath_prepend(str(tmp_path))
    with dg.instance_for_test() as instance:
        yield Business(tmp_path, instance)


def failure(done: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in done.all_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data.description


def test_a_table_and_its_features_are_assets_of_the_use_case(business):
    assets = business.assets()
    assert {RAW, VIEW, "loans/areas", "loans/features/areas"} < set(assets)
    raw, view = (assets[key].get_asset_spec(dg.AssetKey(key.split("/"))) for key in (RAW, VIEW))
    assert (raw.group_name, view.group_name) == ("loans_ingest", "loans_features")
    assert list(raw.owners) == ["team:loans"]
    assert raw.kinds == {"polars", "csv"}
    assert {dep.asset_key.to_user_string() for dep in view.deps} == {RAW}
    assert assets["loans/areas"].partitions_def is None
    assert raw.partitions_def.get_partition_keys()[:2] == [FIRST, SECOND]
    [amount] = [one for one in raw.metadata["dagster/column_schema"].columns if one.name == "amount"]
    assert (amount.type, amount.tags) == ("Float64", {"unit": "USD"})
    assert "What is asked for." in amount.description
    assert "0 to 50000" in str(amount.constraints)


def test_a_partition_is_written_checked_and_shown(business):
    business.data(*LINES)
    done = business.run(RAW, VIEW)
    checks = {one.check_name: one.passed for one in done.get_asset_check_evaluations()}
    assert {"schema_is_as_declared", "keys_are_unique", "no_event_after_the_partition"} <= set(checks)
    assert all(checks.values())
    assert business.lake.read(RAW, [FIRST])["loan_id"].to_list() == [1]
    assert business.lake.read(VIEW, [FIRST])["zipcode"].to_list() == ["10001"]
    assert business.shown(RAW)["read from"] == "loans_1.csv"
    assert business.shown(RAW)["dagster/row_count"] == 1


def test_a_static_table_is_made_by_its_function(business):
    business.run("loans/areas", "loans/features/areas", partition=None)
    assert business.lake.read("loans/features/areas")["city"].to_list() == ["New York"]


def test_a_second_run_leaves_what_it_finds(business):
    business.data(*LINES)
    business.run(RAW, VIEW)
    business.run(RAW, VIEW)
    assert SKIPPED in business.shown(RAW) and SKIPPED in business.shown(VIEW)


def test_a_changed_row_makes_its_partition_again_and_no_other(business):
    business.data(*LINES)
    for name in (FIRST, SECOND):
        business.run(RAW, VIEW, partition=name)
    business.data(LINES[0], a_loan(2, "2024-01-09T10:00:00Z", 99))
    business.run(RAW, VIEW, partition=FIRST)
    assert SKIPPED in business.shown(RAW) and SKIPPED in business.shown(VIEW)
    business.run(RAW, VIEW, partition=SECOND)
    assert business.shown(RAW)["made because"] == "changed: rows"
    assert business.shown(RAW)["rows changed since last time"] == 1
    assert business.lake.read(VIEW, [SECOND])["amount"].to_list() == [99.0]


def test_a_new_file_that_brings_nothing_to_a_partition_leaves_it(business):
    business.data(*LINES)
    business.run(RAW)
    business.data(a_loan(3, "2024-01-16T10:00:00Z"), name="loans_2")
    business.run(RAW)
    assert SKIPPED in business.shown(RAW)


def test_several_partitions_in_one_run_are_each_read_once(business):
    business.data(*LINES)
    assets = business.assets()
    tags = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": SECOND}
    job = dg.Definitions(
        [assets[RAW]], resources={"lake": business.lake}, jobs=[dg.define_asset_job("all", [assets[RAW]])]
    ).resolve_job_def("all")
    assert job.execute_in_process(tags=tags, instance=business.instance).success
    assert business.lake.partitions(RAW) == [FIRST, SECOND]


def test_a_partition_whose_rows_are_not_there_yet_fails_with_its_outcome(business):
    business.data(LINES[0])
    done = business.run(RAW, partition=SECOND, fails=True)
    assert f"1 of 1 partitions of {RAW} are not there yet; {SECOND}: the source of table" in failure(done)
    [event] = [event for event in done.all_events if event.is_step_failure]
    shown = event.step_failure_data.user_failure_data.metadata
    assert shown["outcome"].value == "late"
    assert shown["newest row"].value == "2024-01-02 10:00:00+00:00"
    assert business.lake.partitions(RAW) == []


def test_a_bad_value_fails_with_file_row_and_column_and_writes_nothing(business):
    business.data(a_loan(1, "2024-01-02T10:00:00Z", "much"))
    said = failure(business.run(RAW, fails=True))
    assert "data/loans_1.csv, row 1, column 'amount': 'much' is not a finite number" in said
    assert business.lake.partitions(RAW) == []


def test_a_key_that_is_there_twice_fails_its_check(business):
    business.data(LINES[0], LINES[0])
    done = business.run(RAW, fails=True)
    checks = {one.check_name: one.passed for one in done.get_asset_check_evaluations()}
    assert checks["keys_are_unique"] is False
    assert f"{RAW} {FIRST} breaks keys_are_unique" in failure(done)
    assert business.lake.partitions(RAW) == []


def test_a_table_may_be_coarser_than_its_use_case(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    with dg.instance_for_test() as instance:
        business = Business(tmp_path, instance, "daily")
        business.write(YAML.replace("  lateness: 6h", "  lateness: 6h\n  cadence: monthly"))
        business.data(*LINES)
        business.run(RAW, partition="2024-01-01")
        assert business.lake.read(RAW, ["2024-01-01"]).height == 2


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        (
            "kind: csv",
            "kind: excel",
            "source:",
            "kind 'excel' is no source: choose from parquet, csv, sql, http, asset, python",
        ),
        ("loan_id: int", "loan_id: integer", "loan_id:", "'integer' is no type of a column"),
        ("key: [loan_id]", "key: [loan]", "key: [loan]", "key names 'loan', which is no column"),
        ("lateness: 6h", "latenes: 6h", "latenes:", "attributes.latenes"),
        ("lateness: 6h", "lateness: 6", "lateness:", "6 is not a duration"),
        ("time: applied_at", "time: loan_id", "time:", "time 'loan_id' is int, and must be datetime"),
        ("lateness: 6h", "cadence: daily", "cadence:", "cadence 'daily' is shorter than 'weekly'"),
        ("ttl: 30d", "ttl: 30", "features:", "30 is not a duration"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_rule(business, old, new, at, message):
    text = YAML.strip().replace(old, new, 1)
    assert text != YAML.strip()
    business.write(text)
    with pytest.raises(UseCaseError) as caught:
        load_use_case(business.folder)
    said = str(caught.value)
    assert message in said
    line = next(n for n, one in enumerate(text.splitlines(), start=1) if one.strip().startswith(at))
    assert f"defs.yaml:{line}" in said


def test_the_use_case_knows_its_tables_and_has_one_store_of_their_features(business):
    loaded = load_use_case(business.folder)
    assert [table.key for table in loaded.tables] == [RAW, VIEW, "loans/areas", "loans/features/areas"]
    assert {"loans/features/registry", "loans/features/online"} <= set(business.assets())
    assert [spec.name for spec in table_specs_in(business.folder)] == ["applications", "areas"]


def test_a_folder_that_no_use_case_holds_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"lies in no use case: no folder above it has a use_case\.yaml"):
        folder_of(tmp_path)
