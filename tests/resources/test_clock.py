"""One clock for all processes of a state: the machine's, or one that is simulated from a moment at a rate."""

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resources.clock
from resources.clock import CLOCK_FILE, Clock, ClockError, Simulation
from resources.local import local_resources
from resources.settings import settings

START = datetime(2024, 3, 30, 23, tzinfo=UTC)
WALL = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def says(monkeypatch):
    """A function that sets what this machine's clock says."""

    def set_to(moment: datetime) -> None:
        monkeypatch.setattr(resources.clock, "wall", lambda: moment)

    set_to(WALL)
    return set_to


def test_without_a_start_it_is_the_machines_clock_and_nothing_is_written(says, tmp_path):
    clock = Clock(state=str(tmp_path))
    assert (clock.now(), clock.is_simulated, list(tmp_path.iterdir())) == (WALL, False, [])
    assert Clock(offset=timedelta(minutes=-10)).now() == WALL - timedelta(minutes=10)


def test_a_simulated_clock_goes_on_at_its_rate_over_a_restart(says, tmp_path):
    clock = Clock(state=str(tmp_path), start=START, rate=86_400)
    assert clock.now() == START
    says(WALL + timedelta(seconds=20))
    assert clock.now() == START + timedelta(days=20)
    assert Clock(state=str(tmp_path), start=START, rate=86_400).now() == START + timedelta(days=20)


def test_a_process_that_is_not_told_follows_the_clock_of_the_state(says, tmp_path):
    told, other = Clock(state=str(tmp_path), start=START, rate=60), Clock(state=str(tmp_path))
    assert (other.now(), other.is_simulated) == (WALL, False)
    told.now()
    says(WALL + timedelta(minutes=1))
    assert other.now() == told.now() == START + timedelta(hours=1)
    assert other.is_simulated


@pytest.mark.parametrize(
    "changed", [{"rate": 2.0}, {"start": START + timedelta(1)}, {"start": START + timedelta(1), "rate": 2.0}]
)
def test_another_simulation_of_the_same_state_is_refused_with_both(says, tmp_path, changed):
    Clock(state=str(tmp_path), start=START, rate=60).now()
    other = Clock(**{"state": str(tmp_path), "start": START, "rate": 60} | changed)
    with pytest.raises(ClockError, match=r"from 2024-03-30T23:00:00\+00:00 at rate 60\): set these, or none"):
        other.now()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"start": "soon", "rate": 1, "anchor": 1}'])
def test_a_file_that_says_nothing_is_refused_and_not_replaced(says, tmp_path, content):
    (tmp_path / CLOCK_FILE).write_bytes(content)
    with pytest.raises(ClockError, match=r"clock\.json does not say what the clock runs by"):
        Clock(state=str(tmp_path), start=START).now()
    assert (tmp_path / CLOCK_FILE).read_bytes() == content


def _first_look(folder: str, barrier, found) -> None:
    clock = Clock(state=folder, start=START, rate=1e6)
    barrier.wait()
    clock.now()
    found.put(Path(folder, CLOCK_FILE).read_bytes())


def test_processes_that_look_first_at_once_have_one_clock(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, found = context.Barrier(4), context.Queue()
    several = [context.Process(target=_first_look, args=(str(tmp_path), barrier, found)) for _ in range(4)]
    for one in several:
        one.start()
    seen = {found.get(timeout=60) for _ in several}
    for one in several:
        one.join()
    assert len(seen) == 1


@given(
    st.floats(1e-3, 1e6),
    st.lists(st.floats(0, 86_400), min_size=2, max_size=6).map(sorted),
    st.floats(-600, 600),
)
def test_time_never_goes_back_and_machines_that_differ_stay_as_far_apart(rate, seconds, ahead):
    clock = Simulation(start=START, rate=rate, anchor=WALL)
    said = [clock.at(WALL + timedelta(seconds=one)) for one in seconds]
    assert said == sorted(said)
    other = clock.at(WALL + timedelta(seconds=seconds[0] + ahead))
    apart = (other - said[0]).total_seconds()
    assert apart == pytest.approx(ahead * rate, rel=1e-3, abs=1e-3 + 2e-6 * rate)


def test_the_variables_reach_the_clock(tmp_path):
    given_ = {"MLOPS_HOME": str(tmp_path), "MLOPS_CLOCK_START": "2024-03-31T00:00:00+01:00"}
    clock = local_resources(settings(given_ | {"MLOPS_CLOCK_RATE": "2.5"}))["clock"]
    assert clock == Clock(state=str(tmp_path), start=START, rate=2.5)
    assert local_resources(settings({"MLOPS_HOME": str(tmp_path)}))["clock"] == Clock(state=str(tmp_path))
