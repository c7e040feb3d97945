"""A shop in a folder of YAML whose one file has all of its days from the start: `mlops live` brings them one by one."""

from pathlib import Path

import polars as pl

from tests.acceptance.live_shop import orders

DAYS = 40
MODEL = "shop_back"
USE_CASE = """\
description: Orders of some shops. Which are sent back within a day?
owner: team:parcels
calendar: {cadence: daily, start: 2024-01-01}
clock: wall
replay: {shared_runs: true}
"""
DEFS = """\
type: mlops_assets.components.table.TableComponent
attributes:
  name: orders
  source: {kind: parquet, path: "../data/orders.parquet"}
  columns: {order_id: int, shop: str, ordered_at: datetime, amount: "float | null", grade: "str | null", sent_back: "bool | null"}
  key: [order_id]
  time: ordered_at
  lateness: 1h
---
type: mlops_assets.components.table.TableComponent
attributes:
  name: shops
  source: {kind: csv, path: ../data/shops.csv}
  columns: {shop: str, size: float, age: float}
  key: [shop]
  features: {key: [shop]}
---
type: mlops_assets.components.model.ModelComponent
attributes:
  name: shop_back
  owner: team:parcels
  task: classification
  features: {exclude: []}
  prediction: {table: orders, key: [order_id], time: ordered_at, request: {amount: "float | null", grade: "str | null"}}
  label: {column: sent_back, delay: 1d}
  trainer: {kind: xgboost, rounds: 8, early_stopping_rounds: 4, parameters: {max_depth: 3}}
  window: {hold_out_days: 2, minimum_days: 6}
  gate: {metric: log_loss, floors: {auc: 0.2}, evidence: point, tolerance: 5.0, guards: {slice_tolerance: null, calibration_tolerance: null}}
  retrain: {cool_down_days: 4, max_age_days: 4}
"""


def write_shop(base: Path) -> Path:
    """The folder of the use case `parcels`, whose one file of orders has all of its days from the start."""
    folder, data = base / "parcels", base / "data"
    folder.mkdir(parents=True)
    data.mkdir()
    (folder / "use_case.yaml").write_text(USE_CASE)
    (folder / "defs.yaml").write_text(DEFS)
    shops = pl.DataFrame(
        {
            "shop": [f"shop {n}" for n in range(12)],
            "size": [1.0 + n / 2 for n in range(12)],
            "age": [2.0] * 12,
        }
    )
    shops.write_csv(data / "shops.csv")
    pl.concat([orders(number, shops) for number in range(DAYS)]).write_parquet(data / "orders.parquet")
    return folder
