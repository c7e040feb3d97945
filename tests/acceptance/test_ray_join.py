"""On a local Ray with two workers the join gives, row for row, what it gives in one process."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from resources.settings import PROJECT_ROOT, settings
from tests.feature_repo.offline import shop

OURS = "feature_repo.offline_store.store.PolarsOfflineStore"
ON_RAY = """
import os, sys
from resources.serving.ray_serve import HOST, MEBIBYTE, keep_ray_local, without_api_server
keep_ray_local()
without_api_server()
os.environ["RAY_TMPDIR"] = sys.argv[2]
import ray
ray.init(address="local", num_cpus=2, object_store_memory=200 * MEBIBYTE, include_dashboard=False,
         _node_ip_address=HOST, log_to_driver=False)
import polars as pl
from pathlib import Path
from tests.feature_repo.offline import shop

here = shop.store(Path(sys.argv[1]), {"type": sys.argv[3]})
there = shop.store(Path(sys.argv[1]), {"type": sys.argv[3], "engine": "ray", "partitions": 3})
for options in ({}, {"filter_by_created_timestamp": True}):
    rows = shop.asked(700)
    one, many = shop.joined(here, rows, **options), shop.joined(there, rows, **options)
    assert one.schema == many.schema, (one.schema, many.schema)
    assert pl.from_arrow(one).equals(pl.from_arrow(many))
    print(one.num_rows, one["sales__amount"].null_count, one["everywhere__amount"].null_count)
ray.shutdown()
"""


@pytest.mark.nightly
def test_two_workers_answer_as_one_process_does(tmp_path: Path) -> None:
    shop.write(tmp_path / "tables")
    with tempfile.TemporaryDirectory(prefix="ray-") as short:  # the names of Ray's sockets have little room
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ON_RAY, str(tmp_path), short, OURS],
            env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = [[int(n) for n in line.split()] for line in done.stdout.splitlines()[-2:]]
    assert [rows for rows, *_ in counts] == [700, 700]
    assert counts[0][1] < counts[1][1] < 700, "the filter by created timestamp must leave some out"


def test_without_a_cluster_the_engine_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    shop.write(tmp_path / "tables")
    there = shop.store(tmp_path, {"type": OURS, "engine": "ray"})
    with pytest.raises(
        RuntimeError, match=r"connected to no cluster: set RAY_ADDRESS, call ray.init\(...\) first"
    ):
        shop.joined(there, shop.asked(3))
    here = shop.store(tmp_path, {"type": OURS})
    assert shop.joined(there, shop.asked(0)).schema == shop.joined(here, shop.asked(0)).schema


def test_the_engine_is_one_setting() -> None:
    from resources.features.configuration import configuration
    from resources.local import local_resources

    chosen = settings({"MLOPS_OFFLINE_ENGINE": "ray"})
    assert local_resources(chosen)["feature_store"].offline_engine == "ray"
    assert (
        configuration("mlops_assets.use_cases.flights.features", "home", "", "ray").offline_store.engine
        == "ray"
    )
    assert (
        configuration(
            "mlops_assets.use_cases.flights.features", "home", "", settings({}).offline_engine
        ).offline_store.engine
        == "local"
    )
    with pytest.raises(ValueError, match="MLOPS_OFFLINE_ENGINE='spark' is not known: give local or ray"):
        settings({"MLOPS_OFFLINE_ENGINE": "spark"})
