"""Generated cases are the same whatever the process has loaded before."""

import subprocess
import sys
from pathlib import Path

import pytest

from resources.settings import PROJECT_ROOT

TEST = """
import sys
from hypothesis import given, strategies as st

{loaded}

@given(st.text(), st.integers(), st.floats())
def test_any(text, whole, number):
    print((text, whole, number))
"""


def drawn(folder: Path, loaded: str, *options: str) -> str:
    """What a test was given, in a process that has loaded some modules."""
    file = folder / "tests" / "test_any.py"
    file.parent.mkdir(parents=True)
    file.write_text(TEST.format(loaded=loaded))
    conftest = PROJECT_ROOT / "tests" / "conftest.py"
    (file.parent / "conftest.py").write_text(conftest.read_text())
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "-n0",
        "-p",
        "no:cacheprovider",
        *options,
        str(file),
    ]
    run = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return "\n".join(line for line in run.stdout.splitlines() if line.startswith("("))


@pytest.mark.parametrize("profile, same", [("steady", True), ("fuzz", False)])
def test_cases_do_not_depend_on_what_is_loaded_except_where_new_ones_are_looked_for(tmp_path, profile, same):
    options = f"--hypothesis-profile={profile}", "--hypothesis-seed=1"
    nothing = drawn(tmp_path / "nothing", "", *options)
    much = drawn(tmp_path / "much", "import mlops_assets.spec.model, tests.moment_texts", *options)
    assert nothing.count("\n") > 20
    assert (nothing == much) is same
