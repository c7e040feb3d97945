"""How far a reader walks: the files that a deployment and a request enter, and the climbs from one room up to another.

`python -m benchmarks.walk` measures this tree, `--against REVISION` an earlier one beside it. Rooms are those of
docs/architecture.md, from the top down. A file that lay at the top of `mlops_assets` before there were rooms counts as
in the room that it moved to, every other file as in the folder where it lies in its own revision.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.replay_against import BEFORE, NOW, revision_of
from benchmarks.report import save
from resources.settings import PROJECT_ROOT

FLOORS = (
    ("cli",),
    ("commands",),
    ("live",),
    ("replay", "project"),
    ("definitions",),
    ("use_cases", "components", "local"),
    ("assets", "automation"),
    ("kit", "verify", "client"),
    ("stages", "pods"),
    ("promotion",),
    ("ml",),
    ("spec",),
    ("errors",),
)
"""Rooms of `mlops_assets` from the top down: a room uses itself and what is below its floor, not what is beside it.

Only the project and the replay share a floor with each other, because a project opens clocks and a clock's year is one project's.
"""

ROOMS = (*FLOORS, ("resources",), ("feature_repo",))
TAKEN_APART = {
    "partitions": "kit",
    "results": "kit",
    "comparison": "stages",
    "main_job": "use_cases",
    "flights": "use_cases",
    "models": "use_cases",
}
"""Files and folders of earlier releases that git does not see any more, and the rooms that have most of what was in them."""

STEPS = PROJECT_ROOT / "benchmarks" / "walk_steps.py"
FIGURES = {
    "files": "files entered",
    "files_above_resources": "of them in mlops_assets",
    "functions": "functions entered",
    "spec_files": "files in which a function is given the spec",
    "spec_functions": "functions that are given the spec",
    "spec_parameters": "parameters of these together",
    "climbs": "climbs, in the order of entering",
    "calls": "calls from one file into another",
    "calls_up": "of them up to a higher room",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="REVISION", help="an earlier revision, measured as well")
    options = parser.parse_args()
    sides = {NOW: figures_of(walked(PROJECT_ROOT), {})}
    if options.against:
        with revision_of(options.against) as (name, tree):
            sides[BEFORE] = figures_of(walked(tree), moved_since(name)) | {"revision": name}
    print(table_of(sides))
    print(save("walk", sides, ratios(sides) if BEFORE in sides else {}))


def walked(tree: Path) -> dict[str, Any]:
    """The walks of a checkout, from an empty state, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="walk-") as folder:
        out = Path(folder, "walks.json")
        kept = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI")}
        command = [sys.executable, str(STEPS), str(Path(folder, "home")), str(out)]
        done = subprocess.run(
            command, cwd=tree, env={**kept, "PYTHONPATH": str(tree)}, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"the steps failed in {tree}:\n{done.stderr[-3000:]}")
        return json.loads(out.read_text())


def moved_since(revision: str) -> dict[str, str]:
    """Where a revision's files lie today, as far as git sees that they moved."""
    command = ["git", "-C", str(PROJECT_ROOT), "diff", "-M40%", "--name-status", "--diff-filter=R", revision]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {before: now for _, before, now in (line.split("\t") for line in lines)}


def floor_of(file: str, moved: dict[str, str]) -> int:
    """How far down a file's room lies; a spec's file that was taken apart since is known by its name."""
    parts = file.split("/")
    if len(parts) == 2 and parts[0] == "mlops_assets":
        parts = moved.get(file, file).split("/")
        parts[1] = "spec" if parts[1].startswith("spec_") else parts[1].removesuffix(".py")
    name = parts[1] if parts[0] == "mlops_assets" else parts[0]
    room = TAKEN_APART.get(name, name)
    return next(number for number, rooms in enumerate(ROOMS) if room in rooms)


def figures_of(walks: dict[str, Any], moved: dict[str, str]) -> dict[str, Any]:
    """Of each walk its figures and the files in the order in which they are entered."""
    return {name: _figures(walk, lambda file: floor_of(file, moved)) for name, walk in walks.items()}


def _figures(walk: dict[str, Any], floor: Callable[[str], int]) -> dict[str, Any]:
    files: Sequence[str] = walk["files"]
    return {
        "files": len(files),
        "files_above_resources": sum(file.startswith("mlops_assets/") for file in files),
        "functions": walk["functions"],
        "spec_files": len({file for file, _ in walk["given_the_spec"]}),
        "spec_functions": len(walk["given_the_spec"]),
        "spec_parameters": sum(parameters for _, parameters in walk["given_the_spec"]),
        "climbs": sum(floor(after) < floor(before) for before, after in pairwise(files)),
        "calls": len(walk["calls"]),
        "calls_up": sum(floor(callee) < floor(caller) for caller, callee in walk["calls"]),
        "in_order": list(files),
        "up": sorted(f"{a} calls {b}" for a, b in walk["calls"] if floor(b) < floor(a)),
    }


def ratios(sides: dict[str, Any]) -> dict[str, float]:
    """Now to before, for every figure of every walk that was not zero."""
    return {
        f"{walk}_{name}": round(sides[NOW][walk][name] / sides[BEFORE][walk][name], 3)
        for walk in ("deployment", "request")
        for name in FIGURES
        if sides[BEFORE][walk][name]
    }


def table_of(sides: dict[str, Any]) -> str:
    """A line for each figure of each walk."""
    names = sorted(sides)
    lines = [f"{'':<58}" + "".join(f"{name:>10}" for name in names)]
    for walk in ("deployment", "request"):
        for name, words in FIGURES.items():
            values = "".join(f"{sides[side][walk][name]:>10}" for side in names)
            lines.append(f"{walk + ': ' + words:<58}{values}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
