"""The short way of a prediction through the application: models that answer without frames, in the event loop.

Whatever is not plain goes on to the route behind: another path, a query, a large body, a model that answers by frames, and
whatever is wrong, so that there is one place that says what.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pydantic

from resources.serving.http.bodies import items_of, parsed, validated
from resources.serving.live_models import LiveModels, Served, by_the_wall_clock

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = (("/v1/models/", "/predict"), ("/predict/", ""))
"""Before and behind a model's name where a prediction of it is asked for; the second is the address of earlier releases."""

LARGEST = 64 * 1024
"""Bytes of a body that is read in the event loop."""

MOST_ROWS = 100
"""Rows that are predicted there at once: more would keep other requests waiting."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """Requests of one body that wait to be predicted."""

    model: Served
    requests: Sequence[pydantic.BaseModel]
    arrived: datetime
    answer: "asyncio.Future[list[dict[str, Any]]]"


class Together:
    """Predicts what has arrived together: no timer is set, and what comes alone does not wait.

    A prediction is put off by two turns of the event loop, in which the sockets that are ready are read.
    """

    def __init__(self, models: LiveModels) -> None:
        self._models = models
        self._waiting: list[_Asked] = []

    def ask(
        self, model: Served, requests: Sequence[pydantic.BaseModel], arrived: datetime
    ) -> "asyncio.Future[list[dict[str, Any]]]":
        """The answers, when they are there."""
        loop = asyncio.get_running_loop()
        asked = _Asked(model, requests, arrived, loop.create_future())
        self._waiting.append(asked)
        if len(self._waiting) == 1:
            loop.call_soon(loop.call_soon, self._predict)
        return asked.answer

    def _predict(self) -> None:
        taken, self._waiting = self._waiting, []
        groups: dict[Any, list[_Asked]] = defaultdict(list)
        for asked in taken:
            alone = by_the_wall_clock(asked.model)
            groups[id(asked) if alone else id(asked.model)].append(asked)
        for group in groups.values():
            self._predict_group(group)

    def _predict_group(self, group: list[_Asked]) -> None:
        """A batch; where it fails, each by itself, so that one bad request spoils no other."""
        for some in _limited(group):
            try:
                self._answer(some)
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                if len(some) == 1:
                    _fail(some[0], error)
                    continue
                for asked in some:
                    self._predict_group([asked])

    def _answer(self, some: list[_Asked]) -> None:
        first = some[0]
        requests = [request for asked in some for request in asked.requests]
        answers = self._models.predict(first.model, requests, arrived=first.arrived)
        done = 0
        for asked in some:
            if not asked.answer.done():
                asked.answer.set_result(answers[done : done + len(asked.requests)])
            done += len(asked.requests)


def _fail(asked: _Asked, error: Exception) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(error)


def _limited(group: list[_Asked]) -> list[list[_Asked]]:
    """The group in parts of at most so many rows."""
    parts: list[list[_Asked]] = [[]]
    rows = 0
    for asked in group:
        if parts[-1] and rows + len(asked.requests) > MOST_ROWS:
            parts.append([])
            rows = 0
        parts[-1].append(asked)
        rows += len(asked.requests)
    return parts


class Lane:
    """An ASGI application before another one, which it hands on to."""

    def __init__(self, app: "ASGIApp", models: LiveModels) -> None:
        self.app, self._models, self._together = app, models, Together(models)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        model = self._model(scope)
        if model is None:
            return await self.app(scope, receive, send)
        arrived, message = self._models.clock.now(), await receive()
        content = await self._content(model, message, arrived)
        if content is None:
            return await self.app(scope, _again(message, receive), send)
        await send({"type": "http.response.start", "status": 200, "headers": _headers(content)})
        await send({"type": "http.response.body", "body": content})
        return None

    def _model(self, scope: "Scope") -> Served | None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
            return None
        model = self._models.served.get(_asked(scope["path"]))
        return model if model is not None and model.fast is not None else None

    async def _content(self, model: Served, message: "Message", arrived: datetime) -> bytes | None:
        """The answer's body; None where the route behind has to say what is wrong."""
        body = message.get("body", b"")
        if message["type"] != "http.request" or message.get("more_body") or len(body) > LARGEST:
            return None
        try:
            asked = parsed(body)
            items = items_of(asked)
            if not 0 < len(items) <= MOST_ROWS:
                return None
            requests = validated(model.request, items, batch=isinstance(asked, list))
            answers = await self._together.ask(model, requests, arrived)
        except Exception:  # noqa: BLE001 - the route behind says what is wrong
            return None
        return _text(answers if isinstance(asked, list) else answers[0])


def _asked(path: str) -> str:
    """The name of the model that a path asks for a prediction; empty where it asks for something else."""
    for before, behind in PATHS:
        if path.startswith(before) and path.endswith(behind):
            return path[len(before) : len(path) - len(behind)]
    return ""


def _again(message: "Message", receive: "Receive") -> "Receive":
    waiting = [message]

    async def again() -> "Message":
        return waiting.pop() if waiting else await receive()

    return again


def _text(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _headers(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
