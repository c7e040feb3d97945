"""Each kind of storage, empty, for a suite that all of them pass."""

import uuid
from collections.abc import Iterator

import pytest

from resources.storage.addresses import storage_at
from resources.storage.storage import Storage
from tests.s3 import BUCKET, served


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    with served():
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["folder", "object store"])
def address(request, tmp_path) -> str:
    """Where an empty storage of each kind is."""
    if request.param == "folder":
        return str(tmp_path / "storage")
    return f"{request.getfixturevalue('object_store')}/{uuid.uuid4().hex}"


@pytest.fixture
def storage(address) -> Storage:
    return storage_at(address)
