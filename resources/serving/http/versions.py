"""Requests that another version than the one that answers is asked for: by its number, or by a split of a model's requests.

Who names a version gets its answer or the reason why there is none. Who names none always gets an answer: where the version that
the split draws gives none in time, the one that answers does, and the answer says so.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterator, Sequence
from datetime import datetime
from typing import Any

import pydantic
from fastapi import HTTPException

from resources.records.split import Split
from resources.serving.http.answering import predicted, refuse_many_explained, served_model, unexplained
from resources.serving.http.behind import Behind
from resources.serving.http.bodies import items_of, parsed, validated
from resources.serving.http.together import MOST_ROWS, Question, traces_of
from resources.serving.live_models import LiveModels, Served, by_the_wall_clock
from resources.serving.version_counts import VersionCounts
from resources.serving.versions.faults import LATE, PASSING, SINGLY, FaultError, UnexplainedError
from resources.serving.versions.versions import FEW, PLAIN, Shown, UnknownVersionError, Versions
from resources.serving_limits import Limits
from resources.telemetry.trace_ids import enter

Requests = Sequence[pydantic.BaseModel]
FAILED, TOO_LATE = 500, 504


class Asking:
    """Asks versions, and the one that answers where they do not."""

    def __init__(
        self,
        models: LiveModels,
        versions: Versions | None,
        behind: Behind,
        limits: Limits,
        counts: VersionCounts,
    ) -> None:
        self.models, self._versions, self._behind, self._limits = models, versions, behind, limits
        self._counts = counts
        self._drawn: list[tuple[Question, Split]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def split_of(self, model: Served | None) -> Split | None:
        """The split of a model's requests, where it sends some elsewhere."""
        split = self.models.splits.get(model.record.name) if model is not None else None
        if split is None or self._versions is None or model is None or split.version == model.record.version:
            return None
        return split

    def takes(self, question: Question) -> bool:
        """Whether some of a question's requests are drawn for another version: it is told then, when both have answered."""
        split = None if question.is_named else self.split_of(question.model)
        if split is None or not any(split.takes(request) for request in question.requests):
            return False
        if not self._drawn:
            asyncio.get_running_loop().call_soon(self._ask_drawn)
        self._drawn.append((question, split))
        return True

    def _ask_drawn(self) -> None:
        """Ask of those that have come together each that is drawn in part alone, and the others at once."""
        some, self._drawn = self._drawn, []
        groups: dict[tuple[int, int], list[tuple[Question, Split]]] = defaultdict(list)
        for question, split in some:
            if by_the_wall_clock(question.model) or not all(map(split.takes, question.requests)):
                self._begin(self._tell(question, split))
            else:
                groups[id(question.model), id(split)].append((question, split))
        for group in groups.values():
            for questions in _few([question for question, _ in group]):
                self._begin(self._tell_whole(questions, group[0][1], time.perf_counter()))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_whole(self, questions: list[Question], split: Split, began: float) -> None:
        """Questions of which the other version has all requests: where one of them is at fault, each is asked alone."""
        assert self._versions is not None
        enter(traces_of(questions))
        requests = [request for question in questions for request in question.requests]
        within_s = max(0.0, split.deadline_ms / 1000 - (time.perf_counter() - began))
        given = requests, self.models.clock.now(), within_s
        try:
            answers = iter(await self._versions.answers(split.name, split.version, *given))
        except FaultError as fault:
            for question in questions:
                if len(questions) > 1 and fault.kind in SINGLY:
                    await self._tell_whole([question], split, began)
                else:
                    await self._fall_back(question, split, fault)
            return
        for question in questions:
            took_s = time.perf_counter() - question.ticket.since
            self._counts.answered(split.name, split.version, took_s)
            question.tell_all([next(answers) for _ in question.requests])

    async def _fall_back(self, question: Question, split: Split, fault: FaultError) -> None:
        """Have the version that answers answer what the other one has not."""
        self._counts.failed(split.name, split.version, fault.kind)
        enter(question.trace)
        given = question.model, question.requests, question.body, self.models.clock.now(), False
        try:
            answers = await self._of_champion(*given)
        except Exception:  # noqa: BLE001 - the route behind asks again, and says what is wrong
            question.tell(None)
        else:
            question.tell_all([{**answer, "fallback": _why(split, fault)} for answer in answers])

    async def _tell(self, question: Question, split: Split) -> None:
        enter(question.trace)
        arrived = question.arrived or self.models.clock.now()
        given = question.model, split, question.requests, question.body, arrived, False, question.ticket.since
        try:
            answers = await self.divided(*given)
        except Exception:  # noqa: BLE001 - the route behind asks again, and says what is wrong
            question.tell(None)
        else:
            question.tell_all(answers)

    def answered(self, question: Question) -> None:
        """Count what the version that answers has answered, where requests are divided."""
        if self.split_of(question.model) is not None:
            record, took_s = question.model.record, time.perf_counter() - question.ticket.since
            self._counts.answered(record.name, record.version, took_s)

    def failed(self, question: Question, kind: str) -> None:
        """Count what it has not."""
        if self.split_of(question.model) is not None:
            record = question.model.record
            self._counts.failed(record.name, record.version, kind)

    async def named(self, name: str, version: str) -> Served | None:
        """What reads requests to a version that is asked by its number; None where it is the one that answers.

        Raises the answers 404 for one that is not known, and 503 for one that cannot be had now.
        """
        answering = served_model(self.models, name).record.version
        if version in ("", answering):
            return None
        try:
            if self._versions is None:
                raise UnknownVersionError(f"version {version[:20]} of {name} is not known")
            return await self._versions.model(name, version)
        except UnknownVersionError as unknown:
            raise HTTPException(
                404,
                f"{unknown}: version {answering} answers, and others that were published or offered may be asked",
            ) from unknown
        except FaultError as fault:
            raise _refusal(name, version, fault) from fault

    def numbers(self, name: str) -> list[str]:
        """The versions of a model that may be asked."""
        return self._versions.numbers(name) if self._versions else []

    async def refuse_unloaded(self, model: Served) -> None:
        """Raise the answer 503 while a version that is not the one that answers does not have its model; its process is started."""
        assert self._versions is not None
        name, version = model.record.name, model.record.version
        try:
            await self._versions.is_loaded(name, version)
        except FaultError as fault:
            raise _refusal(name, version, fault) from fault

    async def by_number(
        self, model: Served, requests: Requests, arrived: datetime, shown: Shown = PLAIN
    ) -> list[dict[str, Any]]:
        """An answer a request by a version that was asked by its number, or the answers 422, 503 and 504."""
        assert self._versions is not None
        name, version = model.record.name, model.record.version
        if shown.explanations:
            refuse_many_explained(len(requests))
        try:
            given = requests, arrived, self._limits.deadline_s, shown
            return await self._versions.answers(name, version, *given, patient=True)
        except UnexplainedError as error:
            raise unexplained(name) from error
        except FaultError as fault:
            raise _refusal(name, version, fault) from fault

    async def divided(
        self,
        model: Served,
        split: Split,
        requests: Requests,
        content: bytes,
        arrived: datetime,
        with_features: bool = False,
        began: float | None = None,
    ) -> list[dict[str, Any]]:
        """An answer a request, each by the version that the split draws for it, or by the one that answers; who answered is counted.

        `began` is when the requests came, by `time.perf_counter`.
        """
        began = began or time.perf_counter()
        drawn = [split.takes(request) for request in requests]
        theirs = [request for request, taken in zip(requests, drawn, strict=True) if taken]
        asked_at = time.perf_counter()
        answers, fallback = await self._of_others(split, theirs, arrived, with_features, began)
        began += time.perf_counter() - asked_at  # the version that answers has not waited for the other one
        own = [request for request, taken in zip(requests, drawn, strict=True) if not taken or fallback]
        mine = iter(await self._of_champion(model, own, content, arrived, with_features))
        if own and not fallback:
            self._counts.answered(split.name, model.record.version, time.perf_counter() - began)
        if fallback is None:
            others = iter(answers)
            return [next(others if taken else mine) for taken in drawn]
        return [
            {**answer, "fallback": fallback} if taken else answer
            for answer, taken in zip(mine, drawn, strict=True)
        ]

    async def _of_others(
        self, split: Split, requests: Requests, arrived: datetime, with_features: bool, began: float
    ) -> tuple[list[dict[str, Any]], dict[str, str] | None]:
        """The answers by the version that a split names; or none, and why."""
        assert self._versions is not None
        if not requests:
            return [], None
        given = requests, arrived, split.deadline_ms / 1000, Shown(with_features)
        try:
            answers = await self._versions.answers(split.name, split.version, *given)
            self._counts.answered(split.name, split.version, time.perf_counter() - began)
            return answers, None
        except FaultError as fault:
            self._counts.failed(split.name, split.version, fault.kind)
            return [], _why(split, fault)

    async def _of_champion(
        self, model: Served, requests: Requests, content: bytes, arrived: datetime, with_features: bool
    ) -> list[dict[str, Any]]:
        given = self.models, model, list(requests), with_features, arrived
        try:
            if not requests or (model.fast is not None and len(requests) <= MOST_ROWS):
                return predicted(*given) if requests else []
            return await self._behind.answer(predicted, model.record.name, content, *given)
        except HTTPException as error:
            if error.status_code in (FAILED, TOO_LATE):
                kind = "raised" if error.status_code == FAILED else LATE
                self._counts.failed(model.record.name, model.record.version, kind)
            raise

    async def named_body(self, model: Served, content: bytes, shown: Shown, arrived: datetime) -> Any:
        """The answer to a body of rows by a version that was asked by its number, in the body's form."""
        body, requests = await self.read(_read, content, content, model, self._limits.rows)
        answers = await self.by_number(model, requests, arrived, shown) if requests else []
        return answers if isinstance(body, list) else answers[0]

    async def divided_body(
        self, model: Served, split: Split, content: bytes, features: bool, arrived: datetime
    ) -> Any:
        """The answer to a body of rows to a model whose requests are divided, in the body's form."""
        body, requests = await self.read(_read, content, content, model, self._limits.rows)
        given = requests, content, arrived, features
        answers = await self.divided(model, split, *given) if requests else []
        return answers if isinstance(body, list) else answers[0]

    async def read(self, work: Any, content: bytes, *given: Any) -> Any:
        """What `work` makes of a body, outside of the event loop; what it takes says nothing of how long an answer does."""
        return await self._behind.answer(work, "", content, *given)


def _few(questions: Sequence[Question]) -> Iterator[list[Question]]:
    """Questions in their order, as many at a time as have few rows; one that has more is alone."""
    some, rows = list[Question](), 0
    for question in questions:
        rows += len(question.requests)
        if some and rows > FEW:
            yield some
            some, rows = [], len(question.requests)
        some.append(question)
    if some:
        yield some


def _why(split: Split, fault: FaultError) -> dict[str, str]:
    """Why an answer is not of the version that was drawn."""
    return {"version": split.version, "kind": fault.kind, "why": str(fault)}


def _refusal(name: str, version: str, fault: FaultError) -> HTTPException:
    headers = {"Retry-After": "1"} if fault.kind in PASSING else None
    why = f"version {version} of {name} gives no answer ({fault.kind}): {fault}"
    return HTTPException(504 if fault.kind == LATE else 503, why, headers)


def _read(content: bytes, model: Served, most: int) -> tuple[Any, Requests]:
    body = parsed(content, most)
    return body, validated(model.request, items_of(body, most), batch=isinstance(body, list))
