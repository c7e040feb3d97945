"""A table that another asset writes is read where it lies, and stands behind that asset in the graph."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import duckdb
import pytest

from mlops_assets.kit.tables import table_asset
from mlops_assets.spec.calendar import Calendar
from mlops_assets.stages.declared_tables import raw_table
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.sources import read_rows, refuse_unfit_source
from tests.declared import END, START, loans, loans_frame

WEEK = SimpleNamespace(start=START, end=END)
QUERY = "SELECT * FROM loans WHERE applied_at >= :start AND applied_at < :end"
BY_SQL = {
    "kind": "asset",
    "asset": "warehouse/loans",
    "at": {"kind": "sql", "database": "WAREHOUSE", "query": QUERY},
}
BY_FILE = {"kind": "asset", "asset": "warehouse/loans", "at": {"kind": "parquet", "path": "loans_*.parquet"}}


@pytest.mark.parametrize("source", [BY_SQL, BY_FILE])
def test_it_is_read_where_the_asset_leaves_it_and_a_column_that_changes_is_told(
    tmp_path, monkeypatch, source
):
    monkeypatch.setenv("WAREHOUSE", f"duckdb:///{tmp_path}/w.duckdb")
    frame = loans_frame(*range(1, 12))

    def write(columns: str) -> None:
        with duckdb.connect(f"{tmp_path}/w.duckdb") as warehouse:
            warehouse.register("frame", frame)
            warehouse.execute(f"CREATE OR REPLACE TABLE loans AS SELECT {columns} FROM frame")
            warehouse.execute(f"COPY loans TO '{tmp_path}/loans_1.parquet'")

    spec = loans(source=source)
    if source is BY_FILE:
        with pytest.raises(NotYetThereError, match="no file is at"):
            refuse_unfit_source(spec, tmp_path)
    write("*")
    refuse_unfit_source(spec, tmp_path)
    assert read_rows(spec, tmp_path, WEEK).frame.equals(frame[:7])
    write("* RENAME (zipcode AS code)")
    with pytest.raises(SourceError, match=r"has no column 'zipcode'; it has .*code"):
        read_rows(spec, tmp_path, WEEK)


def test_the_table_stands_behind_the_asset_in_the_graph():
    calendar = Calendar(cadence="weekly", start=date(2024, 1, 1))
    table = raw_table(loans(source=BY_FILE), "shop", Path("/"), calendar)
    [deps] = [[*one.deps] for one in table_asset(table).specs]
    assert [one.asset_key for one in deps] == [dg.AssetKey(["warehouse", "loans"])]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"asset": "warehouse.loans"}, "should match pattern"),
        (
            {"at": {"kind": "python", "function": "a:b"}},
            "kind 'python' is no source: choose from parquet, csv, sql",
        ),
        ({"at": {"kind": "sql", "database": "W", "query": "SELECT 1"}}, "does not name both :start and :end"),
    ],
)
def test_what_cannot_be_one_is_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        loans(source={**BY_FILE, **changes})
