"""The names of a table's partitions are remembered, and never for longer than they are true."""

import os
import time

import polars as pl

from resources.lake.lake import Lake

ROWS = pl.DataFrame({"a": [1]})


def test_a_folder_is_listed_once_and_again_after_any_write(tmp_path, monkeypatch):
    lake = Lake(root=str(tmp_path))
    lake.write("shop/orders", ROWS, "2024-01-01")
    assert lake.partitions("shop/orders") == ["2024-01-01"]
    long_ago = time.time() - 60
    os.utime(tmp_path / "shop/orders", (long_ago, long_ago))
    assert lake.partitions("shop/orders") == ["2024-01-01"]
    listed = list[str]()
    names = type(lake.storage).names
    monkeypatch.setattr(
        type(lake.storage),
        "names",
        lambda self, *given, **more: (listed.append(str(more)), names(self, *given, **more))[1],
    )
    assert lake.partitions("shop/orders") == ["2024-01-01"] and listed == []
    lake.partitions("shop/orders").append("what a caller adds")
    assert lake.partitions("shop/orders") == ["2024-01-01"] and listed == []
    lake.write("shop/orders", ROWS, "2024-01-02")
    assert lake.partitions("shop/orders") == ["2024-01-01", "2024-01-02"]
    (tmp_path / "shop/orders/2024-01-01.parquet").unlink()
    assert lake.partitions("shop/orders") == ["2024-01-02"]
