"""Costs are of the block alone: its processor time, its own peak of memory, its children."""

import subprocess
import sys
import time

import numpy as np
import pytest

from mlops_assets.ml.cost import Cost, measured


def test_a_sleep_costs_wall_time_and_no_processor():
    with measured() as cost:
        time.sleep(0.2)
    assert cost.wall_seconds >= 0.2
    assert cost.cpu_seconds < cost.wall_seconds
    assert cost.gpu_seconds == 0


def test_the_processor_time_of_children_counts():
    with measured() as cost:
        subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    assert cost.cpu_seconds > 0.05


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets an earlier peak")
def test_the_peak_of_memory_is_the_blocks_own():
    large = np.ones(40 * 2**20)
    del large
    with measured() as small:
        pass
    with measured() as big:
        held = np.ones(40 * 2**20)
    assert held[0] == 1
    assert big.peak_memory_mib > small.peak_memory_mib + 250


def test_a_gpu_costs_its_wall_time_and_a_failure_is_costed_too():
    with pytest.raises(KeyError), measured(gpus=2) as cost:
        time.sleep(0.05)
        raise KeyError
    assert cost.gpu_seconds == pytest.approx(2 * cost.wall_seconds)


def test_work_side_by_side_adds_up_but_for_the_clock():
    one, other = Cost(2, 5, 100, 1), Cost(3, 4, 300, 2)
    assert one.beside(other) == other.beside(one) == Cost(5, 5, 300, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets an earlier peak")
def test_a_measurement_inside_another_does_not_hide_the_outer_ones_peak():
    with measured() as outer:
        held = np.ones(40 * 2**20)
        del held
        with measured() as inner:
            pass
    assert outer.peak_memory_mib > inner.peak_memory_mib + 250
