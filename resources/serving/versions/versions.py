"""The versions beside those that answer: found by their records, started when they are first asked, ended when nobody asks."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread

from resources.features.service import DescribedService
from resources.features.vectors import OnlineVectors
from resources.records.deployment import Deployment
from resources.serving.explanations import explained
from resources.serving.keeper import Keeper
from resources.serving.live_models import LiveModels, Served
from resources.serving.parts import Copied
from resources.serving.versions.candidate import HANGS_S, LOADS_IN_S, Candidate, Copies
from resources.serving.versions.copies import together
from resources.serving.versions.faults import FaultError, Faults, UnexplainedError
from resources.serving.versions.records import VERSION, version_file, version_in
from resources.settings import Settings

LOG = logging.getLogger(__name__)
COMMAND = ("-W", "ignore", "-m", "resources.serving.versions")
IDLE_S = 600.0
"""Seconds without a question after which the process of a version is ended."""

LOOKS_S = 1.0
FEW = 32
"""Features of up to so many rows are read in the event loop."""

RESTS_S = 10.0
"""A version that nobody asked for so long makes room for another one."""

MOST = 4
"""So many processes of versions at once."""

ENDS_IN_S = 2.0
SAME = {"version", "model_path", "model_sha256", "scorer", "owner", "moment"}
"""What two versions of a model may differ in whose requests are read alike."""

MOST_COMPARED = 64
Mark = tuple[int, int]


class UnknownVersionError(Exception):
    """There is no record of the version."""


@dataclass(frozen=True)
class Bounds:
    """How long a version may take to load, to end a request that is late, and to be asked again; and how many may run."""

    loads_s: float = LOADS_IN_S
    hangs_s: float = HANGS_S
    idle_s: float = IDLE_S
    most: int = MOST


@dataclass(frozen=True)
class Shown:
    """What an answer has beside the score."""

    features: bool = False
    explanations: bool = False


PLAIN = Shown()


class Versions:
    """The versions of one state folder, asked from one event loop."""

    def __init__(
        self,
        models: LiveModels,
        home: Settings,
        command: tuple[str, ...] = COMMAND,
        bounds: Bounds | None = None,
    ) -> None:
        self._models, self._home, self._command = models, home, command
        self._bounds = bounds or Bounds()
        self.faults = Faults()
        self._open: dict[tuple[str, str], tuple[Mark, Candidate]] = {}
        self._opening: asyncio.Lock | None = None
        self._reading: CapacityLimiter | None = None
        self._watch: asyncio.Task[None] | None = None
        self._alike: dict[tuple[int, int], tuple[Deployment, Deployment, bool]] = {}

    def known(self, name: str, version: str) -> bool:
        """Whether there is a record of a version."""
        return bool(VERSION.fullmatch(version)) and version_file(self._models.folder, name, version).is_file()

    def numbers(self, name: str) -> list[str]:
        """The versions of a model that may be asked, by number."""
        paths = version_file(self._models.folder, name, 0).parent.glob("[!.]*.json")
        return sorted((path.stem for path in paths if VERSION.fullmatch(path.stem)), key=int)

    async def model(self, name: str, version: str) -> Served:
        """What reads requests to a version; raises UnknownVersionError, and FaultError where its process cannot be had."""
        return (await self._candidate(name, version)).model

    async def is_loaded(self, name: str, version: str) -> None:
        """Start a version's process where it does not run; raises FaultError while it does not have its model."""
        (await self._candidate(name, version)).refuse_unloaded()

    async def answers(
        self,
        name: str,
        version: str,
        requests: Any,
        arrived: datetime,
        within_s: float,
        shown: Shown = PLAIN,
        patient: bool = False,
    ) -> list[dict[str, Any]]:
        """An answer a request by a version that may not answer for its model; raises FaultError, which is counted.

        Raises UnexplainedError where an explanation is asked of one that gives none.
        """
        try:
            return await self._answers(name, version, requests, arrived, within_s, shown, patient)
        except UnexplainedError:
            raise
        except FaultError as error:
            fault = error
        except UnknownVersionError as error:
            fault = FaultError("unknown", str(error))
        except Exception as error:  # noqa: BLE001 - whoever asks tells it, or has another version answer
            fault = _unread(error)
        self.faults.add(name, version, fault)
        raise fault

    async def _answers(
        self,
        name: str,
        version: str,
        requests: Any,
        arrived: datetime,
        within_s: float,
        shown: Shown,
        patient: bool,
    ) -> list[dict[str, Any]]:
        until = time.monotonic() + within_s
        candidate = await self._candidate(name, version)
        model = candidate.model
        served_at, now = self._models.begun(model, arrived)
        vectors = await self._vectors(model, requests, now)
        left_s = max(0.0, until - time.monotonic())
        result, why = await candidate.scored(vectors, len(requests), left_s, patient, shown.explanations)
        answers = self._models.answers_of(model, result, now, served_at, shown.features)
        return explained(why, vectors.frame, answers) if why else answers

    async def copies(
        self, name: str, version: str, some: Sequence[Copied], within_s: float
    ) -> tuple[Copies, DescribedService]:
        """What a version says of copies of requests that another one has answered, and by which features; raises FaultError.

        What was read for an answer is scored where both versions read alike. Nothing of it is counted, and nobody waits for it.
        """
        candidate = await self._candidate(name, version)
        candidate.refuse_unloaded()
        model, vectors, read_s = candidate.model, [one.vectors for one in some], 0.0
        if not self._read_alike(some[0].record, model.record):
            self._reading = self._reading or CapacityLimiter(1)
            try:
                vectors, read_s = await to_thread.run_sync(
                    self._read_again, model, some, limiter=self._reading
                )
            except Exception as error:
                raise _unread(error) from error
        copies = await candidate.copies_scored(
            together(vectors), sum(len(one.requests) for one in some), within_s
        )
        return replace(copies, cpu_s=copies.cpu_s + read_s), model.service

    def _read_again(self, model: Served, some: Sequence[Copied]) -> tuple[list[OnlineVectors], float]:
        """The features of another version than the one that answered, and what it took to read them."""
        began = time.thread_time()
        vectors = [self._models.vectors(model, one.requests, one.now) for one in some]
        return vectors, time.thread_time() - began

    def _read_alike(self, one: Deployment, other: Deployment) -> bool:
        """Whether the same is read for requests to two versions; what was compared is remembered."""
        pair = id(one), id(other)
        known = self._alike.get(pair)
        if known is None or known[0] is not one or known[1] is not other:
            same = one.model_copy(update={name: getattr(other, name) for name in SAME}) == other
            if len(self._alike) >= MOST_COMPARED:
                self._alike.clear()
            known = self._alike[pair] = one, other, same
        return known[2]

    async def close(self) -> None:
        """End all processes."""
        if self._watch:
            self._watch.cancel()
        await asyncio.gather(*[candidate.close() for _, candidate in self._open.values()])
        self._open.clear()

    async def _vectors(self, model: Served, requests: Any, now: datetime) -> OnlineVectors:
        """The features, by the way of the version that answers where both read alike; else in a thread."""
        answering = self._models.served.get(model.record.name)
        alike = answering and self._read_alike(answering.record, model.record)
        if answering and answering.fast and alike and len(requests) <= FEW:
            try:
                return answering.fast.vectors(requests, now)
            except Exception:
                LOG.debug("features of %s are read by frames", model.record.name, exc_info=True)
        self._reading = self._reading or CapacityLimiter(1)
        return await to_thread.run_sync(self._models.vectors, model, requests, now, limiter=self._reading)

    async def _candidate(self, name: str, version: str) -> Candidate:
        before, candidate = self._open.get((name, version), (None, None))
        mark = _mark(candidate.path) if candidate else None
        if candidate is not None and mark == before:
            return candidate
        if not self.known(name, version):
            raise UnknownVersionError(f"version {version[:20]} of {name} is not known")
        path = version_file(self._models.folder, name, version)
        if (mark := _mark(path)) is None:
            raise UnknownVersionError(f"version {version} of {name} is not known any more")
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            before, candidate = self._open.get((name, version), (None, None))
            if candidate is None or mark != before:
                candidate = await self._opened(name, version, mark, path)
        return candidate

    async def _opened(self, name: str, version: str, mark: Mark, path: Path) -> Candidate:
        if replaced := self._open.pop((name, version), None):
            await replaced[1].close()
        await self._make_room()
        if len(self._open) >= self._bounds.most:
            running = ", ".join(f"{one} {number}" for one, number in sorted(self._open))
            raise FaultError(
                "busy",
                f"{len(self._open)} versions run already ({running}), each until nobody asks it for a while",
            )
        try:
            record = version_in(self._models.folder, name, version)
            model = await to_thread.run_sync(self._models.unscored, record)
        except Exception as error:
            raise FaultError("unloadable", f"it cannot be read: {type(error).__name__}: {error}") from error
        called = f"the process of version {version} of {name}"
        keeper = Keeper(self._home, (*self._command, name, version), called, ENDS_IN_S)
        candidate = Candidate(model, keeper, self._bounds.loads_s, self._bounds.hangs_s, path)
        self._open[name, version] = mark, candidate
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._watched())
        return candidate

    async def _make_room(self) -> None:
        """End the version that nobody has asked for the longest while, where there are too many."""
        if len(self._open) < self._bounds.most:
            return
        which, (_, candidate) = max(self._open.items(), key=lambda one: one[1][1].idle_s())
        if candidate.idle_s() > RESTS_S:
            del self._open[which]
            await candidate.close()

    async def _watched(self) -> None:
        """End the processes that nobody has asked for a while, or whose record is gone."""
        while self._open:
            await asyncio.sleep(min(LOOKS_S, self._bounds.idle_s))
            for (name, version), (_, candidate) in list(self._open.items()):
                idle = candidate.idle_s() > self._bounds.idle_s
                if idle or not self.known(name, version):
                    LOG.info("version %s of %s is ended, nobody asks for it", version, name)
                    del self._open[name, version]
                    await candidate.close()


def _mark(path: Path | None) -> Mark | None:
    """What tells a record that was replaced; None where there is none."""
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_ino) if stat else None


def _unread(error: Exception) -> FaultError:
    return FaultError("features", f"what it is to score cannot be read: {type(error).__name__}: {error}")
