"""`mlops check`: what is wrong is told with file, line, value, rule and fix, and nothing is run."""

from pathlib import Path

import pytest

from mlops_assets.cli import main
from resources.use_case_folders import VARIABLE

USE_CASE = """\
owner: team:shops
calendar: {cadence: daily, start: 2024-01-01}
"""
TABLES = """\
type: mlops_assets.components.table.TableComponent
attributes:
  name: orders
  source: {kind: csv, path: orders.csv}
  columns: {order_id: int, amount: float, ordered_at: datetime, sent_back: int}
  key: [order_id]
  time: ordered_at
"""
CSV = "order_id,amount,ordered_at,sent_back\n1,2.5,2024-01-01T10:00:00Z,0\n"


@pytest.fixture
def shops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlops_home: Path) -> Path:
    folder = tmp_path / "shops"
    folder.mkdir()
    (folder / "use_case.yaml").write_text(USE_CASE)
    (folder / "defs.yaml").write_text(TABLES)
    (folder / "orders.csv").write_text(CSV)
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(["check", *arguments])
    return status, capsys.readouterr().out


def test_the_shipped_use_cases_fit_and_how_old_the_newest_judged_day_is_is_told(capsys, mlops_home):
    status, said = checked(capsys, "flights")
    assert status == 0 and said.endswith("everything fits\n")
    assert "flights: 15 tables, 2 models; weekly from 2012-12-31 to 2014-01-06" in said
    assert "flight_delay: first trained when 56 days are there, judged on the newest 14 days" in said
    assert not (mlops_home / "lake").exists()


def test_a_use_case_beside_the_project_is_checked_with_it(shops, capsys):
    status, said = checked(capsys)
    assert status == 0
    assert "ok    shops: 1 table, 0 models; daily from 2024-01-01 without an end" in said
    assert "ok    flights:" in said


@pytest.mark.parametrize(
    ("file", "old", "new", "at", "said"),
    [
        (
            "defs.yaml",
            "amount: float",
            "amont: float",
            "defs.yaml:4",
            "has no column 'amont'; it has order_id",
        ),
        (
            "defs.yaml",
            "path: orders.csv",
            "path: '${NOWHERE}/x.csv'",
            "defs.yaml:4",
            "NOWHERE, which is not set",
        ),
        ("defs.yaml", "kind: csv", "kind: xls", "defs.yaml:4", "xls"),
        ("defs.yaml", "time: ordered_at", "time: ordered", "defs.yaml:7", "'ordered', which is no column"),
        (
            "use_case.yaml",
            "daily",
            "dayly",
            "use_case.yaml:2",
            "cadence 'dayly' does not exist: choose from hourly",
        ),
        ("use_case.yaml", "owner", "ownr", "use_case.yaml:1", "ownr"),
        ("use_case.yaml", "2024-01-01", "2024-13-01", "use_case.yaml:2", "calendar.start"),
    ],
)
def test_a_mistake_is_told_with_file_and_line_and_the_other_use_cases_are_checked(
    shops, capsys, file, old, new, at, said
):
    text = (shops / file).read_text()
    assert old in text
    (shops / file).write_text(text.replace(old, new, 1))
    status, told = checked(capsys)
    assert status == 1 and "1 mistake\n" in told
    assert f"{shops / at.split(':')[0]}:{at.split(':')[1]}" in told
    assert said in told
    assert "ok    flights:" in told


MODEL = """\
---
type: mlops_assets.components.table.TableComponent
attributes:
  name: sizes
  source: {kind: csv, path: sizes.csv}
  columns: {order_id: int, size: float}
  key: [order_id]
  features: {key: [order_id]}
---
type: mlops_assets.components.model.ModelComponent
attributes:
  name: sent_back
  owner: team:shops
  task: classification
  features: {exclude: []}
  prediction:
    table: orders
    key: [order_id]
    time: ordered_at
    request: {amount: float}
  label: {column: sent_back, delay: 1d}
  gate: {metric: log_loss, floors: {auc: 0.5}}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("{amount: float}", "{amont: float}", 27, "table 'shops/orders' has no column 'amont'"),
        (
            "{amount: float}",
            '{amount: "float | null"}',
            27,
            "is 'float | null' in a request and 'float' in the table",
        ),
        ("column: sent_back", "column: returned", 28, "table 'shops/orders' has no column 'returned'"),
        ("table: orders", "table: order", 23, "table 'shops/order' does not exist; there are: "),
    ],
)
def test_what_a_model_names_is_held_against_its_tables(shops, capsys, old, new, line, said):
    (shops / "sizes.csv").write_text("order_id,size\n1,2.0\n")
    (shops / "defs.yaml").write_text(TABLES + MODEL)
    assert checked(capsys, "shops")[0] == 0
    (shops / "defs.yaml").write_text(TABLES + MODEL.replace(old, new))
    status, told = checked(capsys, "shops")
    assert status == 1 and said in told
    assert f"error {shops / 'defs.yaml'}:{line}: " in told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{amount: float}", '{"amount €": float}', "'amount €' is no name of a request column"),
        ("metric: log_loss", "metric: log_los", "log_los"),
        ("gate:", "window: {hold_out_days: 0}\n  gate:", "hold_out_days"),
    ],
)
def test_a_mistake_in_a_model_is_told_without_another_about_the_service_that_its_features_become(
    shops, capsys, old, new, said
):
    (shops / "sizes.csv").write_text("order_id,size\n1,2.0\n")
    (shops / "defs.yaml").write_text(TABLES + MODEL.replace(old, new))
    status, told = checked(capsys, "shops")
    assert status == 1 and said in told and "feature service" not in told


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ("{table: order}", "batch.table 'shops/order' does not exist; there are: "),
        (
            "{table: sizes}",
            "batch.table 'shops/sizes' is written whole and has no partitions: say batch.whole: true",
        ),
        (
            "{table: sizes, whole: true}",
            "batch.table 'shops/sizes' has no column 'amount', which each request must bring",
        ),
        (
            "{table: orders, key: [shop]}",
            "batch.table 'shops/orders' has no column 'shop', by which a score is named",
        ),
        ("{}", "batch has neither of table and path: name the one in which the rows are"),
        ("{table: orders, path: a.parquet}", "batch has both table and path"),
        ("{path: a.parquet, whole: true}", "batch.whole is for a table"),
        ("{table: orders, key: [refused]}", "batch.key 'refused' is the name of the platform's own column"),
        ("{table: orders, key: [order_id, order_id]}", "batch.key names 'order_id' twice"),
    ],
)
def test_the_rows_that_a_model_scores_in_batches_are_held_against_a_request(shops, capsys, batch, said):
    (shops / "sizes.csv").write_text("order_id,size\n1,2.0\n")
    (shops / "defs.yaml").write_text(TABLES + MODEL + "  batch: {table: orders}\n")
    assert checked(capsys, "shops")[0] == 0
    (shops / "defs.yaml").write_text(TABLES + MODEL + f"  batch: {batch}\n")
    status, told = checked(capsys, "shops")
    assert status == 1 and said in told
    assert f"{shops / 'defs.yaml'}:30" in told


def test_a_source_that_is_not_there_yet_is_waited_for_and_no_mistake(shops, capsys):
    (shops / "orders.csv").unlink()
    status, told = checked(capsys, "shops")
    assert status == 0
    assert f"waits {shops / 'defs.yaml'}:4: no file is at {shops / 'orders.csv'}" in told


def test_an_unknown_use_case_is_answered_with_those_there_are(shops, capsys):
    assert main(["check", "shop"]) == 1
    assert "use case 'shop' does not exist; there are: flights, purchases, shops" in capsys.readouterr().err


def test_a_mistake_in_a_table_that_is_met_while_a_model_is_read_has_the_tables_file_and_line(shops, capsys):
    (shops / "sizes.csv").write_text("order_id,size\n1,2.0\n")
    tables, _, model = (TABLES + MODEL).rpartition("---\n")
    (shops / "defs.yaml").write_text(tables.replace("size: float", "size: flaot"))
    (shops / "before").mkdir()
    (shops / "before" / "defs.yaml").write_text(model)
    status, told = checked(capsys, "shops")
    assert status == 1
    assert (
        f"{shops / 'defs.yaml'}:13: columns.size" in told
        and "'flaot' is no type of a column: use one of" in told
    )


PYTHON = """\
import polars as pl

from mlops_assets.ml.tables import Expectation
from mlops_assets.stages.tables import Table

UTC = pl.Datetime("us", "UTC")
SCHEMA = {"order_id": pl.Int64, "amount": pl.Float32, "note": pl.String, "ordered_at": UTC, "sent_back": pl.Int64}


def made(calendar):
    look = {"group_name": "kiosks_ingest", "owners": ["team:kiosks"]}
    rows = lambda lake, span: pl.DataFrame(schema=SCHEMA)
    return [Table("kiosks/orders", rows, Expectation(SCHEMA, ("order_id",), "ordered_at"), calendar, {}, look)]
"""


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ('{amount: float, note: "str | null"}', ""),
        ("{amount: int}", "column 'amount' is 'int' in a request and 'Float32' in the table"),
        ("{note: bool}", "column 'note' is 'bool' in a request and 'String' in the table"),
        ("{amont: float}", "table 'kiosks/orders' has no column 'amont'; it has order_id, amount, note"),
    ],
)
def test_request_columns_are_held_against_a_table_that_python_makes(
    tmp_path, monkeypatch, mlops_home, capsys, request_, said
):
    folder = tmp_path / "kiosks"
    folder.mkdir()
    (folder / "use_case.yaml").write_text(USE_CASE.replace("shops", "kiosks") + "tables: kiosk_tables:made\n")
    (tmp_path / "kiosk_tables.py").write_text(PYTHON)
    model = MODEL.rpartition("---\n")[2].replace("{amount: float}", request_)
    (folder / "defs.yaml").write_text(model.replace("{exclude: []}", "[]"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(VARIABLE, str(folder))
    status, told = checked(capsys, "kiosks")
    assert (status, said in told) == (1 if said else 0, True), told
    assert not said or f"error {folder / 'defs.yaml'}:11: " in told


FEATURES = """\
import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Int64
from feature_repo.by_row import view_by_row
from feature_repo.forms import Form

basket = RequestSource(name="basket", schema=[Field(name="order_id", dtype=Int64)])


@on_demand_feature_view(sources=[basket], schema=[Field(name="twice", dtype=Float32)], mode="pandas")
def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"twice": inputs["order_id"] * 2.0})


def halves(order_id):
    return {"half": order_id / 2}


FORM = Form("halved", scalar=halves)
halved = view_by_row(
    FORM, on_demand_feature_view, sources=[basket], schema=[Field(name="half", dtype=Float32)]
)
both = FeatureService(name="both", features=[doubled, halved])
"""


def test_what_a_function_of_frames_costs_a_request_is_told_with_the_faster_form(shops, capsys):
    (shops / "sizes.csv").write_text("order_id,size\n1,2.0\n")
    (shops / "features").mkdir()
    (shops / "features" / "__init__.py").write_text(FEATURES)
    (shops / "code.py").write_text("def rows(frame):\n    return frame\n")
    model = MODEL.replace("features: {exclude: []}", "feature_service: both")
    rows = model.replace("    request: {amount: float}", "    rows: shops.code:rows")
    (shops / "defs.yaml").write_text(TABLES + rows)
    status, said = checked(capsys, "shops")
    assert status == 0, said
    assert "slow  sent_back: prediction.rows shops.code:rows takes frames alone" in said
    assert f"on-demand view 'doubled' ({shops / 'features' / '__init__.py'}:" in said
    assert "mode pandas alone: about 2 ms more for a request of one row" in said
    assert "'halved'" not in said and said.endswith("everything fits\n")


def test_the_flights_have_nothing_that_a_request_waits_for(capsys, mlops_home):
    assert "slow" not in checked(capsys, "flights")[1]
