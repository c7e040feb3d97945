"""Sums of several processes, in the files of prometheus-client's multiprocess mode, which are added up when they are read.

The library's own counters write to these files at every step, and only where an environment variable was set before it was
imported. Here a process writes its sums once a second, so that a request costs an addition.
"""

import fcntl
import os
import socket
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.utils import floatToGoString

from resources.serving.counts import BUCKETS, Answers, Counts
from resources.serving.folded_counts import OF_A_FOLDER, fold, hold, in_peace
from resources.serving.version_counts import Traffic
from resources.storage.durable import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

Value = tuple["Family", str, Sequence[tuple[str, str]], float]
"""A family of metrics, the end of the sample's name, its labels, and the sum."""


@dataclass(frozen=True)
class Family:
    """One metric: its kind as the files are named by it, its name and what it says."""

    kind: str
    name: str
    says: str


REQUESTS = Family(
    "counter",
    "mlops_requests",
    "Requests by model (empty: none that is known), route, status and kind of error (empty: none).",
)
TIMES = Family("histogram", "mlops_request_seconds", "Seconds until a request was answered, without errors.")
ROWS = Family("counter", "mlops_rows", "Rows that were predicted, by model and version.")
MISSING = Family(
    "counter",
    "mlops_features_missing",
    "Features that were null in the rows predicted; divided by mlops_rows, the share.",
)
AGES = Family(
    "gauge_mostrecent",
    "mlops_view_age_seconds",
    "Age of a view's newest value in the newest batch, at the moment that was asked for.",
)
IN_PROGRESS = Family(
    "gauge_livesum", "mlops_requests_in_progress", "Requests that have come and are not answered yet."
)
FAULTS = Family(
    "counter",
    "mlops_version_faults",
    "Times that a version which does not answer for its model was asked and gave no answer, by kind.",
)
SHADOWS = Family(
    "counter",
    "mlops_shadow_copies",
    "Copies of answered requests that another version was to score, by outcome and, of those not scored, why.",
)
LOG_WAITING = Family(
    "gauge_livesum", "mlops_serving_log_waiting", "Rows that wait to be written to the serving log."
)
LOG_LOST = Family("counter", "mlops_serving_log_lost", "Rows that the serving log had to leave out.")


class SharedCounts:
    """The files of this process in a folder, and the sums over the files of all processes of this machine.

    Who opens the folder while no other process has it open empties it: what was counted before is from before the start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / socket.gethostname()
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._files: dict[str, Any] = {}
        self._keys: dict[tuple[Family, str, tuple[tuple[str, str], ...]], str] = {}
        self._lock, self._held = Lock(), [_alone_or_beside(self.folder), hold(self.folder, self._name)]
        fold(self.folder)

    def write(self, values: Iterable[Value], at: float) -> None:
        """Write down the sums so far, as of `at` in seconds since 1970."""
        with self._lock:
            for family, end, labels, value in values:
                self._file(family.kind).write_value(self._key(family, end, tuple(labels)), value, at)

    def collect(self) -> "Iterator[Metric]":
        """The metrics of all processes added up, for a registry of prometheus-client."""
        fold(self.folder)
        with in_peace(self.folder):
            metrics = list(MultiProcessCollector(None, str(self.folder)).collect())
        yield from metrics

    def close(self) -> None:
        """Leave the folder; what was counted stays for the processes that go on."""
        with self._lock:
            for kind, file in self._files.items():
                file.close()
                if kind.startswith("gauge_live"):
                    self._path(kind).unlink(missing_ok=True)
            self._files.clear()
            for held in self._held:
                os.close(held)

    def _file(self, kind: str) -> Any:
        if kind not in self._files:
            self._files[kind] = MmapedDict(str(self._path(kind)))
        return self._files[kind]

    def _path(self, kind: str) -> Path:
        return self.folder / f"{kind}_{self._name}.db"

    def _key(self, family: Family, end: str, labels: tuple[tuple[str, str], ...]) -> str:
        place = family, end, labels
        if place not in self._keys:
            names, values = [name for name, _ in labels], [value for _, value in labels]
            self._keys[place] = mmap_key(family.name, family.name + end, names, values, family.says)
        return self._keys[place]


def _alone_or_beside(folder: Path) -> int:
    """Hold a folder beside other processes; whoever comes while nobody holds it empties it first."""
    make_folder(folder)
    held = os.open(folder / "held.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in (path for pattern in OF_A_FOLDER for path in folder.glob(pattern)):
            path.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def sums(counts: Counts, log: dict[str, int] | None) -> "Iterator[Value]":
    """What has changed since the last time, and the little that may have, as values to write."""
    for (model, route), answers in list(counts.answers.items()):
        if answers.changed:
            answers.changed = False
            yield from _of_route(answers, [("model", model), ("route", route)])
    for (model, version), rows in list(counts.rows.items()):
        yield ROWS, "_total", [("model", model), ("version", version)], rows
    for (model, view, feature), nulls in list(counts.missing.items()):
        yield MISSING, "_total", [("model", model), ("view", view), ("feature", feature)], nulls
    for (model, view), age in counts.ages().items():
        yield AGES, "", [("model", model), ("view", view)], age
    for (model, version, kind), faults in list(counts.faults.items()):
        yield FAULTS, "_total", [("model", model), ("version", version), ("kind", kind)], faults
    for (model, version), traffic in counts.versions.shadows().items():
        yield from _of_shadow(traffic, [("model", model), ("version", version)])
    yield IN_PROGRESS, "", [], counts.in_progress
    if log:
        yield LOG_WAITING, "", [], log["waiting"]
        yield LOG_LOST, "_total", [], log["lost"]


def _of_shadow(traffic: Traffic, labels: list[tuple[str, str]]) -> "Iterator[Value]":
    outcomes = {
        "scored": {"": traffic.shadow_scored},
        "dropped": traffic.shadow_dropped,
        "failed": traffic.shadow_failed,
    }
    for outcome, kinds in outcomes.items():
        for kind, count in kinds.items():
            yield SHADOWS, "_total", [*labels, ("outcome", outcome), ("kind", kind)], count


def _of_route(answers: Answers, labels: list[tuple[str, str]]) -> "Iterator[Value]":
    for (status, kind), count in list(answers.outcomes.items()):
        yield REQUESTS, "_total", [*labels, ("status", status), ("kind", kind)], count
    for bound, count in zip((*BUCKETS, float("inf")), answers.buckets, strict=True):
        yield TIMES, "_bucket", [*labels, ("le", floatToGoString(bound))], count
    yield TIMES, "_sum", labels, answers.seconds
