"""Requests that have arrived, predicted together in the event loop."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import pydantic
from pydantic_core import to_json

from resources.serving.http.admission import Admission, Ticket
from resources.serving.http.behind import late
from resources.serving.http.bodies import items_of, parsed, validated
from resources.serving.live_models import LiveModels, Served, by_the_wall_clock
from resources.serving.versions.faults import LATE
from resources.serving_limits import Limits
from resources.telemetry.trace_ids import Traces, current, within

Parts = tuple[Sequence[tuple[bytes, bytes]], bytes]
"""Headers and content of an answer."""

MOST_ROWS = 100
"""Rows that are predicted there at once: more would keep other requests waiting."""

READING_S = 0.005
"""Seconds in which one turn reads requests before it predicts them."""

PREDICTING_S = 0.02
"""Seconds in which it predicts them, by what a row took lately; one request at any rate."""

HURRY_S = 0.003
"""The same while some are turned away: whoever comes is heard once a turn, and between two turns those are told so that came meanwhile."""

NEWS = 0.1
"""How much the newest measurement of a row counts."""

AT_ANY_RATE = 32
"""So many requests may wait however long they take."""

STANDING = 0.1
"""The share of what may wait at once that may wait all the time."""


@dataclass(eq=False)
class Question:
    """A body that waits to be predicted, and whom to tell: the answer, None where the route behind has to say what is wrong, or why it is too late."""

    model: Served
    body: bytes
    arrived: datetime | None = None
    requests: Sequence[pydantic.BaseModel] = ()
    is_list: bool = False
    is_named: bool = False
    """Whether the version is named that has to answer."""
    trace: str = ""
    """The trace that it belongs to; empty where it belongs to none."""
    ticket: Ticket = field(init=False)
    tell: Callable[[Any], None] = field(init=False)
    fail: Callable[[TimeoutError], None] = field(init=False)

    def read(self, most: int) -> bool:
        """Read the requests, at most so many; False where that is not for the event loop."""
        try:
            content = parsed(self.body)
            items = items_of(content)
            if not 0 < len(items) <= most:
                return False
            self.is_list = isinstance(content, list)
            self.requests = validated(self.model.request, items, batch=self.is_list)
        except Exception:  # noqa: BLE001 - the route behind says what is wrong
            return False
        return True

    def tell_all(self, answers: list[Any]) -> None:
        """Tell the answers to its requests in the form of the body."""
        self.tell(answers if self.is_list else answers[0])

    def response(self, answer: Any) -> Parts:
        """What is sent of an answer."""
        content = to_json(answer)
        return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))], content


class Elsewhere(Protocol):
    """Who knows of models whose requests are divided."""

    def takes(self, question: Question) -> bool:
        """Whether it is another version's to answer, by whom it is told then."""
        ...

    def answered(self, question: Question) -> None:
        """The version that answers has answered it."""
        ...

    def failed(self, question: Question, kind: str) -> None:
        """It has not."""
        ...


class Together:
    """Predicts what has arrived together: no timer is set, and what comes alone does not wait.

    Where requests come together, a prediction is put off by two turns of the event loop, in which the sockets that are ready
    are read. Where the last one came alone, the next is predicted at once. One turn predicts no more than takes some
    milliseconds, so that what cannot be let in is told so meanwhile.
    """

    def __init__(
        self, models: LiveModels, admission: Admission, limits: Limits, elsewhere: Elsewhere | None = None
    ) -> None:
        """`elsewhere` is asked about nothing while no model is divided."""
        self._models, self._admission, self._limits = models, admission, limits
        self._elsewhere = elsewhere
        self._waiting: deque[Question] = deque()
        self._busy_since: float | None = None
        self._row_s: dict[str, float] = {}
        self._alone = True
        self._refused = 0

    def ask(self, question: Question) -> "asyncio.Future[Any]":
        """The answer, when it is there: in the form of the body; raises FullError where too much waits."""
        answer = asyncio.get_running_loop().create_future()
        question.tell, question.fail = partial(_tell, answer), partial(_failed, answer)
        self.put(question)
        return answer

    def put(self, question: Question) -> None:
        """Have a request answered, which is told; raises FullError where too much waits."""
        question.ticket = self._admission.admit(question.model.record.name, len(question.body))
        loop = asyncio.get_running_loop()
        self._waiting.append(question)
        if self._alone:
            self._alone = False
            self._predict_some()
            loop.call_soon(self._turn if self._waiting else self._look_around)
        elif len(self._waiting) == 1:
            loop.call_soon(loop.call_soon, self._turn)

    def _look_around(self) -> None:
        """Whether nobody else has come in the turn of the event loop in which one was predicted at once."""
        self._alone = not self._waiting

    def _turn(self) -> None:
        predicted = self._predict_some()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._alone = predicted == 1

    def _predict_some(self) -> int:
        """Predict what a turn has the time for; how many requests that were."""
        began = time.perf_counter()
        some = self._taken(began)
        for group in [some] if len(some) == 1 else _grouped(some):
            self._predict_group(group)
        self._give_back(some, self._since_the_last_turn(began))
        return len(some)

    def _since_the_last_turn(self, began: float) -> float:
        """Seconds of work that these were: with all that the event loop did between two turns, where they followed at once."""
        ended, since = time.perf_counter(), self._busy_since or began
        self._busy_since = ended if self._waiting else None
        return ended - since

    def _taken(self, began: float) -> list[Question]:
        """The next to be predicted, read; those that cannot be are told so, and those that waited too long."""
        some: list[Question] = []
        rows, work_s = 0, 0.0
        hurry, self._refused = self._admission.refused > self._refused, self._admission.refused
        may_take_s = HURRY_S if hurry else PREDICTING_S
        while (
            self._waiting
            and rows < MOST_ROWS
            and work_s < may_take_s
            and time.perf_counter() - began < READING_S
        ):
            question = self._waiting.popleft()
            if began - question.ticket.since > self._limits.deadline_s:
                question.fail(TimeoutError(late(self._limits)))
                self._admission.give_back(question.ticket)
                if divided := self._divided():
                    divided.failed(question, LATE)
            elif not question.read(min(MOST_ROWS, self._limits.rows)):
                question.tell(None)
                self._admission.give_back(question.ticket)
            elif (divided := self._divided()) and divided.takes(question):
                self._admission.give_back(question.ticket)
            else:
                rows += len(question.requests)
                work_s += len(question.requests) * self._row_s.get(question.model.record.name, 0.0)
                some.append(question)
        return some

    def _divided(self) -> Elsewhere | None:
        """Who knows of divided models, where there are any."""
        return self._elsewhere if self._elsewhere and self._models.splits else None

    def _give_back(self, some: list[Question], took_s: float) -> None:
        size = sum(len(question.body) for question in some)
        for question in some:
            self._admission.give_back(question.ticket, took_s * len(question.body) / size)

    def _predict_group(self, group: list[Question]) -> None:
        """A batch; where it fails, each by itself, so that one bad request spoils no other."""
        try:
            self._answer(group)
        except Exception:  # noqa: BLE001 - whoever asked is told by the route behind
            if len(group) == 1:
                return group[0].tell(None)
            for question in group:
                self._predict_group([question])

    def _answer(self, some: list[Question]) -> None:
        first = some[0]
        requests = [request for question in some for request in question.requests]
        began = time.perf_counter()
        answers = self._predicted(first, requests, traces_of(some))
        name, row_s = first.model.record.name, (time.perf_counter() - began) / len(requests)
        self._row_s[name] = self._row_s.get(name, row_s) * (1 - NEWS) + row_s * NEWS
        done = 0
        for question in some:
            question.tell_all(answers[done : done + len(question.requests)])
            done += len(question.requests)
        if divided := self._divided():
            for question in some:
                divided.answered(question)

    def _predicted(self, first: Question, requests: list[Any], traces: Traces) -> list[Any]:
        """Answers to requests of these traces, whichever request's turn of the event loop this is."""
        if traces == current():
            return self._models.predict(first.model, requests, arrived=first.arrived)
        with within(traces):
            return self._models.predict(first.model, requests, arrived=first.arrived)


def traces_of(some: Sequence[Question]) -> Traces:
    """The trace of each row of some questions that were read, or empty where none belongs to one."""
    for question in some:
        if question.trace:
            return [one.trace for one in some for _ in one.requests]
    return ""


def _grouped(some: Iterable[Question]) -> list[list[Question]]:
    """Those that are answered as of one moment by one model."""
    groups: dict[int, list[Question]] = defaultdict(list)
    for question in some:
        alone = by_the_wall_clock(question.model)
        groups[id(question) if alone else id(question.model)].append(question)
    return list(groups.values())


def _tell(answer: "asyncio.Future[Any]", result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


def _failed(answer: "asyncio.Future[Any]", why: TimeoutError) -> None:
    if not answer.done():
        answer.set_exception(why)
