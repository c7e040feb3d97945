"""A test run in a scratch copy of the tree: green, red by what it found, or no answer."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.mutants.mutant import Mutant, MutantError

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".mlops", "__pycache__", ".pytest_cache", ".ruff_cache")
LONGEST_S = 300.0
CRASHES = re.compile(
    r"(ImportError|ModuleNotFoundError|SyntaxError|IndentationError|NameError|UnboundLocalError)\b"
)
"""How a mutation ends that is no mutation: the code does not even run."""


@dataclass(frozen=True)
class Outcome:
    """How a test ended: `green`, `red`, `crash` (the code does not run), `hangs`, or `broken` (no such test or expression)."""

    verdict: str
    message: str
    seconds: float


class Scratch:
    """A copy of the tree in a folder of its own; the checkout is only read."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.tree, self.report = folder / "tree", folder / "report.xml"
        self.temporary, self.output = folder / "tmp", folder / "output.txt"
        shutil.copytree(root, self.tree, ignore=LEFT_OUT, symlinks=True)

    def try_mutant(self, mutant: Mutant) -> Outcome:
        """Apply a mutant, run its test, and put the file back."""
        file = self.tree / mutant.path
        source = file.read_text()
        try:
            self._write(file, mutant.apply(source))
            return self.run(mutant.test)
        except MutantError as error:
            return Outcome("broken", str(error), 0.0)
        finally:
            self._write(file, source)

    def run(self, test: str) -> Outcome:
        """One pytest process for one test, in this copy."""
        self.report.unlink(missing_ok=True)
        self.temporary.mkdir(exist_ok=True)
        started = time.monotonic()
        code, output = self._pytest(test)
        seconds = time.monotonic() - started
        shutil.rmtree(self.temporary, ignore_errors=True)
        if code is None:
            return Outcome("hangs", f"no end after {LONGEST_S:.0f} s", seconds)
        if code == 0:
            return Outcome("green", "", seconds)
        if code != 1 or not self.report.exists():
            return Outcome("broken", f"pytest ended with {code}: {output[-500:]}", seconds)
        message = failure(self.report)
        return Outcome("crash" if CRASHES.search(message) else "red", message, seconds)

    def _pytest(self, test: str) -> tuple[int | None, str]:
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
        options += [f"--junitxml={self.report}", f"--basetemp={self.temporary / 'pytest'}"]
        command = [sys.executable, "-m", "pytest", *options, test]
        own = {
            "PYTHONPATH": str(self.tree),
            "TMPDIR": str(self.temporary),
            "MLOPS_HOME": str(self.tree / ".mlops"),
        }
        with self.output.open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=self.tree,
                env=os.environ | own,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = child.wait(LONGEST_S)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end(child)
        return code, self.output.read_text(errors="replace")

    @staticmethod
    def _write(file: Path, source: str) -> None:
        """Write a module, and forget what Python compiled of it: a change within a second has the same time."""
        file.write_text(source)
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            compiled.unlink()


def failure(report: Path) -> str:
    """The first line of the first failure in a JUnit report."""
    for case in ElementTree.parse(report).iter("testcase"):
        for problem in (*case.findall("failure"), *case.findall("error")):
            return " ".join(problem.get("message", "").split())[:300]
    return "no failure in the report"


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End the test, and whatever it left running in its session."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    child.wait()
