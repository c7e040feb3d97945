"""What one worker made is not made by another, and what was left half made is made anew."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import run

import pytest

from resources.settings import PROJECT_ROOT
from tests.workers import fill_once

FILL = """
import sys, time
from pathlib import Path
from tests.workers import fill_once

def fill(folder):
    time.sleep(0.3)
    with (folder / "fills").open("a") as file:
        file.write("filled\\n")

print((fill_once(Path(sys.argv[1]), fill) / "fills").read_text(), end="")
"""


def asked_by_another_process(folder: Path) -> str:
    command = [sys.executable, "-c", FILL, str(folder)]
    return run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout


def test_processes_that_ask_for_one_folder_at_once_get_one_that_was_filled_once(tmp_path):
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(asked_by_another_process, [tmp_path / "state"] * 3))
    assert answers == ["filled\n"] * 3


def test_a_folder_that_was_left_half_filled_is_emptied_and_filled_anew(tmp_path):
    def broken(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        fill_once(tmp_path / "state", broken)
    state = fill_once(tmp_path / "state", lambda folder: (folder / "whole").touch())
    assert [path.name for path in state.iterdir()] == ["whole"]
