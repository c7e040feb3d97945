"""The folder alone, copied into a Feast repository that knows nothing of this one, is a working offline store."""

import os
import shutil
from pathlib import Path

import polars as pl

from resources.settings import PROJECT_ROOT
from tests import forked
from tests.feature_repo.offline import shop

OURS = "feature_repo.offline_store.store.PolarsOfflineStore"


def test_a_copy_under_another_name_answers_alike(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(PROJECT_ROOT / "feature_repo" / "offline_store", elsewhere / "their_store")
    shutil.copy(Path(shop.__file__), elsewhere / "their_shop.py")
    shop.write(tmp_path / "tables")
    command = ["-m", "their_shop", str(tmp_path), "their_store.store.PolarsOfflineStore"]
    done = forked.run(command, {**os.environ, "PYTHONPATH": str(elsewhere)}, elsewhere)
    assert done.returncode == 0, done.stderr
    ours = pl.DataFrame(pl.from_arrow(shop.joined(shop.store(tmp_path, {"type": OURS}), shop.asked(200))))
    assert pl.read_parquet(tmp_path / "answer.parquet").equals(ours)
    assert 0 < ours["sales__amount"].null_count() < 200
