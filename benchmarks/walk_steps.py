"""The walk itself: which of our files a deployment and a request enter, and who calls whom, told by the interpreter.

Run as a file, with a checkout as working directory: what it imports of the platform is that checkout's, of this revision
or of an earlier one. Nothing that runs while a module is imported counts.
"""

import importlib
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGES = ("mlops_assets", "resources", "feature_repo")
THROUGH = "2024-01-22"
"""The first week at whose end the pumps have the days that a training asks for."""

FUNCTION = 0x01
"""`CO_OPTIMIZED`: the code of a function, not of a module or the body of a class."""

SPEC = "ModelSpec"
IMPORT = "<frozen importlib._bootstrap>"
NAMES = {
    "Clock": ("mlops_assets.replay.clock", "mlops_assets.replay"),
    "Progress": ("mlops_assets.replay.clock", "mlops_assets.replay"),
    "week_names": ("mlops_assets.spec.weeks", "mlops_assets.partitions"),
    "code_of": ("mlops_assets.stages.served", "mlops_assets.served"),
    "http_application": ("resources.serving.hosting", "resources.serving.ray_serve", "resources.serving"),
}
"""Where a revision has what the steps need: the first module that has the name."""


def named(name: str) -> Any:
    """What the checkout calls by this name."""
    for module in NAMES[name]:
        try:
            return getattr(importlib.import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise SystemExit(
        f"none of {', '.join(NAMES[name])} in {Path.cwd()} has {name}: name its module in walk_steps.py"
    )


class Walk:
    """Files in the order in which they are first entered, functions, and calls from one file into another.

    Threads that were there before are left out: what they do is no part of the walk.
    """

    def __init__(self, root: Path) -> None:
        self.root = f"{root}/"
        self.files: dict[str, None] = {}
        self.functions: set[tuple[str, int]] = set()
        self.calls: dict[tuple[str, str], None] = {}
        self.given: dict[tuple[str, int], int] = {}
        """Functions that are given the spec, each with the number of its parameters."""

    def of(self, work: Callable[[], Any]) -> dict[str, Any]:
        """What a piece of work enters."""
        before = sys.getprofile()
        threading.setprofile(self._seen)
        sys.setprofile(self._seen)
        try:
            work()
        finally:
            sys.setprofile(before)
            threading.setprofile(None)
        return {
            "files": list(self.files),
            "functions": len(self.functions),
            "calls": [list(pair) for pair in self.calls],
            "given_the_spec": [[file, parameters] for (file, _), parameters in self.given.items()],
        }

    def _seen(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not frame.f_code.co_flags & FUNCTION or not (file := self._ours(frame)):
            return
        importing, caller = _behind(frame, self._ours)
        if importing:
            return
        self.files.setdefault(file)
        function = (file, frame.f_code.co_firstlineno)
        self.functions.add(function)
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount]
        if any(type(frame.f_locals[name]).__name__ == SPEC for name in names if name in frame.f_locals):
            self.given[function] = len(names)
        if caller and caller != file:
            self.calls.setdefault((caller, file))

    def _ours(self, frame: FrameType) -> str | None:
        name = frame.f_code.co_filename
        part = name.removeprefix(self.root)
        return part if part != name and part.startswith(PACKAGES) else None


def _behind(frame: FrameType, ours: Callable[[FrameType], str | None]) -> tuple[bool, str | None]:
    """Whether a module is being imported further up the stack, and the nearest file of ours there."""
    caller, above = None, frame.f_back
    while above is not None:
        if above.f_code.co_filename == IMPORT:
            return True, None
        caller = caller or ours(above)
        above = above.f_back
    return False, caller


def walks(home: Path) -> dict[str, Any]:
    """The walks of a deployment and of a request, over six weeks of pumps replayed into `home` before.

    Each is done once before it counts, so that what is made once for a process is there.
    """
    os.environ["MLOPS_HOME"], os.environ["MLOPS_FEATURE_REPO"] = str(home), "tests.pumps.repo"
    import dagster as dg

    from resources.local import local_resources
    from resources.settings import settings
    from tests.pumps.project import WEEKS, definitions

    parts = local_resources(settings())
    defs = definitions(parts)
    weeks = [week for week in _names(WEEKS) if week <= THROUGH]
    (home / "dagster").mkdir(parents=True)
    with dg.instance_for_test(temp_dir=str(home / "dagster")) as instance:
        clock = named("Clock")(defs, instance, parts["lake"], ["score_pump_stops_when_features_arrive"])
        clock.replay(_replayed(clock), weeks, named("Progress")(len(weeks)))
        _retrain(defs, instance, ["model", "evaluation"])
        deployed = Walk(Path.cwd()).of(lambda: _retrain(defs, instance, ["deployment"]))
    return {"deployment": deployed, "request": _request()}


def _replayed(clock: Any) -> str:
    """What a replay is told to ingest: a use case, in earlier releases a job."""
    return "pumps" if "use_case" in inspect.signature(clock.replay).parameters else "ingest_week"


def _names(weeks: Any) -> list[str]:
    """The names of all weeks, in this release and in earlier ones."""
    return weeks.names() if hasattr(weeks, "names") else named("week_names")(weeks)


def _retrain(defs: Any, instance: Any, parts: Sequence[str]) -> None:
    """Some of the assets of a retraining, in this process."""
    import dagster as dg

    keys = [dg.AssetKey(["pump_stops", part]) for part in parts]
    job = defs.get_repository_def().get_job("pump_stops_retrain")
    assert job.execute_in_process(instance=instance, asset_selection=keys).success


def declared(model: str) -> Any:
    """What code serves the pumps, as a repository with their spec says it."""
    from tests.pumps.project import SPEC

    return named("code_of")(SPEC) if model == SPEC.name else None


def _request() -> dict[str, Any]:
    """One request to the shipped application; the one before it has made the plans of the online store."""
    from fastapi.testclient import TestClient

    from resources.settings import settings

    module, _, name = settings().declared.partition(":")
    setattr(importlib.import_module(module), name, declared)
    client = TestClient(named("http_application")(settings()), base_url="http://localhost")

    def ask() -> None:
        answer = client.post("/predict/pump_stops", json={"pump": "pump-01"})
        assert answer.status_code == 200 and 0 < answer.json()["probability"] < 1, answer.text

    ask()
    return Walk(Path.cwd()).of(ask)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(walks(Path(sys.argv[1]))))
    sys.stdout.flush()
    os._exit(0)  # threads of the endpoint follow the records for ever
