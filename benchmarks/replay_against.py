"""The whole of `mlops run` beside that of an earlier revision: the same environment, runs in turns, each from an empty state.

What counts is the CPU time of the process with all its children. What both leave is compared too: the table of the
weeks, the content hash of every partition of the lake, and the bytes of every model.
"""

import hashlib
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resources.settings import PROJECT_ROOT

PACKAGES = ("mlops_assets", "resources", "feature_repo", "benchmarks")
NOW, BEFORE = "now", "before"
MOST_NAMED = 20
MODELS = {".ubj", ".lgb", ".safetensors", ".bin"}
"""Endings of the files that trainers write."""

OUTCOME = "table of the replay"
TABLES = ("*/partitions.csv", "*/weeks.csv", "weeks.csv")
"""Where the table of a replay lies, and where earlier revisions left it."""

RECORDS = ("*/attempts/*.json", "*/comparison.json")
"""Records of the lake that repeat to the byte: verdicts, and what the policies came to."""

STAGE = re.compile(r"(?P<stage>\S.*?)\s{2,}(?P<seconds>\d+\.\d)\s+\d+%")


def against(revision: str, through: str | None, rounds: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Figures and the ratio of CPU, now to the revision; each round begins with the other side."""
    command = ["-m", "mlops_assets.cli", "run", *(["--through", through] if through else [])]
    runs: dict[str, list[dict[str, Any]]] = {BEFORE: [], NOW: []}
    with revision_of(revision) as (name, tree):
        trees = {BEFORE: tree, NOW: PROJECT_ROOT}
        for number in range(rounds):
            for side in sorted(trees, reverse=bool(number % 2)):
                runs[side].append(replayed(trees[side], command))
    spent = {side: statistics.median(run["cpu_seconds"] for run in made) for side, made in runs.items()}
    differ = differences(runs[BEFORE][0].pop("outcome"), runs[NOW][0].pop("outcome"))
    for run in (*runs[BEFORE][1:], *runs[NOW][1:]):
        run.pop("outcome")
    figures = {"revision": name, "through": through, "differ": differ, "runs": runs}
    return figures, {"cpu_of_before": round(spent[NOW] / spent[BEFORE], 3)}


@contextmanager
def revision_of(revision: str) -> Iterator[tuple[str, Path]]:
    """The full name of a revision, and a checkout of it in a temporary folder, which is removed in the end."""
    git = ["git", "-C", str(PROJECT_ROOT)]
    asked = [*git, "rev-parse", "--verify", f"{revision}^{{commit}}"]
    name = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="replay-revision-") as folder:
        tree = Path(folder, "tree")
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(tree), name], check=True)
        try:
            yield name, tree
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(tree)], check=True)


def replayed(tree: Path, command: list[str]) -> dict[str, Any]:
    """What one run of a checkout took from an empty state, its stages, and what it left."""
    with tempfile.TemporaryDirectory(prefix="replay-against-") as home:
        environment = {**os.environ, "MLOPS_HOME": home, "PYTHONPATH": str(tree)}
        _prepared(tree, environment)
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        text = _echoed([sys.executable, *command], tree, environment)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
            "wall_seconds": round(wall, 1),
            "stage_seconds": {found["stage"]: float(found["seconds"]) for found in STAGE.finditer(text)},
            "outcome": outcome(Path(home)),
        }


def _prepared(tree: Path, environment: dict[str, str]) -> None:
    """Compile a checkout's own code, which a first run would do, and make sure that it is what will run."""
    folders = [str(tree / package) for package in PACKAGES]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True)
    told = [sys.executable, "-c", "import mlops_assets; print(mlops_assets.__file__)"]
    where = subprocess.run(told, check=True, cwd=tree, env=environment, capture_output=True, text=True)
    if not Path(where.stdout.strip()).is_relative_to(tree):
        raise SystemExit(f"{where.stdout.strip()} would run instead of the code in {tree}")


def _echoed(command: list[str], tree: Path, environment: dict[str, str]) -> str:
    """The output of a command, which is shown as it comes."""
    lines = []
    with subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode} in {tree}")
    return "".join(lines)


def outcome(home: Path) -> dict[str, str]:
    """What a replay left, as hashes: the table of the weeks, each partition of the lake, each verdict, each model file."""
    lake = home / "lake"
    manifests = [json.loads(path.read_text()) for path in sorted(lake.rglob("_manifests/*.json"))]
    partitions = {f"{one['table']}@{one['partition']}": one["sha256"] for one in manifests}
    records = {str(path.relative_to(lake)): _sha256(path) for name in RECORDS for path in lake.glob(name)}
    files = [path for path in (home / "mlflow" / "artifacts").rglob("model.*") if path.suffix in MODELS]
    models = {f"model {digest}": digest for digest in map(_sha256, files)}
    tables = {OUTCOME: _outcome_table(home / "replay")}
    return {**tables, **partitions, **records, **models}


def _outcome_table(folder: Path) -> str:
    """The hash of the table of a replay by what its rows say: where it lies and its first column had other names before."""
    found = [path for name in TABLES for path in sorted(folder.glob(name))]
    if len(found) != 1:
        raise SystemExit(
            f"{folder} has {len(found)} tables of a replay, expected is one: {', '.join(TABLES)}"
        )
    first, _, rows = found[0].read_text().partition("\n")
    _, *columns = first.split(",")
    return hashlib.sha256("\n".join([*columns, rows]).encode()).hexdigest()


def differences(before: dict[str, str], now: dict[str, str]) -> dict[str, Any]:
    """How many of the things that either side left are not the same on the other, and the first of them by name."""
    names = sorted(before.keys() | now.keys())
    other = [name for name in names if before.get(name) != now.get(name)]
    return {"compared": len(names), "different": len(other), "first": other[:MOST_NAMED]}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def table_of(figures: dict[str, Any], ratio: float) -> str:
    """The runs side by side: CPU and wall seconds, and the wall seconds of every stage of the first of each."""
    runs = figures["runs"]
    lines = [f"{'':<28}{BEFORE:>10}{NOW:>10}"]
    for what in ("cpu_seconds", "wall_seconds"):
        both = [statistics.median(run[what] for run in runs[side]) for side in (BEFORE, NOW)]
        lines.append(f"{what.replace('_', ' '):<28}" + "".join(f"{value:>10.1f}" for value in both))
    stages = [runs[side][0]["stage_seconds"] for side in (BEFORE, NOW)]
    for stage in dict.fromkeys([*stages[0], *stages[1]]):
        lines.append(f"{stage:<28}" + "".join(f"{one.get(stage, 0.0):>10.1f}" for one in stages))
    differ = figures["differ"]
    lines.append(
        f"{differ['different']} of {differ['compared']} contents are different: {', '.join(differ['first'])}"
    )
    return "\n".join(
        [*lines, f"CPU of the revision {figures['revision'][:12]} that is needed now: {ratio:.2f}"]
    )
