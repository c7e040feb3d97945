"""What runs and what only develops are pinned apart, with hashes, to the same versions, and no file names an index."""

import re
import subprocess

import pytest

from resources.settings import PROJECT_ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")


def entries(name: str) -> dict[str, set[str]]:
    """Each pinned package with its condition, and the hashes that it may have."""
    text = (PROJECT_ROOT / name).read_text()
    entry = re.compile(r"^(\S+==[^\\\n]*?) \\\n((?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE)
    return {pin: set(re.findall(r"sha256:[0-9a-f]{64}", hashes)) for pin, hashes in entry.findall(text)}


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_one_version_and_hashes_and_no_index_is_named(name):
    text = (PROJECT_ROOT / name).read_text()
    pins = entries(name)
    assert len(pins) == len(re.findall(r"^\S+==", text, re.MULTILINE)) > 100
    assert [pin for pin, hashes in pins.items() if not hashes] == []
    assert "://" not in text and "--find-links" not in text
    assert not (PROJECT_ROOT / "uv.lock").exists()


def test_what_develops_has_all_that_runs_in_the_same_versions_and_with_the_same_hashes():
    """More extras of a package are more packages beside it, and a wider condition is more machines: not another one."""
    run, develop = (
        {re.sub(r"\[.*?\]| ;.*", "", pin): hashes for pin, hashes in entries(name).items()} for name in LOCKS
    )
    assert {pin: hashes for pin, hashes in develop.items() if pin in run} == run


def test_what_runs_has_no_tool_for_tests_lint_or_types():
    names = {re.split(r"[\[=]", pin)[0] for pin in entries("requirements.lock")}
    tools = {"pytest", "hypothesis", "ruff", "pyrefly", "moto", "playwright", "schemathesis", "duckdb"}
    assert names & tools == set()
    assert {"uv", "setuptools", "dagster"} <= names


@pytest.mark.parametrize(
    ("target", "installs"),
    [
        ("run", ["requirements.lock"]),
        ("dev", ["requirements.lock"]),
        ("lint", list(LOCKS)),
        ("acceptance", list(LOCKS)),
    ],
)
def test_a_target_installs_what_it_needs_by_the_pinned_uv_with_hashes(target, installs, tmp_path):
    command = ["make", "--dry-run", f"VENV={tmp_path}/venv", target]
    plan = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"uv pip install .*--require-hashes -r (\S+)", plan) == installs
    (first,) = re.findall(r"-m pip install .*", plan)
    assert "--require-hashes" in first and first.endswith("uv.txt")
