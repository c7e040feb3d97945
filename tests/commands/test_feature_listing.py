"""`mlops features` tells of each feature what it means, is made of and looks like, how old it is, and who reads it."""

import json
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.cli import main
from mlops_assets.kit.catalogue import DISTRIBUTIONS, NEWEST_ROW, UNREAD
from mlops_assets.kit.tables import readers_of, shown_of
from mlops_assets.stages.feature_catalogue import feature_names, spread_of
from mlops_assets.stages.tables import build_partition
from mlops_assets.use_cases.flights.features.catalogue import VIEWS
from mlops_assets.use_cases.flights.tables import all_tables
from resources.cluster import resources_of
from resources.features.stores import repository_of
from resources.settings import settings

USE_CASE = "owner: team:shop\ncalendar: {cadence: daily, start: 2024-01-01, end: 2024-02-01}\n"
DEFS = """
type: mlops_assets.components.table.TableComponent
attributes:
  name: orders
  source: {kind: csv, path: orders.csv}
  columns:
    order_id: int
    customer: str
    amount: {type: float | null, description: What was paid., unit: euros}
    city: str
    back: bool
    ordered_at: datetime
  key: [order_id]
  time: ordered_at
  features: {key: [customer], columns: [amount, city]}
  aggregates:
    customer: {key: [customer], features: {paid_7d: {sum: amount, over: 7d}}}
---
type: mlops_assets.components.model.ModelComponent
attributes:
  name: shop_back
  owner: team:shop
  task: classification
  features: ["orders:amount"]
  prediction: {table: orders, key: [order_id], time: ordered_at}
  label: {column: back, delay: 1d}
  trainer: {kind: xgboost, rounds: 4}
  window: {hold_out_days: 2, minimum_days: 5}
  gate: {metric: log_loss, floors: {auc: 0.5}}
"""


@pytest.fixture
def shop(tmp_path: Path, mlops_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A shop with two days ingested; the command line that names it, and what was built."""
    from mlops_assets import definitions
    from mlops_assets.spec import files

    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "use_case.yaml").write_text(USE_CASE)
    (folder / "defs.yaml").write_text(DEFS)
    rows = [
        f"{n},c{n % 2},{n if n % 4 else ''},Bonn,{n % 2},2024-01-0{1 + n // 4}T12:0{n}:00Z" for n in range(8)
    ]
    (folder / "orders.csv").write_text(
        "\n".join(["order_id,customer,amount,city,back,ordered_at", *rows]) + "\n"
    )
    monkeypatch.setenv("MLOPS_USE_CASES", str(folder))
    definitions.loaded.cache_clear()
    files.declared_specs.cache_clear()
    tables = [table for table in definitions.tables() if table.key.startswith("shop/")]
    lake = resources_of(settings())["lake"]
    for table in tables:
        for day in ("2024-01-01", "2024-01-02"):
            findings, written = build_partition(lake, table, day)
            assert written, findings
    yield tables  # type: ignore[misc]
    definitions.loaded.cache_clear()
    files.declared_specs.cache_clear()


def test_each_feature_is_told_with_meaning_origin_spread_age_and_readers_and_idle_ones_are_named(
    shop, capsys
):
    assert main(["features", "shop", "--json"]) == 0
    found = {(one["view"], one["name"]): one for one in json.loads(capsys.readouterr().out)["shop"]}
    amount = found["orders", "amount"]
    assert (amount["meaning"], amount["unit"]) == ("What was paid.", "euros")
    assert amount["made_of"] == ["shop/orders.amount"] and amount["models"] == ["shop_back"]
    assert amount["partition"] == "2024-01-02" and amount["newest"] == "2024-01-02T12:07:00+00:00"
    spread = amount["spread"]
    assert (spread["rows"], spread["missing"]) == (4, 0.25)
    assert (spread["smallest"], spread["median"], spread["largest"]) == (5, 6, 7) and sum(spread["bars"]) == 3
    paid = found["customer", "paid_7d"]
    assert "amount" in paid["meaning"] and "shop/orders.amount" in paid["made_of"] and not paid["used"]
    assert found["orders", "city"]["meaning"] == "The value of shop/orders.city, as it was known."
    assert found["orders", "city"]["spread"]["most_frequent"] == {"Bonn": 4}
    assert main(["features", "shop"]) == 0
    said = capsys.readouterr().out
    assert "shop: 3 features" in said and "25.0% missing of 4" in said
    assert "read by no model: orders:city, customer:paid_7d" in said
    assert main(["features", "shop", "--unused"]) == 0
    assert "What was paid" not in capsys.readouterr().out


def test_the_page_of_a_feature_table_names_the_models_and_that_of_a_raw_table_none(shop):
    readers = {table.key: readers_of(table) for table in shop}
    assert readers["shop/features/orders"] == {"amount": ["shop_back"]}
    assert readers["shop/features/customer"] == {} and readers["shop/orders"] is None
    lake = resources_of(settings())["lake"]
    pages = {table.key: shown_of(table, lake.read(table.key, ["2024-01-02"])) for table in shop}
    orders = pages["shop/features/orders"]
    assert (orders[UNREAD], orders[NEWEST_ROW]) == ("city", "2024-01-02 12:07 UTC")
    amount, city = orders[DISTRIBUTIONS].md_str.strip().splitlines()[2:]
    assert amount.startswith("| amount | What was paid. | euros | ![amount](")
    assert amount.endswith("| 25.0% | 5 | 6 | 7 | shop_back |")
    assert city.startswith("| city | The value of shop/orders.city, as it was known. |  | Bonn 100% |")
    assert city.endswith("| **no model** |")
    assert pages["shop/features/customer"][UNREAD] == "paid_7d" and UNREAD not in pages["shop/orders"]


def test_what_is_noted_of_a_row_is_no_feature():
    tables = {table.key: table for table in all_tables()}
    names = feature_names(tables["flights/features/weather"], repository_of("flights"))
    assert "created" in tables["flights/features/weather"].expected.schema
    assert names == [feature.name for feature in VIEWS["weather"].features]


def test_a_spread_has_a_picture_and_none_of_it_is_invented():
    assert spread_of(pl.Series([None, None], dtype=pl.Float32)).missing == 1.0
    two = spread_of(pl.Series([1.0, 1.0, 2.0, float("nan")]))
    assert two.missing == 0.25 and two.bars == [2, 1] and two.picture == "█▅"
