"""The folder alone, copied into a Feast repository that knows nothing of this one, is a working online store."""

import os
import shutil
from pathlib import Path

from resources.settings import PROJECT_ROOT
from tests import forked
from tests.feature_repo.online import shop
from tests.feature_repo.online.shop import Database

THEIRS = """
import sys, their_shop
from pathlib import Path
folder = Path(sys.argv[1])
online = {"type": f"their_store.{sys.argv[2]}", **eval(sys.argv[3])}
store = their_shop.opened(folder, online, batch_engine={"type": "their_store.engine.BulkEngine"})
store.apply(their_shop.services(folder))
store.materialize(their_shop.NOW - 5 * their_shop.HOUR, their_shop.NOW)
rows = {"customer_id": [1, 9], "town": ["Ribe", "none"]}
found = store.get_online_features(store.get_feature_service("plain"), rows)
print(type(found).__module__, found.to_dict()["people"], found.to_dict()["tags"])
"""
CLASSES = {"sqlite": "sqlite.store.BulkSqliteOnlineStore", "redis": "redis.store.BulkRedisOnlineStore"}


def test_a_copy_under_another_name_writes_and_reads(database: Database, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(PROJECT_ROOT / "feature_repo" / "online_store", elsewhere / "their_store")
    shutil.copy(Path(shop.__file__), elsewhere / "their_shop.py")
    arguments = [str(tmp_path), CLASSES[database.kind], repr(database.settings)]
    done = forked.run(["-c", THEIRS, *arguments], os.environ | {"PYTHONPATH": str(elsewhere)}, elsewhere)
    assert done.stdout.splitlines()[-1:] == ["their_store.response [8000, None] [['a', ''], None]"], (
        done.stderr
    )
