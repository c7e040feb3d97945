"""docs/point-in-time.md tells the truth about Feast's Ray store: a second of CPU a case, after fifteen for Ray itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.feature_repo.offline_oracle.catalogue import CASES, judged
from tests.feature_repo.offline_oracle.feast_table import told

ONE_OF_EACH = sorted({told(name, "Ray"): name for name in CASES}.values())
"""For each answer that the page has for the store, a case in which it has it."""

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    import ray

    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    yield
    ray.shutdown()


def untrue(cases: list[str], folder: Path) -> dict[str, str]:
    """What the store does where the page says something else."""
    store = {"type": "ray", "storage_path": str(folder / "ray")}
    seen = {name: judged(CASES[name], folder / name, store) for name in cases}
    return {name: cell for name, cell in seen.items() if cell != told(name, "Ray")}


def test_feasts_ray_store_does_what_the_page_says_in_a_case_of_each_kind(ray, tmp_path: Path) -> None:
    assert len(ONE_OF_EACH) > 2
    assert untrue(ONE_OF_EACH, tmp_path) == {}


@pytest.mark.nightly
def test_feasts_ray_store_does_in_each_case_what_the_page_says(ray, tmp_path: Path) -> None:
    assert untrue(list(CASES), tmp_path) == {}
