"""The short way of tensors: read in the event loop, and predicted together with what else has arrived.

Whatever is not plain goes on to the route behind, as that of rows does: a large body, a version that does not answer for its
model, a model that answers by frames, and whatever is wrong.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError

from resources.serving.http.protocol.answers import response
from resources.serving.http.protocol.forms import InferRequest, outputs
from resources.serving.http.protocol.routes import HEADER_LENGTH, tensors
from resources.serving.http.together import Parts, Question
from resources.serving.live_models import LiveModels, Served

if TYPE_CHECKING:
    from starlette.types import Scope

LENGTH = HEADER_LENGTH.encode()
BEFORE, BEHIND, VERSIONS = "/v2/models/", "/infer", "/versions/"


class AskedTensors(Question):
    """A body of tensors that waits to be predicted."""

    form: InferRequest

    def __init__(
        self, model: Served, body: bytes, arrived: datetime | None, length: str | None, is_named: bool
    ) -> None:
        super().__init__(model, body, arrived, is_list=True, is_named=is_named)
        self._length = length

    def read(self, most: int) -> bool:
        """Read the requests, at most so many; False where that is not for the event loop."""
        try:
            self.form, self.requests = tensors(self.body, self._length, self.model, most)
        except RequestValidationError:
            return False
        return bool(self.requests)

    def response(self, answer: Any) -> Parts:
        """What is sent of the rows' answers: the tensors that were asked for."""
        reply = response(self.form, self.model.record, answer, outputs(self.model))
        return reply.raw_headers, bytes(reply.body)


class Tensors:
    """Rows as tensors, by the Open Inference Protocol."""

    def model(self, path: str, models: LiveModels) -> Served | None:
        name, version = tensors_asked_for(path)
        model = models.served.get(name)
        return model if model is not None and version in ("", model.record.version) else None

    def question(self, scope: "Scope", model: Served, body: bytes, arrived: datetime | None) -> Question:
        names = (value.decode("latin-1") for name, value in scope["headers"] if name == LENGTH)
        _, version = tensors_asked_for(scope["path"])
        return AskedTensors(model, body, arrived, next(names, None), bool(version))


def tensors_asked_for(path: str) -> tuple[str, str]:
    """The name and the version of the model that a path asks by tensors; empty where it asks for something else, or any version."""
    if not (path.startswith(BEFORE) and path.endswith(BEHIND)):
        return "", ""
    name, _, version = path[len(BEFORE) : -len(BEHIND)].partition(VERSIONS)
    return name, version
