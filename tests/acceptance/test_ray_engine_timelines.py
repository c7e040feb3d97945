"""On Ray the polars store answers as the oracle too: generated timelines on a local Ray of two workers."""

from pathlib import Path

import pytest

from tests.feature_repo.offline_oracle.suite import told
from tests.feature_repo.offline_oracle.timelines import settings
from tests.feature_repo.offline_oracle.world import OURS

SETTINGS = [settings(200)[number] for number in (2, 17)]


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
def test_generated_timelines_are_answered_on_ray_as_by_the_oracle(tmp_path: Path) -> None:
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    try:
        assert told(SETTINGS, tmp_path, {"type": OURS, "engine": "ray"}) == []
    finally:
        ray.shutdown()
