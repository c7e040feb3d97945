"""One version in a process of its own, as the endpoint asks it: an answer by a deadline, or a fault.

Only the event loop that asks first may ask. Nothing here waits for the process but those that ask it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from anyio import to_thread

from resources.features.vectors import OnlineVectors
from resources.serving.keeper import Keeper
from resources.serving.live_models import Served
from resources.serving.parts import Answered
from resources.serving.versions import wire
from resources.serving.versions.faults import LATE, FaultError, UnexplainedError

LOG = logging.getLogger(__name__)
RETRY_S = 0.05
LOADS_IN_S = 60.0
"""Seconds after which a process that has not loaded its model is killed, and another one tries."""

HANGS_S = 5.0
"""Seconds after a missed deadline in which a process has to answer after all; then it is killed."""

MOST_WAITING = 32
STOPPED = "it was stopped"


@dataclass(frozen=True)
class Explained:
    """What each of the features added to some scores, for `explanations.explained`, as if it were asked of a scorer."""

    features: Sequence[str]
    reply: wire.ContributionsOfRows

    def contributions(self, frame: pl.DataFrame) -> wire.ContributionsOfRows:
        """What the version said; its frame it had already."""
        return self.reply


@dataclass(frozen=True)
class Copies:
    """What came of copies: scores [rows] or why there are none, and the seconds that the process worked for it."""

    result: np.ndarray | FaultError
    cpu_s: float


class Candidate:
    """A version that may be asked; `model` is what reads requests to it, `keeper` keeps its process, `path` is its record's."""

    def __init__(
        self,
        model: Served,
        keeper: Keeper,
        loads_in_s: float = LOADS_IN_S,
        hangs_s: float = HANGS_S,
        path: Path | None = None,
    ) -> None:
        self.model, self._keeper, self.path = model, keeper, path
        self._loads_in_s, self._hangs_s = loads_in_s, hangs_s
        self._hello: wire.Hello | None = None
        self._failed: str | None = None
        self._why_not = "its process is being started"
        self._heard = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._pending: dict[asyncio.Future[wire.Reply], float] = {}
        self._late: set[asyncio.Future[wire.Reply]] = set()
        self._task = asyncio.get_running_loop().create_task(self._talk())
        self._asking, self._asked_at = 0, time.monotonic()

    async def scored(
        self, vectors: OnlineVectors, rows: int, within_s: float, patient: bool = False, explain: bool = False
    ) -> tuple[Answered, Explained | None]:
        """Scores of some rows, and what each feature added where that is asked for; raises FaultError, and UnexplainedError.

        Who is `patient` waits until the model is loaded, within the same time.
        """
        hello, answer = await self._answered(vectors, within_s, patient, explain)
        if answer.fault:
            raise FaultError(answer.fault, answer.why)
        answered = Answered(vectors, _right(answer.scores, rows), answer.unseen)
        if not explain:
            return answered, None
        return answered, Explained(hello.features or (), _all_of(answer.contributions, hello))

    async def copies_scored(self, vectors: OnlineVectors, rows: int, within_s: float) -> Copies:
        """The same of copies, for which nobody waits: they are refused as `busy` while somebody does."""
        if self._asking:
            raise FaultError("busy", "it is asked for answers that somebody waits for")
        _, answer = await self._answered(vectors, within_s, patient=False, explain=False)
        if answer.fault:
            return Copies(FaultError(answer.fault, answer.why), answer.cpu_s)
        try:
            return Copies(_right(answer.scores, rows), answer.cpu_s)
        except FaultError as fault:
            return Copies(fault, answer.cpu_s)

    async def _answered(
        self, vectors: OnlineVectors, within_s: float, patient: bool, explain: bool
    ) -> tuple[wire.Hello, wire.Reply]:
        self._asking += 1
        try:
            async with asyncio.timeout(within_s):
                hello = await self._loaded(patient)
                if explain and not (hello.explains and hello.features):
                    raise UnexplainedError(self.model.record.name)
                return hello, await asyncio.shield(self._send(vectors, hello, explain))
        except TimeoutError:
            raise self._missed(within_s) from None
        finally:
            self._asking -= 1
            self._asked_at = time.monotonic()

    def idle_s(self) -> float:
        """Seconds in which nobody has asked."""
        return 0.0 if self._asking else time.monotonic() - self._asked_at

    async def close(self) -> None:
        """End its process; who waits for it is told."""
        self._task.cancel()
        self._hello, self._failed = None, STOPPED
        self._tell()
        await to_thread.run_sync(self._keeper.close)
        self._lost(STOPPED)

    async def _loaded(self, patient: bool) -> wire.Hello:
        while self._hello is None:
            if self._failed or not patient:
                self.refuse_unloaded()
            await self._heard.wait()
        return self._hello

    def refuse_unloaded(self) -> None:
        """Raise FaultError unless its process has the model."""
        self._asked_at = time.monotonic()
        if self._hello is None:
            kind = "loading" if self._failed in (None, STOPPED) else "unloadable"
            raise FaultError(kind, self._failed or self._why_not)

    def _send(self, vectors: OnlineVectors, hello: wire.Hello, explain: bool) -> "asyncio.Future[wire.Reply]":
        if self._late:
            raise FaultError("busy", "it is at work on a request still that has missed its deadline")
        if len(self._pending) >= MOST_WAITING or self._writer is None:
            raise FaultError("busy", f"{len(self._pending)} requests wait for it")
        answer = asyncio.get_running_loop().create_future()
        self._writer.write(wire.framed(wire.scoring_frame(vectors, hello, explain)))
        self._pending[answer] = time.monotonic()
        return answer

    def _missed(self, within_s: float) -> FaultError:
        """What a deadline that was missed means; who is at work too long is killed."""
        if self._hello is None:
            return FaultError("loading", f"{self._why_not}, which it was not within {within_s:g} s")
        oldest = next(iter(self._pending), None)
        if oldest is not None and oldest not in self._late:
            self._late.add(oldest)
            loop, process = asyncio.get_running_loop(), self._keeper.process_id
            loop.call_later(self._hangs_s, self._kill_where, lambda: oldest in self._late, process)
        return FaultError(LATE, f"no answer within {within_s * 1000:.0f} ms")

    def _kill_where(self, hangs: Callable[[], bool], process: int | None) -> None:
        if hangs():
            LOG.error("version %s of %s does not end a request: its process is killed", *self._named())
            self._keeper.restart(process)

    async def _talk(self) -> None:
        while True:
            try:
                await self._conversed()
            except (OSError, EOFError, wire.WireError) as error:
                self._lost(f"its process ended ({type(error).__name__})")
            await asyncio.sleep(RETRY_S)

    async def _conversed(self) -> None:
        """One connection, from its begin until it breaks."""
        socket = await to_thread.run_sync(lambda: self._keeper.socket)
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            hello = await self._greeted(reader)
            if hello.failed is not None:
                self._failed = f"its model cannot be loaded: {hello.failed}"
                return self._tell()
            LOG.info("version %s of %s may be asked", *self._named())
            self._hello, self._writer, self._failed = hello, writer, None
            self._tell()
            while True:
                self._resolve(wire.reply_of(await _frame(reader)))
        finally:
            writer.close()

    def _tell(self) -> None:
        """Wake whoever waits for news of the model."""
        self._heard.set()
        self._heard.clear()

    async def _greeted(self, reader: asyncio.StreamReader) -> wire.Hello:
        process, self._why_not = self._keeper.process_id, "its model is being loaded"
        try:
            async with asyncio.timeout(self._loads_in_s):
                return wire.hello_of(await _frame(reader))
        except TimeoutError:
            self._why_not = f"its model was not loaded within {self._loads_in_s:g} s"
            self._keeper.restart(process)
            raise EOFError(self._why_not) from None

    def _resolve(self, reply: wire.Reply) -> None:
        """Answers come in the order of the questions."""
        if not self._pending:
            raise wire.WireError("an answer that nobody asked for")
        answer = next(iter(self._pending))
        del self._pending[answer]
        self._late.discard(answer)
        if not answer.done():
            answer.set_result(reply)

    def _lost(self, why: str) -> None:
        """Whoever waits is told, and those that come until it is there again."""
        self._writer, pending = None, list(self._pending)
        if self._hello is not None:
            self._hello, self._why_not = None, f"{why}, and it is started again"
        self._pending.clear()
        self._late.clear()
        for answer in pending:
            if not answer.done():
                answer.set_result(wire.Reply(np.empty(0), fault="gone", why=f"{why} while it was asked"))

    def _named(self) -> tuple[str, str]:
        return self.model.record.version, self.model.record.name


async def _frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(wire.LENGTH.size)
    return await reader.readexactly(wire.length_of(head))


def _all_of(contributions: wire.ContributionsOfRows | None, hello: wire.Hello) -> wire.ContributionsOfRows:
    if contributions is None or contributions.values.shape[1] != len(hello.features or ()):
        raise FaultError("shape", "it does not say of each feature what it added")
    return contributions


def _right(scores: Any, rows: int) -> np.ndarray:
    if scores.shape != (rows,):
        raise FaultError("shape", f"it gives numbers of the shape {list(scores.shape)} for {rows} rows")
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        raise FaultError(
            "not_finite",
            f"it gives no finite number for {len(wrong)} of {rows} rows, the first is row {wrong[0]}",
        )
    return scores
