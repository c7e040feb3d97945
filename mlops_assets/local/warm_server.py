"""A warm server: loads the code of one location once, then forks a process for each run that it is asked for.

It opens nothing that a fork would share: no storage, no channel, no pool of threads. Where the code itself started
threads, which a fork would cut off in the middle of what they hold, each run is a new process instead, as by Dagster's own launcher.
"""

import gc
import importlib
import json
import logging
import os
import random
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from dagster._core.instance import DagsterInstance, InstanceRef
from dagster._core.origin import RepositoryPythonOrigin
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._serdes import deserialize_value
from dagster._utils import get_run_crash_explanation
from dagster._utils.hosted_user_process import recon_repository_from_origin
from dagster._utils.interrupts import capture_interrupts

from mlops_assets.local.loaded_code import Code
from mlops_assets.local.worker import Worker

LOG = logging.getLogger("dagster.warm_server")
LOOK_EVERY_S = 0.2
GRACE_S = 15.0
"""How long a run may take to end by itself once the process that launched it is gone."""

HARMLESS = ("jemalloc_bg_thd", "polars-ooc-clea")
"""Threads of libraries that have prepared for a fork, or that nobody waits for."""

TOLD_TO_ASK = b"1"


def main(arguments: Sequence[str]) -> None:
    """`serve REQUESTS ALIVE` or, for one run, `run ALIVE GATE RUN`: open files, handed over by number."""
    if arguments[0] == "run":
        alive, gate, run = arguments[1:]
        work(json.loads(run), int(alive), int(gate))
        return
    requests, alive = map(int, arguments[1:])
    Server(socket.socket(fileno=requests), alive).serve()


@dataclass
class Server:
    """The side of a warm server that loads, forks and collects."""

    requests: socket.socket
    alive: int
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    code: Code | None = None
    forks: bool = True

    def serve(self) -> None:
        """Load what the first request names; then take runs until whoever asks is gone, and its last run has ended."""
        self._answer(self._load(self._request() or {}))
        connected = True
        while connected or self.runs:
            wait_for = [self.alive, *([self.requests] if connected else [])]
            ready = select.select(wait_for, [], [], LOOK_EVERY_S if self.runs else None)[0]
            self._collect()
            if self.alive in ready:
                self._end()
                return
            if self.requests in ready:
                request = self._request()
                connected = request is not None
                if request:
                    self._take(request)

    def _request(self) -> dict[str, Any] | None:
        line = b""
        while not line.endswith(b"\n"):
            part = self.requests.recv(65536)
            if not part:
                return None
            line += part
        return json.loads(line)

    def _answer(self, answer: Mapping[str, Any]) -> None:
        self.requests.sendall(json.dumps(answer).encode() + b"\n")

    def _load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            preload(request["preload"])
            recon_repository_from_origin(
                deserialize_value(request["origin"], RepositoryPythonOrigin)
            ).get_definition()
        except BaseException:  # noqa: BLE001
            return {"error": traceback.format_exc()}
        self.code = Code.loaded()
        if others := other_threads():
            self.forks = False
            LOG.warning(
                "the code started threads when it was loaded (%s), so each run is a process of its own that loads it again",
                ", ".join(others),
            )
        gc.collect()
        gc.freeze()
        return {"ready": os.getpid()}

    def _take(self, request: dict[str, Any]) -> None:
        """Fork a run, and open its gate once the answer is given: without an answer, none has begun."""
        if self.code is None or self.code.changed():
            self._answer({"changed": "files of the code"})
            return
        entrance, gate = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(gate)
            self.requests.close()
            self._become(request, entrance)
        os.close(entrance)
        self.runs[pid] = request
        try:
            self._answer({"pid": pid})
            os.write(gate, TOLD_TO_ASK)
        finally:
            os.close(gate)

    def _become(self, request: dict[str, Any], entrance: int) -> NoReturn:
        if not self.forks:
            for number in (self.alive, entrance):
                os.set_inheritable(number, True)
            command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "run"]
            os.execv(sys.executable, [*command, str(self.alive), str(entrance), json.dumps(request)])
        status = 1
        try:
            work(request, self.alive, entrance)
            status = 0
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        sys.exit(status)

    def _collect(self) -> None:
        """Collect what ended; a run's process that ended otherwise than by itself is told of by one that opens the storage."""
        while self.runs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            request = self.runs.pop(pid, {})
            code = os.waitstatus_to_exitcode(status)
            if code and "run" in request:
                self._tell(request, code)

    def _tell(self, request: dict[str, Any], code: int) -> None:
        pid = os.fork()
        if pid:
            self.runs[pid] = {"about": request["run"]}
            return
        try:
            self.requests.close()
            report_crash(request, code)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        sys.exit(0)

    def _end(self) -> None:
        """Whoever launched the runs is gone: they were told so as well, and get some time to say how far they came."""
        until = time.monotonic() + GRACE_S + 2 * LOOK_EVERY_S
        while self.runs and time.monotonic() < until:
            self._collect()
            time.sleep(LOOK_EVERY_S / 4)
        for pid in self.runs:
            os.kill(pid, signal.SIGKILL)


def preload(modules: Iterable[str]) -> None:
    """Import libraries ahead; one that is not installed is no error, since no run can need it."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            LOG.info("%s is not loaded ahead: %s", name, error)


def other_threads() -> list[str]:
    """Threads that a fork would cut off; those of OpenBLAS end before a fork and come back, so one is tried first."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    named = {t.native_id: t.name for t in threading.enumerate() if t is not threading.main_thread()}
    tasks = Path("/proc/self/task")
    if tasks.is_dir():
        here = {int(task.name): (task / "comm").read_text().strip() for task in tasks.iterdir()}
        here.pop(os.getpid(), None)
        return sorted(named.get(n, name) for n, name in here.items() if name not in HARMLESS)
    return sorted(named.values())


def work(request: Mapping[str, Any], alive: int, entrance: int) -> None:
    """Execute a run in this process, once it was told to begin."""
    if os.read(entrance, 1) != TOLD_TO_ASK:
        return
    os.close(entrance)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _reseed()
    threading.Thread(target=_end_with_launcher, args=(alive,), name="launcher-lives", daemon=True).start()
    with capture_interrupts(), _instance(request) as instance:
        execute(instance, request["run"])


def execute(instance: DagsterInstance, run_id: str) -> None:
    """Name this process in the run's tags, and execute the run; one that was canceled in the meantime does not begin."""
    from dagster._cli.api import _execute_run_command_body

    instance.add_run_tags(run_id, Worker.here().tag())
    run = instance.get_run_by_id(run_id)
    if run and run.status == DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "Canceled before it began.")
        return
    _execute_run_command_body(run_id, instance, lambda event: None, set_exit_code_on_failure=False)


def report_crash(request: Mapping[str, Any], code: int) -> None:
    """Say of a run that has not finished that its process is gone, and how it ended."""
    with _instance(request) as instance:
        run = instance.get_run_by_id(request["run"])
        if run and not run.is_finished:
            explanation = get_run_crash_explanation(f"Run execution process for {run.run_id}", code)
            instance.report_engine_event(explanation, run)
            instance.report_run_failed(run)


def _instance(request: Mapping[str, Any]) -> DagsterInstance:
    return DagsterInstance.from_ref(deserialize_value(request["instance"], InstanceRef))


def _reseed() -> None:
    """Two runs of one server draw different numbers."""
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _end_with_launcher(alive: int) -> None:
    """Interrupt this run when the process that launched it is gone, and end it where that does not help."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    main(sys.argv[1:])
