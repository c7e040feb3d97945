"""Batch scoring over a real Ray gives the bytes that it gives in one process."""

import pytest

from mlops_assets.stages import batch_scoring
from tests.stages.test_batch_scoring import ROWS, coming, made, spec_of, state, systems

__all__ = ["coming", "state", "systems"]


@pytest.fixture(autouse=True)
def ray_of_its_own():
    yield
    import ray

    ray.shutdown()


def test_over_ray_data_the_bytes_are_the_same(state, systems, coming, monkeypatch):
    monkeypatch.setattr(batch_scoring, "PART", 50)
    here = made(spec_of(state), systems)
    by_ray = made(spec_of(state, table="coming", over_ray_from=ROWS), systems)
    assert (here.where, by_ray.where) == ("this process", "Ray Data")
    assert by_ray.manifest.sha256 == here.manifest.sha256 and by_ray.missing == here.missing
