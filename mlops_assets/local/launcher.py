"""Dagster's run launcher of one machine: each run is forked of a warm process that imported its code and libraries once.

A run that starts as a new process spends 8 CPU-seconds on imports before its first step. Nothing listens: the process
that launches runs (the daemon) holds a pair of sockets with its warm server, and both ends are in no folder and on no
network. Whoever cancels a run or looks after it needs no server: the run's tag names its process.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterLaunchFailedError
from dagster._core.instance import DagsterInstance
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from mlops_assets.local.worker import LAUNCHER_TAG, Worker

LOAD_TIMEOUT_S = 300.0
TOLD_WITHIN_S = 15.0
"""How long a server may take to say how a run's process ended, before that is told without knowing by what."""

SERVER = "mlops_assets.local.warm_server"


class ServerGoneError(Exception):
    """A warm server ended, or does not answer, before it took a run."""


class WarmServer:
    """A process that has the code of one location loaded, as this process sees it; ends when this process does."""

    def __init__(self, python: str, code: str, environment: Mapping[str, str]):
        self.code = code
        self._requests, theirs = socket.socketpair()
        alive, self._lifeline = os.pipe()
        self._requests.settimeout(LOAD_TIMEOUT_S)
        command = [python, "-m", SERVER, "serve", str(theirs.fileno()), str(alive)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), alive),
            env=dict(environment),
            start_new_session=True,
        )
        theirs.close()
        os.close(alive)
        threading.Thread(target=self._collect, name="warm-server", daemon=True).start()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request; raises ServerGoneError where none comes, and then nothing was done."""
        try:
            self._requests.sendall(json.dumps(request).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = self._requests.recv(65536)
                if not part:
                    raise ServerGoneError(f"the warm server (pid {self.process.pid}) ended")
                answer += part
        except OSError as error:
            self.process.kill()
            raise ServerGoneError(
                f"the warm server (pid {self.process.pid}) gave no answer: {error}"
            ) from error
        return json.loads(answer)

    def retire(self) -> None:
        """Take no more runs; it ends with the last one that it has."""
        self._requests.close()

    def end(self) -> None:
        """Let go of the line by which the server and its runs know that this process lives: they end."""
        self.retire()
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
        self._lifeline = -1

    def _collect(self) -> None:
        self.process.wait()


class WarmRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Forks each run of a warm server, one a code location; a server whose code is not the newest is replaced."""

    def __init__(
        self,
        preload: Sequence[str] = (),
        home: str = "",
        inst_data: ConfigurableClassData | None = None,
    ):
        self._inst_data = inst_data
        self._preload, self._home = list(preload), home
        self._servers: dict[str, WarmServer] = {}
        self._old: list[WarmServer] = []
        self._lock = threading.Lock()
        self._gone_since: dict[str, float] = {}
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> Any:
        """`preload`: modules that runs import inside of functions, loaded ahead; those that are not installed are left out.

        `home`: the state folder of runs, where it is another one than that of the process which launches them.
        """
        return {
            "preload": dg.Field([str], is_required=False, default_value=[]),
            "home": dg.Field(dg.StringSource, is_required=False, default_value=""),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "WarmRunLauncher":
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Have the run forked; raises DagsterLaunchFailedError with the error where the code does not load."""
        run = context.dagster_run
        if context.workspace is None or run.remote_job_origin is None or run.job_code_origin is None:
            raise DagsterLaunchFailedError(f"run {run.run_id} names no code location that could be loaded")
        self._instance.add_run_tags(run.run_id, Worker.here().tag(LAUNCHER_TAG))
        name = run.remote_job_origin.location_name
        client = getattr(context.workspace.get_code_location(name), "client", None)
        origin = serialize_value(run.job_code_origin.repository_origin)
        code = f"{client.get_server_id() if client else ''} {origin}"
        python = run.job_code_origin.repository_origin.executable_path
        request = {"run": run.run_id, "instance": serialize_value(self._instance.get_ref())}
        with self._lock:
            if not any(self._taken(name, code, python, origin, request, last) for last in (False, True)):
                raise DagsterLaunchFailedError(
                    f"the code of {name} changes while it is loaded: launch it again"
                )

    def _taken(
        self, name: str, code: str, python: str, origin: str, request: Mapping[str, str], last: bool
    ) -> bool:
        """Whether a server took the run; where its code is old or it is gone, the next try starts another one."""
        try:
            if "pid" in self._server(name, code, python, origin).ask(request):
                return True
        except ServerGoneError as error:
            if last:
                raise DagsterLaunchFailedError(str(error)) from error
        self._retire(name)
        return False

    def _server(self, name: str, code: str, python: str, origin: str) -> WarmServer:
        """The server that has this code, started where there is none yet."""
        there = self._servers.get(name)
        if there and there.code == code:
            return there
        self._retire(name)
        server = WarmServer(python, code, self._environment(name))
        self._servers[name] = server
        loaded = server.ask({"origin": origin, "preload": self._preload})
        if "error" in loaded:
            self._retire(name)
            raise DagsterLaunchFailedError(f"the code of {name} does not load:\n{loaded['error']}")
        return server

    def _environment(self, name: str) -> dict[str, str]:
        """This process's, with the variables of the project's .env file."""
        loader = self._instance._secrets_loader
        own = {"MLOPS_HOME": self._home} if self._home else {}
        return {**os.environ, **(loader.get_secrets_for_environment(name) if loader else {}), **own}

    def _retire(self, name: str) -> None:
        self._old = [server for server in self._old if server.process.poll() is None]
        if server := self._servers.pop(name, None):
            server.retire()
            self._old.append(server)

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run's process, which then reports the run as canceled; one that has yet to begin looks before it does.

        False where there is nothing to interrupt, as with a run inside of a replay.
        """
        run = self._instance.get_run_by_id(run_id) if self.has_instance else None
        if run is None or run.is_finished:
            return False
        before = run.status
        self._instance.report_run_canceling(run)
        run = self._instance.get_run_by_id(run_id)
        worker = Worker.of(run.tags) if run else None
        if run is None or worker is None:
            return before is not DagsterRunStatus.STARTED
        if not worker.interrupt():
            self._instance.report_run_canceled(run, f"The run's process {worker.pid} had ended already.")
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process runs; a run without a process of its own, as those of a replay, is not judged.

        One that has just ended is left to its server, which knows by what it ended.
        """
        worker = Worker.of(run.tags)
        if worker is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The run has no process of its own.")
        if worker.runs():
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        gone_since = self._gone_since.setdefault(run.run_id, time.monotonic())
        if time.monotonic() - gone_since < TOLD_WITHIN_S:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "Its process ended; its server says by what.")
        return CheckRunHealthResult(WorkerStatus.FAILED, f"The run's process {worker.pid} is gone.")

    def dispose(self) -> None:
        """End the warm servers, and with them the runs that they have."""
        with self._lock:
            for server in (*self._servers.values(), *self._old):
                server.end()
            self._servers, self._old = {}, []
