"""Every fault of production in the middle of a week's work on a cluster: nothing is lost, nothing doubled, and the work goes on.

One cluster lives through all of them, a week after another; `make chaos` walks through them in any order.
"""

import pytest

from tests.chaos.checker import breaches
from tests.chaos.faults import FAULTS
from tests.chaos.life import lived
from tests.conftest import needed_program
from tests.postgres import needed_postgres

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def life(tmp_path_factory, free_port):
    """Three weeks of loans on a cluster, with a champion."""
    needed_program("redis-server", "apt-get install redis-server")
    needed_postgres("initdb")
    with lived(tmp_path_factory.mktemp("faults") / "life", free_port) as one:
        yield one


@pytest.mark.parametrize("name", FAULTS)
def test_after_it_nothing_is_lost_or_doubled_and_the_week_is_handled(life, name):
    week = life.arrive()
    FAULTS[name].do(life)
    life.settle()
    seen = life.seen()
    assert breaches(seen) == []
    assert f"scores/loan_default/predictions@{week}" in seen.state.tables
    assert seen.answers is not None
