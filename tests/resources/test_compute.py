"""A cluster that is not there is named at once; a private Ray is the only one that is started."""

import pytest

from resources.compute import Compute, join
from resources.local import local_resources
from resources.settings import settings


def test_a_cluster_that_does_not_answer_is_named_with_the_way_out(free_port):
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(
        ConnectionError, match=f"no Ray answers at MLOPS_RAY_ADDRESS='{address}'.*or empty the"
    ):
        join(address)


def test_the_environment_names_the_cluster_and_checkpoints_lie_below_the_state(tmp_path):
    home = settings({"MLOPS_HOME": str(tmp_path), "MLOPS_RAY_ADDRESS": "head:6379"})
    compute = local_resources(home)["compute"]
    assert isinstance(compute, Compute)
    assert (compute.address, compute.storage) == ("head:6379", str(tmp_path / "training"))
    assert settings({"MLOPS_HOME": str(tmp_path)}).ray_address == ""
