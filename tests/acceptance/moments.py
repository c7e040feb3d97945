"""Moments of a replay at which it can be killed: every durable write, every step into another system, every event.

A moment is named by what happens in it, so that the same moment is found again in a life that began later.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

MLFLOW_CALLS = (
    "create_experiment",
    "create_run",
    "create_logged_model",
    "log_model_artifacts",
    "log_outputs",
    "finalize_logged_model",
    "log_batch",
    "set_terminated",
    "create_registered_model",
    "create_model_version",
    "set_logged_model_tags",
    "set_registered_model_alias",
    "set_model_version_tag",
    "set_registered_model_tag",
)
EVENTS = ("STEP_START", "ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION", "STEP_SUCCESS", "RUN_SUCCESS")


class Moments:
    """Writes every moment down as it passes, and kills the process in the one that it is given."""

    def __init__(self, home: Path, trace: Path, last: str | None):
        self.home, self.last = str(home), last
        self.trace = trace.open("a", buffering=1)
        self.run, self.fit, self.week = "no run", "no fit", "no week"

    def passes(self, moment: str) -> None:
        """Note a moment; the last one ends this process at once, by SIGKILL; what the system holds back of its writes stays."""
        self.trace.write(f"{moment}\n")
        if moment == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(
        self, owner: Any, method: str, name: Callable[..., str], afterwards: Callable[[], None] | None = None
    ) -> None:
        """Make a moment before and one after a call; `name` tells the call from its arguments."""
        original = getattr(owner, method)

        def call(*arguments: Any, **options: Any) -> Any:
            moment = name(*arguments, **options)
            self.passes(f"before {moment}")
            result = original(*arguments, **options)
            self.passes(f"after {moment}")
            if afterwards:
                afterwards()
            return result

        setattr(owner, method, call)

    def watch(self) -> "Moments":
        """Put the moments into everything that a replay leaves behind it."""
        from dagster import DagsterInstance
        from mlflow import MlflowClient

        from feature_repo.online_store.sqlite.store import BulkSqliteOnlineStore
        from mlops_assets.replay.clock import Clock
        from resources.features.store import FeatureStoreResource
        from resources.storage import durable
        from resources.tracking.tracking import Tracking

        self.around(Clock, "settle", self._settle)
        self.around(Clock, "execute", self._run, afterwards=self._no_run)
        self.around(durable, "rename", self._write)
        self.around(FeatureStoreResource, "apply", lambda *_: f"registry in {self.run}")
        for method in ("merge", "publish"):
            self.around(BulkSqliteOnlineStore, method, lambda *a, m=method: self._online(m, a[2]))
        self.around(Tracking, "log_fit", self._fit)
        self.around(durable, "second_name", self._write)
        for method in MLFLOW_CALLS:
            self.around(MlflowClient, method, lambda *a, m=method, **o: self._mlflow(m, a))
        self.around(DagsterInstance, "handle_new_event", self._event)
        self.around(DagsterInstance, "report_run_canceled", lambda _, run, **o: f"cancel {run.job_name}")
        return self

    def _run(
        self, clock: Any, job: str, progress: Any, partition: Any = None, tags: Any = None, **o: Any
    ) -> str:
        self.run = f"{job} {partition or (tags or {}).get('mlops/partition', '')}".strip()
        return f"run {self.run}"

    def _no_run(self) -> None:
        self.run = "no run"

    def _settle(self, clock: Any, week: str, *_: Any, **__: Any) -> str:
        self.week = week
        return f"sensors of {week}"

    def _write(self, temporary: Path, target: Path) -> str:
        within = f"week {self.week}" if target.name == "progress.json" else self.run
        return f"write {str(target).removeprefix(self.home).lstrip('/')} in {within}"

    def _online(self, method: str, view: Any) -> str:
        return f"online {method} {view.name} in {self.run}"

    def _fit(self, tracking: Any, name: str, content: bytes, **options: Any) -> str:
        self.fit = f"{options['kind']} in {self.run}"
        return f"log {self.fit}"

    def _mlflow(self, method: str, arguments: tuple[Any, ...]) -> str:
        alias = f" {arguments[2]}" if method == "set_registered_model_alias" else ""
        return f"{method}{alias} of {self.fit}"

    def _event(self, instance: Any, event: Any, **options: Any) -> str:
        told = event.dagster_event
        what = f"{told.event_type_value} {told.step_key or ''}".strip() if told else "log line"
        return f"event {what} in {self.run}"
