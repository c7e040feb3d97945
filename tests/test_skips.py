"""A skip says what to install, and is a failure where CI=true."""

import os
import subprocess
import sys

import pytest

from resources.settings import PROJECT_ROOT

CASES = """
import pytest

@pytest.fixture
def program():
    pytest.skip("etcd is not installed: apt-get install etcd-server")

def test_that_needs_a_program(program): ...

@pytest.mark.skipif(True, reason="pip install torch")
def test_that_is_marked(): ...

@pytest.mark.xfail
def test_that_is_expected_to_fail():
    assert 0

def test_that_runs(): ...
"""


@pytest.mark.parametrize(
    ("ci", "ends"), [("true", "1 passed, 1 xfailed, 2 errors"), ("", "1 passed, 2 skipped, 1 xfailed")]
)
def test_a_skipped_test_fails_under_ci_only(ci, ends, tmp_path):
    (tmp_path / "test_cases.py").write_text(CASES)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.skips",
        "-p",
        "no:cacheprovider",
        "-rA",
        str(tmp_path),
    ]
    environment = {**os.environ, "CI": ci, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}"], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert ends in done.stdout.splitlines()[-1]
    assert "apt-get install etcd-server" in done.stdout
    assert "pip install torch" in done.stdout
    assert (done.returncode == 0) == (ci == "")
