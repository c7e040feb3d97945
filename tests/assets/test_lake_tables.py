"""What is written of a lake table."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from mlops_assets.ml.tables import Expectation
from mlops_assets.stages.tables import Table, build_partition
from resources.lake.lake import Lake

MOMENTS = [datetime(2024, 1, day, tzinfo=UTC) for day in (3, 1, 2, 1)]
ROWS = pl.DataFrame({"shop": ["b", "b", "a", "a"], "event_timestamp": MOMENTS, "x": [1, 2, 3, 4]})


def written(root: Path, *keys: str) -> list[int]:
    lake = Lake(root=str(root))
    table = Table("flights/features/t", lambda *_: ROWS, Expectation(schema=dict(ROWS.schema), keys=keys))
    build_partition(lake, table, None)
    return lake.read("flights/features/t")["x"].to_list()


def test_a_feature_table_is_written_in_the_order_in_which_joins_read_it_fastest(tmp_path: Path) -> None:
    assert written(tmp_path, "shop", "event_timestamp") == [4, 3, 2, 1]


def test_another_table_keeps_its_order(tmp_path: Path) -> None:
    assert written(tmp_path, "x") == [1, 2, 3, 4]
