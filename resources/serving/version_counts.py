"""What each version of a model did while a split named one: the evidence of traffic, summed over processes and machines.

Each process keeps its sums in memory and writes them down once a second, into one small file of each model in the serving log's
folder, which reaches those who judge as the log does. A file is never changed: the next one has the next number, and counts in
place of those before it. Sums outlive their process; whoever starts puts those of ended processes of its machine together.
"""

import contextlib
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Self

from resources.serving.log import ServingLogResource
from resources.storage.errors import AbsentError
from resources.storage.storage import Storage

COUNTS = "counts"
"""The folder below a model's in the serving log."""

BUCKETS_MS = (0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0)
"""Upper bounds of the buckets of times until an answer; one more bucket has what took longer."""

READS = 10
Kinds = Mapping[str, int]


@dataclass(frozen=True)
class Traffic:
    """One version's requests: `requests` were asked, of which `faults` by kind gave no answer; `seconds` and `buckets` are of the answers.

    Of copies that it was to score in shadow: `shadow_scored`, `shadow_dropped` by reason, `shadow_failed` by kind of fault, and
    the CPU seconds of its process for them.
    """

    requests: int = 0
    faults: Kinds = field(default_factory=dict)
    seconds: float = 0.0
    buckets: tuple[int, ...] = (0,) * (len(BUCKETS_MS) + 1)
    shadow_scored: int = 0
    shadow_dropped: Kinds = field(default_factory=dict)
    shadow_failed: Kinds = field(default_factory=dict)
    shadow_cpu_s: float = 0.0

    @property
    def answered(self) -> int:
        return self.requests - sum(self.faults.values())

    def __add__(self, other: Self) -> "Traffic":
        return self._with(other, 1)

    def __sub__(self, other: Self) -> "Traffic":
        """What came since an earlier look."""
        return self._with(other, -1)

    def _with(self, other: Self, sign: int) -> "Traffic":
        def both(name: str) -> Any:
            return getattr(self, name) + sign * getattr(other, name)

        def kinds(name: str) -> Kinds:
            mine, theirs = getattr(self, name), getattr(other, name)
            sums = {kind: mine.get(kind, 0) + sign * theirs.get(kind, 0) for kind in {*mine, *theirs}}
            return {kind: count for kind, count in sorted(sums.items()) if count}

        return Traffic(
            requests=both("requests"),
            faults=kinds("faults"),
            seconds=both("seconds"),
            buckets=tuple(a + sign * b for a, b in zip(self.buckets, other.buckets, strict=True)),
            shadow_scored=both("shadow_scored"),
            shadow_dropped=kinds("shadow_dropped"),
            shadow_failed=kinds("shadow_failed"),
            shadow_cpu_s=both("shadow_cpu_s"),
        )


def version_counts(log: ServingLogResource, model: str) -> dict[str, Traffic]:
    """By version what it did since counts are kept; differences of two looks are the traffic between them."""
    totals = added(_sums_in(log.storage, model).values())
    return dict(sorted(totals.items(), key=lambda one: int(one[0])))


@dataclass(frozen=True)
class Sums:
    """What a file holds: by version the traffic, and the writers whose sums are in it."""

    versions: Mapping[str, Mapping[str, Any]]
    holds: tuple[str, ...] = ()

    def content(self) -> bytes:
        document = {"versions": self.versions, "holds": self.holds}
        return json.dumps(document, sort_keys=True).encode()


def file_name(model: str, writer: str, number: int) -> str:
    """Where a writer's sums lie for the `number`-th time."""
    return f"{model}/{COUNTS}/{writer}-{number:09d}.json"


def newest_files(storage: Storage, model: str) -> dict[str, str]:
    """By writer the name of its newest file."""
    names = storage.names(f"{model}/{COUNTS}", ".json")
    return {name.rpartition("/")[2].rpartition("-")[0]: name for name in names}


def _sums_in(storage: Storage, model: str) -> dict[str, Sums]:
    """By writer what it counted, without those whose sums another one holds; a file that is replaced meanwhile is looked for again."""
    for _ in range(READS):
        with contextlib.suppress(AbsentError):
            return sums_of(storage, newest_files(storage, model))
    raise OSError(
        f"{model}/{COUNTS} of {storage.address}: its files went away {READS} times while they were read; read it again"
    )


def sums_of(storage: Storage, files: Mapping[str, str]) -> dict[str, Sums]:
    """What some files hold, by writer, each counted once; raises AbsentError for one that is gone."""
    read = {writer: _sums(storage.load(name).content) for writer, name in files.items()}
    held = {writer for sums in read.values() for writer in sums.holds}
    return {writer: sums for writer, sums in read.items() if writer not in held}


def _sums(content: bytes) -> Sums:
    document = json.loads(content)
    return Sums(document["versions"], tuple(document["holds"]))


def added(some: Iterable[Sums]) -> dict[str, Traffic]:
    """The traffic of several, by version."""
    totals: dict[str, Traffic] = {}
    for sums in some:
        for version, document in sums.versions.items():
            totals[version] = totals.get(version, Traffic()) + traffic_in(document)
    return totals


def documents(traffic: Mapping[str, Traffic]) -> dict[str, Any]:
    """Traffic by version as a file holds it."""
    return {version: document_of(one) for version, one in traffic.items()}


def document_of(traffic: Traffic) -> dict[str, Any]:
    """Traffic as JSON has it."""
    return {name: getattr(traffic, name) for name in Traffic.__dataclass_fields__}


def traffic_in(document: Mapping[str, Any]) -> Traffic:
    """Traffic out of what `document_of` gave; fields of a later release are left out."""
    known: dict[str, Any] = {
        name: value for name, value in document.items() if name in Traffic.__dataclass_fields__
    }
    return Traffic(**(known | {"buckets": tuple(document["buckets"])}))


class Counting:
    """The sums of one version in one process, while they grow."""

    def __init__(self) -> None:
        self.requests, self.seconds = 0, 0.0
        self.buckets = [0] * (len(BUCKETS_MS) + 1)
        self.faults, self.dropped, self.failed = Counter[str](), Counter[str](), Counter[str]()
        self.scored, self.cpu_s = 0, 0.0

    def traffic(self) -> Traffic:
        """The sums so far."""
        kinds = dict(self.faults), dict(self.dropped), dict(self.failed)
        return Traffic(
            self.requests,
            kinds[0],
            self.seconds,
            tuple(self.buckets),
            self.scored,
            kinds[1],
            kinds[2],
            self.cpu_s,
        )


class VersionCounts:
    """The sums of this process, by model and version; safe for threads."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], Counting] = {}
        self._changed: set[str] = set()
        self._lock = Lock()

    def answered(self, model: str, version: str, seconds: float) -> None:
        """One more answer."""
        with self._lock:
            one = self._one(model, version)
            one.requests += 1
            one.seconds += seconds
            one.buckets[bisect_left(BUCKETS_MS, seconds * 1000)] += 1

    def failed(self, model: str, version: str, kind: str) -> None:
        """One more request to which there was no answer."""
        with self._lock:
            one = self._one(model, version)
            one.requests += 1
            one.faults[kind] += 1

    def scored(self, model: str, version: str, rows: int, cpu_s: float) -> None:
        """So many more copies were scored in shadow."""
        with self._lock:
            one = self._one(model, version)
            one.scored += rows
            one.cpu_s += cpu_s

    def dropped(self, model: str, version: str, reason: str, rows: int) -> None:
        """So many more copies were not asked for."""
        with self._lock:
            self._one(model, version).dropped[reason] += rows

    def unscored(self, model: str, version: str, kind: str, rows: int, cpu_s: float) -> None:
        """To so many more copies there was no answer."""
        with self._lock:
            one = self._one(model, version)
            one.failed[kind] += rows
            one.cpu_s += cpu_s

    def take_changed(self) -> dict[str, dict[str, Traffic]]:
        """By model and version the sums of the models that have changed since the last time."""
        with self._lock:
            changed, self._changed = self._changed, set()
            sums: dict[str, dict[str, Traffic]] = {name: {} for name in changed}
            for (name, version), one in self._of.items():
                if name in changed:
                    sums[name][version] = one.traffic()
        return sums

    def again(self, model: str) -> None:
        """The sums of a model could not be written."""
        with self._lock:
            self._changed.add(model)

    def shadows(self) -> dict[tuple[str, str], Traffic]:
        """By model and version the sums of those that were given copies."""
        with self._lock:
            totals = {which: one.traffic() for which, one in self._of.items()}
        return {w: t for w, t in totals.items() if t.shadow_scored or t.shadow_dropped or t.shadow_failed}

    def _one(self, model: str, version: str) -> Counting:
        self._changed.add(model)
        one = self._of.get((model, version))
        if one is None:
            one = self._of[model, version] = Counting()
        return one
