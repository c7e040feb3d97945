"""docs/point-in-time.md tells the truth about Feast's Ray store: a second of CPU a case, after fifteen for Ray itself."""

from pathlib import Path

import pytest

from tests.feature_repo.offline_oracle.catalogue import CASES, judged
from tests.feature_repo.offline_oracle.feast_table import told


@pytest.mark.filterwarnings("ignore")
def test_feasts_ray_store_does_in_each_case_what_the_page_says(tmp_path: Path) -> None:
    import ray

    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    try:
        seen = {
            name: judged(case, tmp_path / name, {"type": "ray", "storage_path": str(tmp_path / "ray")})
            for name, case in CASES.items()
        }
    finally:
        ray.shutdown()
    assert {name: cell for name, cell in seen.items() if cell != told(name, "Ray")} == {}
