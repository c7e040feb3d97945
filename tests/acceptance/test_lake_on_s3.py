"""Ten weeks of the year on an object store: every table, score and record is what it is in a folder, byte for byte."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from resources.settings import PROJECT_ROOT
from resources.storage.addresses import storage_at
from resources.storage.storage import Storage
from tests.flights.thinned import thin
from tests.s3 import BUCKET, served
from tests.small_year import environment

pytestmark = pytest.mark.nightly  # storage on S3 by itself is in tests/resources/storage

THROUGH = "2013-03-04"
"""The tenth week."""

OTHER_EACH_TIME = ("/timings/", "/drift/_manifests/", "/ticks/")
"""What was timed, manifests that say where a page lies (Evidently's pages have random names in them), and what a sensor
noted of the storage's own marks of files."""


def replayed(home: Path, data: Path, **more: str) -> None:
    command = [sys.executable, "-m", "mlops_assets.cli", "run", "--through", THROUGH]
    done = subprocess.run(
        [*command, "--no-compare", "--no-second-model"],
        env=environment(home, MLOPS_DATA=str(data), **more),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def hashes(storage: Storage) -> dict[str, str]:
    """The content hash of everything that does not say when it was made."""
    names = [name for name in storage.names(deep=True) if name.endswith((".parquet", ".json"))]
    kept = [name for name in names if not any(part in name for part in OTHER_EACH_TIME)]
    return {name: hashlib.sha256(storage.read(name)).hexdigest() for name in kept}


@pytest.fixture(scope="module")
def lakes(tmp_path_factory):
    """The lake of one replay in a folder, and of another in a bucket."""
    folder = tmp_path_factory.mktemp("lakes")
    data = thin(folder / "data", every=2, before="2013-04-01")
    replayed(folder / "local", data)
    with served():
        replayed(folder / "s3", data, MLOPS_LAKE=f"s3://{BUCKET}/lake")
        yield storage_at(folder / "local" / "lake"), storage_at(f"s3://{BUCKET}/lake"), folder / "s3"


def test_ten_weeks_in_a_bucket_have_the_content_hashes_that_they_have_in_a_folder(lakes) -> None:
    local, bucket, _ = lakes
    ours, theirs = hashes(local), hashes(bucket)
    assert {name: theirs.get(name) for name in ours} == ours
    assert set(theirs) == set(ours)
    assert sum(name.endswith(".parquet") for name in ours) > 100


def test_nothing_of_the_lake_is_left_on_the_machine(lakes) -> None:
    *_, home = lakes
    assert not (home / "lake").exists()
