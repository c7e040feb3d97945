"""A small code location under a real `dagster dev` whose runs are forked of a warm server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from resources.settings import PROJECT_ROOT
from tests.acceptance.dagster_server import Dagster, dagster_dev, wait

JOBS = """
import os, random, sys, time
from pathlib import Path
import dagster as dg
import tiny_version

HERE = Path(__file__).parent
LOADED = str(os.getpid())

@dg.op
def first(context) -> int:
    context.log.info(f"version {tiny_version.VERSION}, loaded by {LOADED}, run by {os.getpid()}, {random.random()}")
    print("said by a step")
    return 1

@dg.op
def second(one: int) -> int:
    return one

@dg.op
def third(one: int) -> None:
    return None

@dg.job(executor_def=dg.in_process_executor)
def light():
    third(second(first()))

@dg.op
def raises() -> None:
    raise ValueError("burnt down")

@dg.job(executor_def=dg.in_process_executor)
def fails():
    raises()

@dg.op
def waits_for_a_file(context) -> None:
    (HERE / f".{context.run_id}").write_text(str(os.getpid()))
    (HERE / f".{context.run_id}").rename(HERE / f"started-{context.run_id}")
    while not (HERE / "go-on").exists():
        time.sleep(0.05)

@dg.job(executor_def=dg.in_process_executor)
def waits():
    waits_for_a_file()

defs = dg.Definitions(jobs=[light, fails, waits])
"""
THREADED = "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,), daemon=True).start()\n"
INSTANCE = """
telemetry: {enabled: false}
run_launcher: {module: mlops_assets.local.launcher, class: WarmRunLauncher, config: {preload: [no_such_library]}}
concurrency: {runs: {max_concurrent_runs: 2}}
run_retries: {enabled: true, max_retries: 0}
run_monitoring: {enabled: true, poll_interval_seconds: 1}
"""


class Warm(Dagster):
    """Its API, its folder and its processes."""

    folder: Path

    def servers(self) -> list[psutil.Process]:
        """The warm servers that live, and no runs of theirs."""
        return [p for p in self.processes() if "serve" in p.cmdline() and not _is_run(p)]

    def processes(self) -> list[psutil.Process]:
        """Everything that was started here, told by its environment; zombies have none, and count by their parents."""
        return [p for p in psutil.process_iter() if _environment(p).get("WARM_RUNS") == str(self.folder)]

    def worker(self, run: str) -> psutil.Process:
        """The process of a run that has begun."""
        wait(lambda: (self.folder / f"started-{run}").exists(), f"run {run} begins", 120)
        return psutil.Process(int((self.folder / f"started-{run}").read_text()))

    def zombies(self) -> list[psutil.Process]:
        """What was forked of a warm server, ended, and was not collected."""
        children = [child for server in self.servers() for child in server.children()]
        return [child for child in children if _status(child) == psutil.STATUS_ZOMBIE]

    def begun(self, run: str) -> bool:
        return (self.folder / f"started-{run}").exists()

    def told(self, run: str) -> str:
        return "\n".join(self.logs(run))


@contextmanager
def warm_dev(folder: Path, port: int, instance: str = INSTANCE, jobs: str = JOBS) -> Iterator[Warm]:
    """A running `dagster dev` on a folder of its own."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(instance)
    (folder / "tiny_jobs.py").write_text(jobs)
    (folder / "tiny_version.py").write_text("VERSION = 1\n")
    (folder / "workspace.yaml").write_text(
        "load_from: [{python_module: {module_name: tiny_jobs, working_directory: ., location_name: mlops_assets}}]\n"
    )
    path = os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")]))
    own = {"DAGSTER_HOME": str(home), "PYTHONPATH": path, "WARM_RUNS": str(folder)}
    with dagster_dev(port, {**os.environ, **own}, folder / "dagster.log", folder) as dagster:
        warm = Warm(dagster.address)
        warm.folder = folder
        yield warm


def lives(process: psutil.Process) -> bool:
    return _status(process) not in ("gone", psutil.STATUS_ZOMBIE)


def _is_run(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and "serve" in parent.cmdline()


def _status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return "gone"


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
