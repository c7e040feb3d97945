"""The short way of a prediction through the application: models that answer without frames, in the event loop.

Whatever is not plain goes on to the route behind: another path, a query, a large body, a model that answers by frames, and
whatever is wrong, so that there is one place that says what.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from resources.serving.http.admission import FullError
from resources.serving.http.guard import replayed
from resources.serving.http.refusals import refused
from resources.serving.http.together import Question, Together
from resources.serving.live_models import LiveModels, Served, by_the_wall_clock
from resources.telemetry.trace_ids import current, trace_in, within

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PATHS = (("/v1/models/", "/predict"), ("/predict/", ""))
"""Before and behind a model's name where a prediction of it is asked for; the second is the address of earlier releases."""

LARGEST = 64 * 1024
"""Bytes of a body that is read in the event loop."""

TRIED = "mlops.tried"
"""What a request's scope has whose body was read before, on the connection, and is no plain one."""


class Reader(Protocol):
    """A form in which requests come: which model is asked in it, and what waits for an answer."""

    def model(self, path: str, models: LiveModels) -> Served | None:
        """The model that a path asks for a prediction in this form; None where it is not for the event loop."""
        ...

    def question(self, scope: "Scope", model: Served, body: bytes, arrived: datetime | None) -> Question:
        """A body as it waits."""
        ...


class Rows:
    """Rows as objects, by the fields of the model's request."""

    def model(self, path: str, models: LiveModels) -> Served | None:
        return models.served.get(asked_for(path))

    def question(self, scope: "Scope", model: Served, body: bytes, arrived: datetime | None) -> Question:
        return Question(model, body, arrived)


class Lane:
    """An ASGI application before another one, which it hands on to; each of the readers knows one form of requests."""

    def __init__(
        self, app: "ASGIApp", models: LiveModels, together: Together, readers: Sequence[Reader]
    ) -> None:
        self.app, self._models, self._together, self._readers = app, models, together, readers

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        trace = trace_in(scope["headers"]) if scope["type"] == "http" else ""
        if not trace:
            return await self._answer(scope, receive, send)
        with within(trace):
            return await self._answer(scope, receive, send)

    async def _answer(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        target = self._target(scope)
        if target is None:
            return await self.app(scope, receive, send)
        (reader, model), message = target, await receive()
        body = message.get("body", b"")
        if message["type"] != "http.request" or message.get("more_body") or len(body) > LARGEST:
            return await self.app(scope, replayed(message, receive), send)
        arrived = self._models.clock.now() if by_the_wall_clock(model) else None
        question = reader.question(scope, model, body, arrived)
        question.trace = str(current())
        try:
            answer = await self._together.ask(question)
        except FullError as full:
            return await full.answer(scope["path"])(scope, receive, send)
        except TimeoutError as why:
            return await refused(scope["path"], 504, str(why))(scope, receive, send)
        if answer is None:
            return await self.app(scope, replayed(message, receive), send)
        headers, content = question.response(answer)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        return None

    def _target(self, scope: "Scope") -> tuple[Reader, Served] | None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"] or TRIED in scope:
            return None
        for reader in self._readers:
            model = reader.model(scope["path"], self._models)
            if model is not None:
                return (reader, model) if model.fast is not None else None
        return None


def asked_for(path: str) -> str:
    """The name of the model that a path asks for a prediction; empty where it asks for something else."""
    for before, behind in PATHS:
        if path.startswith(before) and path.endswith(behind):
            return path[len(before) : len(path) - len(behind)]
    return ""
