"""A node of Ray is lost in the middle of a fit of the cluster: the fit is made, once, and the week is handled."""

import pytest
import yaml

from tests.chaos.checker import breaches
from tests.chaos.faults import HELD, OF_RAY
from tests.chaos.life import lived
from tests.conftest import needed_program
from tests.postgres import needed_postgres

pytestmark = pytest.mark.nightly
INNER = {"kind": "xgboost", "rounds": 40, "early_stopping_rounds": 40, "threads": 1}


@pytest.fixture(scope="module")
def life(tmp_path_factory, free_port):
    """Three weeks of loans on a cluster with a Ray, on which every fit is made."""
    needed_program("redis-server", "apt-get install redis-server")
    needed_postgres("initdb")
    folder = tmp_path_factory.mktemp("ray") / "life"
    (folder / HELD).mkdir(parents=True)
    (folder / HELD / "go").touch()

    def on_ray(defs):
        *tables, model = yaml.safe_load_all(defs.read_text())
        model["attributes"]["trainer"] = trainer_of(folder / HELD)
        defs.write_text(yaml.safe_dump_all([*tables, model]))

    with lived(folder, free_port, change=on_ray, CHAOS_RAY="1") as one:
        yield one


def trainer_of(folder):
    """Rounds on the cluster's Ray that stand still after the first checkpoint, until a file lets them go on."""
    return {
        "kind": "function",
        "framework": "xgboost",
        "loop": "tests.ml.training.trainers.loops:held",
        "scorer": "tests.ml.training.trainers.loops:Bytes",
        "parameters": {"trainer": INNER, "folder": str(folder)},
        "rounds": INNER["rounds"],
        "threads": 1,
        "checkpoint_every": 10,
        "compute": "cluster",
    }


@pytest.mark.parametrize("name", OF_RAY)
def test_a_fit_whose_node_is_lost_is_made_and_the_week_is_handled(life, name):
    week = life.arrive()
    begun = starts(life)
    OF_RAY[name].do(life)
    life.settle()
    seen = life.seen()
    assert breaches(seen) == []
    assert f"scores/loan_default/predictions@{week}" in seen.state.tables
    assert "resumed" in starts(life)[len(begun) :]


def starts(life):
    """How each try of a fit began: anew, or from a checkpoint."""
    return (life.folder / HELD / "starts").read_text().split()
