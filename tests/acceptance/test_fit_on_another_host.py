"""A fit whose machine is lost goes on from its checkpoint on another one, which shares nothing with it but an object store."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.training.shards import Files
from mlops_assets.spec.model import ModelSpec
from resources.cluster_settings import NEEDED
from resources.lake.lake import parquet
from resources.settings import PROJECT_ROOT
from resources.storage.addresses import storage_at
from resources.storage.storage import Storage
from tests.acceptance.test_training_on_ray import kill_with_children
from tests.ml.conftest import FEATURES, parcel_spec, parcels
from tests.s3 import BUCKET, served

WAIT_S = 300.0
SHARED = f"s3://{BUCKET}/shared"
INNER = {
    "kind": "xgboost",
    "rounds": 12,
    "early_stopping_rounds": 12,
    "parameters": {"subsample": 0.8},
    "categories": ["depot"],
    "threads": 1,
}
HOST = """
import json, sys
from resources.settings import silence_usage_reports
silence_usage_reports()
from datetime import datetime
from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.training.shards import Files
from mlops_assets.spec.model import ModelSpec
from resources.cluster import resources_of
from resources.settings import settings
from resources.storage.addresses import storage_at
from tests.ml.conftest import FEATURES
spec, paths, known_by = json.loads(sys.argv[1])
compute = resources_of(settings())["compute"].model_copy(update={"cpus": 4})
files = Files(tuple(paths), datetime.fromisoformat(known_by))
done = fit(files, ModelSpec.model_validate(spec), FEATURES, reach=compute, identity="the-fit")
storage_at("s3://lake/done").write("model", done.model)
"""


@pytest.fixture(scope="module")
def weeks() -> Iterator[Files]:
    """Parcels in a bucket, and nowhere else."""
    with served():
        yield write_weeks(f"s3://{BUCKET}/weeks")


def write_weeks(address: str) -> Files:
    """Four weeks of parcels in a store."""
    lake, frame = storage_at(address), parcels(1200)
    for week in range(4):
        lake.write(f"{week}.parquet", parquet(frame[week * 300 : (week + 1) * 300]))
    return weeks_in(address)


def weeks_in(address: str) -> Files:
    """The same, where they lie already."""
    lake = storage_at(address)
    return Files(tuple(lake.at(f"{week}.parquet") for week in range(4)), parcels(1200)["seen"].max())


def spec_of(loop: str, folder: Path, **trainer: object) -> ModelSpec:
    """A spec whose fit tells in `folder` how it began, and where it waits to be killed."""
    return parcel_spec(
        trainer={
            "kind": "function",
            "framework": "xgboost",
            "loop": f"tests.ml.training.trainers.loops:{loop}",
            "scorer": "tests.ml.training.trainers.loops:Bytes",
            "parameters": {"trainer": INNER, "folder": str(folder)},
            "rounds": INNER["rounds"],
            "categories": ["depot"],
            "threads": 1,
            **trainer,
        }
    )


def host(home: Path, spec: ModelSpec, weeks: Files) -> subprocess.Popen[bytes]:
    """The fit on a machine of a cluster whose state folder is its own."""
    given = [spec.model_dump(mode="json"), weeks.paths, weeks.known_by.isoformat()]
    own = {"MLOPS_ENV": "cluster", "MLOPS_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT)}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOST, json.dumps(given)],
        cwd=PROJECT_ROOT,
        env=os.environ | NEEDED | own | {"MLOPS_SHARED": SHARED},
    )


def killed_at(file: Path, run: subprocess.Popen[bytes]) -> None:
    """Kill a machine, with all that runs on it, when a file appears."""
    deadline = time.monotonic() + WAIT_S
    while not file.exists():
        assert run.poll() is None, "the fit ended before its machine could be lost"
        assert time.monotonic() < deadline, f"{file.name} did not appear"
        time.sleep(0.05)
    kill_with_children(run)


def fits() -> Storage:
    return storage_at(f"{SHARED}/training")


def test_a_fit_in_a_process_goes_on_where_the_lost_machine_was(weeks: Files, tmp_path: Path) -> None:
    spec = spec_of("held", tmp_path, checkpoint_every=6)
    killed_at(tmp_path / "held", host(tmp_path / "one", spec, weeks))
    assert fits().names(deep=True) == ["the-fit/checkpoint"]
    assert not (tmp_path / "one" / "training").exists()
    (tmp_path / "go").touch()
    assert host(tmp_path / "other", spec, weeks).wait(WAIT_S) == 0
    assert (tmp_path / "starts").read_text().split() == ["new", "resumed"]
    assert storage_at(f"s3://{BUCKET}/done").read("model") == fit(weeks, spec, FEATURES).model
    assert fits().names(deep=True) == []


@pytest.mark.nightly
def test_so_does_one_on_workers_of_a_ray_that_is_lost_with_it(weeks: Files, tmp_path: Path) -> None:
    spec = spec_of("killed_once", tmp_path, checkpoint_every=4, workers=2, compute="local")
    (tmp_path / "wait").touch()
    killed_at(tmp_path / "lost", host(tmp_path / "one", spec, weeks))
    assert any(name.endswith("/checkpoint") for name in fits().names("the-fit", deep=True))
    assert host(tmp_path / "other", spec, weeks).wait(WAIT_S) == 0
    assert (tmp_path / "starts").read_text().split() == ["new", "resumed"]
    after = storage_at(f"s3://{BUCKET}/done").read("model")
    assert host(tmp_path / "third", spec, weeks).wait(WAIT_S) == 0
    assert (tmp_path / "starts").read_text().split() == ["new", "resumed", "new"]
    assert storage_at(f"s3://{BUCKET}/done").read("model") == after
    assert fits().names(deep=True) == []
