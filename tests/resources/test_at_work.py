"""Who may work on a state folder beside whom, told by processes that really hold it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.kit.systems import injected
from resources.at_work import AtWorkError, alone, beside_others, serving, works_alone
from resources.lake.lake import Lake
from resources.settings import PROJECT_ROOT

HOLDS = """
import sys, time
from pathlib import Path
from resources import at_work
with getattr(at_work, sys.argv[1])(Path(sys.argv[2]), *sys.argv[3:]):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def another_process(how: str, home: Path, *what: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDS, how, str(home), *what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_replay_keeps_others_out_and_says_who_it_is(tmp_path):
    with another_process("alone", tmp_path, "a replay") as replay:
        for begin in (lambda: alone(tmp_path, "a second replay"), lambda: beside_others(tmp_path)):
            with (
                pytest.raises(AtWorkError, match=f"a replay, process {replay.pid} is at work on .* alone"),
                begin(),
            ):
                pass
        assert works_alone(tmp_path) == f"a replay, process {replay.pid}"


def test_runs_work_beside_each_other_and_keep_a_replay_out(tmp_path):
    with another_process("beside_others", tmp_path), beside_others(tmp_path):
        with pytest.raises(AtWorkError, match="a Dagster run is at work"), alone(tmp_path, "a replay"):
            pass
        assert works_alone(tmp_path) is None


@pytest.mark.parametrize("how", ["alone", "beside_others", "serving"])
def test_a_holder_that_is_killed_holds_nothing(how, tmp_path):
    with another_process(how, tmp_path, *(["a replay"] if how == "alone" else [])) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with alone(tmp_path, "the next one"), serving(tmp_path):
            assert works_alone(tmp_path) is None


def test_two_sets_of_servers_are_not_up_on_one_state_but_servers_and_a_replay_may_be(tmp_path):
    with another_process("serving", tmp_path):
        with pytest.raises(AtWorkError, match="servers are up on"), serving(tmp_path):
            pass
        with alone(tmp_path, "a replay"):
            pass


@dg.asset
def table(lake: dg.ResourceParam[Lake]) -> None:
    lake.write_json("table", {"made": True})


def materialized(home: Path) -> dg.ExecuteInProcessResult:
    lake = Lake(root=str(home / "lake"), state=str(home))
    return dg.materialize([table], resources=injected({"lake": lake}), raise_on_error=False)


def test_a_run_from_the_ui_fails_with_the_reason_while_a_replay_is_at_work_and_writes_nothing(tmp_path):
    with another_process("alone", tmp_path, "a replay"):
        result = materialized(tmp_path)
        assert not result.success
        assert any("is at work" in str(event.event_specific_data) for event in result.all_events)
        assert not (tmp_path / "lake").exists()
    assert materialized(tmp_path).success


def test_the_runs_that_a_replay_makes_itself_go_on(tmp_path):
    with alone(tmp_path, "a replay"):
        assert materialized(tmp_path).success
    with another_process("beside_others", tmp_path):
        assert materialized(tmp_path).success
