"""The short way of tensors: read in the event loop, and predicted together with what else has arrived.

Whatever is not plain goes on to the route behind, as that of rows does: a large body, a version that does not answer for its
model, a model whose requests are divided or that answers by frames, and whatever is wrong.
"""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError

from resources.serving.http.admission import FullError
from resources.serving.http.lane import LARGEST, Asked, Together, again
from resources.serving.http.protocol.answers import response
from resources.serving.http.protocol.forms import InferRequest, outputs
from resources.serving.http.protocol.routes import HEADER_LENGTH, tensors
from resources.serving.http.refusals import refused
from resources.serving.live_models import LiveModels, Served

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

BEFORE, BEHIND, VERSIONS = "/v2/models/", "/infer", "/versions/"


class AskedTensors(Asked):
    """A body of tensors that waits to be predicted; its answer is what it asks for, and the rows' answers."""

    form: InferRequest

    def __init__(self, length: str | None, *given: Any) -> None:
        super().__init__(*given)
        self._length, self.is_list = length, True

    def read(self, most: int) -> bool:
        """Read the requests, at most so many; False where that is not for the event loop."""
        try:
            self.form, self.requests = tensors(self.body, self._length, self.model, most)
        except RequestValidationError:
            return False
        return bool(self.requests)

    def tell(self, answer: Any) -> None:
        super().tell(None if answer is None else (self.form, answer))


class TensorLane:
    """An ASGI application before another one, which it hands on to."""

    def __init__(self, app: "ASGIApp", models: LiveModels, together: Together) -> None:
        self.app, self._models, self._together = app, models, together

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        model = self._model(scope)
        if model is None:
            return await self.app(scope, receive, send)
        arrived, message = self._models.clock.now(), await receive()
        body = message.get("body", b"")
        if message["type"] != "http.request" or message.get("more_body") or len(body) > LARGEST:
            return await self.app(scope, again(message, receive), send)
        try:
            found = await self._found(model, body, arrived, scope)
        except FullError as full:
            return await full.answer(scope["path"])(scope, receive, send)
        except TimeoutError as why:
            return await refused(scope["path"], 504, str(why))(scope, receive, send)
        if found is None:
            return await self.app(scope, again(message, receive), send)
        form, answers = found
        return await response(form, model.record, answers, outputs(model))(scope, receive, send)

    async def _found(self, model: Served, body: bytes, arrived: datetime, scope: "Scope") -> Any:
        names = (
            value.decode("latin-1") for name, value in scope["headers"] if name == HEADER_LENGTH.encode()
        )
        return await self._together.ask(model, body, arrived, partial(AskedTensors, next(names, None)))

    def _model(self, scope: "Scope") -> Served | None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
            return None
        name, version = tensors_asked_for(scope["path"])
        model = self._models.served.get(name)
        if model is None or model.fast is None or version not in ("", model.record.version):
            return None
        return model if version or name not in self._models.splits else None


def tensors_asked_for(path: str) -> tuple[str, str]:
    """The name and the version of the model that a path asks by tensors; empty where it asks for something else, or any version."""
    if not (path.startswith(BEFORE) and path.endswith(BEHIND)):
        return "", ""
    name, _, version = path[len(BEFORE) : -len(BEHIND)].partition(VERSIONS)
    return name, version
