"""What one worker made is not made by another, what was left half made is made anew, and the longest files begin."""

import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import run
from types import SimpleNamespace
from typing import Any

import pytest

from resources.settings import PROJECT_ROOT
from tests.workers import LONGEST_FIRST, REPLAYED, TOGETHER, fill_once, longest_first

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


def test_the_longest_files_begin_and_then_those_with_the_most_tests():
    longest, other = LONGEST_FIRST[:2]
    files = ["tests/test_one.py", "tests/test_two.py", "tests/test_two.py", other, longest]
    items: list[Any] = [SimpleNamespace(nodeid=f"{file}::test_{n}") for n, file in enumerate(files)]
    longest_first(items)
    assert [item.nodeid.partition("::")[0] for item in items] == [longest, other, *files[1:3], files[0]]
    assert [item.nodeid[-1] for item in items] == ["4", "3", "1", "2", "0"]


def test_every_file_that_has_a_place_of_its_own_exists():
    named = {*LONGEST_FIRST, *REPLAYED, *TOGETHER}
    assert [file for file in named if not (PROJECT_ROOT / file).exists()] == []


def test_every_test_that_begins_from_the_replayed_state_is_taken_by_one_worker():
    files = {
        file.relative_to(PROJECT_ROOT).as_posix(): file
        for file in (PROJECT_ROOT / "tests").rglob("test_*.py")
    }
    begins = {name for name, file in files.items() if re.search(r"\b(small|loans)_home\b", file.read_text())}
    assert begins - {"tests/test_workers.py"} == REPLAYED


def test_no_two_files_of_tests_are_imported_by_one_name():
    roots = [
        file
        for file in (PROJECT_ROOT / "tests").rglob("test_*.py")
        if not (file.parent / "__init__.py").exists()
    ]
    many = Counter(file.name for file in roots)
    assert [name for name, times in many.items() if times > 1] == []
