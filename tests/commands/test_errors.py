"""Whatever goes wrong, a command ends in one sentence and its exit status; a traceback is shown to who asks for it."""

import errno
import json
import logging
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets import cli
from mlops_assets.commands import clean
from resources.command_errors import FIXES, LOG, in_words, sentence
from resources.serving import ray_serve
from resources.settings import PROJECT_ROOT, settings
from resources.state_folder import SettingsError, refuse_unusable

COMMANDS = {
    "run": ["run"],
    "dev": ["dev"],
    "live": ["live"],
    "cluster up": ["cluster", "up"],
    "cluster run": ["cluster", "run", "true"],
    "train": ["train", "m"],
    "schema": ["schema"],
    "key new": ["key", "new", "ada"],
    "size": ["size"],
    "status": ["status"],
    "check": ["check"],
    "clean": ["clean"],
    "migrate": ["migrate"],
    "audit verify": ["audit", "verify"],
    "audit show": ["audit", "show"],
    "audit migrate": ["audit", "migrate"],
    "audit rotate": ["audit", "rotate", "--by", "ada", "--reason", "why"],
    "history": ["history", "m"],
    "verify": ["verify", "m"],
    "approve": ["approve", "m", "--version", "1", "--by", "ada"],
    "reject": ["reject", "m", "--version", "1", "--by", "ada"],
    "new use-case": ["new", "use-case", "shops"],
    "new table": ["new", "table", "shops", "--use-case", "flights"],
    "new model": ["new", "model", "m", "--use-case", "flights"],
    "pause": ["pause", "m", "--why", "why"],
    "resume": ["resume", "m"],
    "retire": ["retire", "m", "--why", "why"],
    "retention": ["retention"],
    "recalibrate": ["recalibrate", "m"],
    "rollback": ["rollback", "m", "--by", "ada", "--reason", "why"],
    "rollout": ["rollout", "m", "start", "--version", "1", "--why", "why"],
    "data log": ["data", "log", "flights/raw"],
    "data show": ["data", "show", "flights/raw@0123abcd"],
    "data clean": ["data", "clean"],
    "pushes list": ["pushes", "list"],
    "backup": ["backup"],
    "restore": ["restore"],
    "parity": ["parity", "flights"],
    "reap": ["reap"],
    "features": ["features"],
    "metrics": ["metrics"],
    "monitoring": ["monitoring"],
    "alerts list": ["alerts", "list"],
    "alerts ack": ["alerts", "ack", "0123456789ab", "--by", "ada", "--why", "why"],
    "alerts test": ["alerts", "test", "team"],
    "pushes undo": ["pushes", "undo", "s", "2013-01-01T00:00:00Z", "--by", "ada", "--reason", "why"],
}
READERS = {
    "alerts list",
    "alerts test",
    "check",
    "schema",
    "key new",
    "new use-case",
    "new table",
    "new model",
    "size",
    "status",
    "clean",
    "data log",
    "data show",
    "audit verify",
    "audit show",
    "history",
    "verify",
    "pushes list",
    "features",
    "backup",
}


@pytest.fixture(autouse=True)
def warnings_as_they_were():
    yield
    logging.captureWarnings(False)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_every_command_is_among_those_that_are_tried_here():
    listed = {one.name or "" for one in (*cli.app.registered_commands, *cli.app.registered_groups)}
    assert {name.split()[0] for name in COMMANDS} == listed


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["run", "--through"], ["audit"], ["history"], ["rollback", "m"]]
)
def test_a_wrong_command_line_is_told_with_its_usage_and_status_2_and_nothing_begins(arguments, home, capsys):
    assert cli.main(arguments) == 2
    *usage, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert all(line.startswith("Usage: mlops ") for line in usage)
    assert not list(home.iterdir())


HELP = """
import contextlib, io, json, sys
from mlops_assets.cli import main
told = {}
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main([*command.split(), "-h"])
    heavy = {"dagster", "mlflow", "polars", "feast", "ray", "pandas"} & set(sys.modules)
    told[command] = [code, out.getvalue(), err.getvalue(), sorted(heavy)]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def helped(tmp_path_factory):
    """What each command says to `-h`, in one process that does nothing else; the state folder is empty before and after."""
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-c", HELP, json.dumps([*COMMANDS, ""])],
        env={**os.environ, "MLOPS_HOME": str(home)},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr, list(home.iterdir())) == (0, "", [])
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_help_is_printed_and_nothing_is_done_and_nothing_heavy_imported(command, helped):
    code, out, err, heavy = helped[command]
    assert (code, err, heavy) == (0, "", [])
    assert out.startswith(f"Usage: mlops {command}".rstrip()) and "--help" in out


@pytest.mark.parametrize("below", ["", "/deeper/still"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_where_the_state_folder_should_be_is_told_first(command, below, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("MLOPS_HOME", f"{tmp_path}/file{below}")
    assert cli.main(COMMANDS[command]) == (2 if command == "verify" else 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line.startswith(f"error: MLOPS_HOME='{tmp_path}/file{below}' ") and "no folder: name a folder" in line
    )
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - READERS))
@pytest.mark.parametrize("there", [True, False])
def test_a_disk_that_is_full_is_told_before_a_command_that_writes_begins(
    command, there, home, monkeypatch, capsys
):
    if not there:
        home.rmdir()
    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(COMMANDS[command]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: MLOPS_HOME='{home}' cannot be used (No space left on device): ")
    assert home.exists() == there


def test_a_folder_that_cannot_be_written_to_is_told_and_can_still_be_read(monkeypatch, capsys):
    monkeypatch.setenv("MLOPS_HOME", "/proc/state")
    assert cli.main(["run"]) == 1
    assert "error: MLOPS_HOME='/proc/state' cannot be used" in capsys.readouterr().err
    refuse_unusable(settings().home, writes=False)


def test_a_path_that_cannot_be_followed_is_told(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (f"{tmp_path}/loop", "~nobody-of-this-name/state"):
        for name in ("MLOPS_HOME", "MLOPS_DATA", "MLOPS_RAYJOB"):
            with pytest.raises(SettingsError, match=f"{name}=.* is no path that can be followed"):
                settings({"MLOPS_HOME": str(tmp_path), name: path})
    with pytest.raises(SettingsError, match="File name too long"):
        refuse_unusable(tmp_path / ("x" * 300))


@pytest.mark.parametrize("start", [ray_serve.main, clean.main])
def test_the_endpoint_and_make_clean_end_in_words_too(start, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "file"))
    assert in_words(start) == 1
    assert re.match(f"error: MLOPS_HOME='?{tmp_path}/file'? is no folder: ", capsys.readouterr().err)


def test_an_unusable_setting_is_one_sentence_of_the_real_command(tmp_path):
    environment = {**os.environ, "MLOPS_HOME": str(tmp_path), "MLOPS_SERVE_PORT": "http"}
    for module in ("mlops_assets.cli", "resources.serving"):
        command = [sys.executable, "-m", module, *(["size"] if module.endswith("cli") else [])]
        done = subprocess.run(command, env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            done.stderr
            == "error: MLOPS_SERVE_PORT='http' is not a port: give a whole number from 1 to 65535\n"
        )


@pytest.fixture
def broken(home, monkeypatch):
    """Lets `mlops size` raise what a test says."""

    def put(error: BaseException) -> None:
        def act(_):
            raise error

        monkeypatch.setattr("mlops_assets.replay.job.print_size", act)

    return put


def test_an_unforeseen_error_is_one_sentence_with_its_traceback_in_a_file(broken, home, capsys):
    broken(KeyError("Bool at redis://me:secret@cache:6379"))
    assert cli.main(["size"]) == 1
    err = capsys.readouterr().err
    log = home / "logs" / LOG
    assert err.startswith("error: KeyError: 'Bool at redis://") and "Traceback" not in err
    assert f"the traceback is in {log}; `--debug` prints it" in err
    kept = log.read_text()
    assert "Traceback" in kept and "KeyError" in kept
    assert "secret" not in kept + err


def test_debug_prints_the_traceback_of_any_error(broken, home, capsys):
    for error in (KeyError("Bool"), SettingsError("no")):
        broken(error)
        assert cli.main(["--debug", "size"]) == 1
        err = capsys.readouterr().err
        assert err.startswith("Traceback") and "error: " in err
    assert not (home / "logs").exists()


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (SystemExit(7), 7)])
def test_what_is_no_error_keeps_its_status(broken, error, status, capsys):
    broken(error)
    try:
        ended = cli.main(["size"])
    except SystemExit as left:
        ended = left.code
    assert ended == status
    assert "error" not in capsys.readouterr().err


def test_a_traceback_that_cannot_be_kept_does_not_hide_the_error(broken, home, capsys):
    (home / "logs").write_text("a file")
    broken(KeyError("Bool"))
    assert cli.main(["size"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: KeyError: 'Bool'") and "the traceback could not be kept" in err


@given(
    number=st.sampled_from(sorted(errno.errorcode)),
    name=st.none() | st.text("abc/ é%{", min_size=1, max_size=9),
)
def test_an_error_of_the_operating_system_names_the_file_and_the_fix(number, name):
    told = sentence(
        OSError(number, os.strerror(number), name) if name else OSError(number, os.strerror(number))
    )
    assert os.strerror(number) in told and "\n" not in told
    assert name is None or name in told
    assert FIXES.get(number, "") in told
