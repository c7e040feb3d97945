"""The addresses of the Open Inference Protocol, over the same models and answers as all others."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pydantic
from fastapi import HTTPException, Request
from starlette.responses import Response

from resources.serving.http.answering import predicted, served_model
from resources.serving.http.keys import KEYLESS
from resources.serving.http.protocol.answers import as_bytes, response
from resources.serving.http.protocol.forms import InferRequest, metadata, outputs
from resources.serving.http.protocol.rows import read, requests_of
from resources.serving.http.status import reasons
from resources.serving.http.versions import Asking
from resources.serving.live_models import LiveModels, Served
from resources.serving_limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

HEADER_LENGTH = "inference-header-content-length"
Answering = Callable[..., Coroutine[Any, Any, Response]]
"""What runs a function that answers outside of the event loop: the function, the model's name, the body, and what else it is given."""


def mount(app: "FastAPI", models: LiveModels, limits: Limits, answering: Answering, asking: Asking) -> None:
    """Add the routes to an application; `answering` runs what answers, and `asking` asks versions, as for the other routes."""

    @app.get("/v2", tags=["v2"])
    async def server() -> dict[str, Any]:
        return {"name": "mlops_assets", "version": "2", "extensions": ["binary_tensor_data"]}

    @app.get("/v2/health/live", tags=["v2"])
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready", tags=["v2"])
    async def ready(request: Request) -> dict[str, bool]:
        if why := reasons(models):
            raise HTTPException(503, "not ready" if KEYLESS in request.scope else "; ".join(why))
        return {"ready": True}

    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        _mount_model(app, path, models, limits, answering, asking)


def _mount_model(
    app: "FastAPI", path: str, models: LiveModels, limits: Limits, answering: Answering, asking: Asking
) -> None:
    @app.get(path, tags=["v2"])
    async def described(name: str, version: str = "") -> dict[str, Any]:
        model = await asking.named(name, version) or served_model(models, name)
        return metadata(model, asking.numbers(name))

    @app.get(f"{path}/ready", tags=["v2"])
    async def model_ready(name: str, version: str = "") -> dict[str, Any]:
        if model := await asking.named(name, version):
            await asking.refuse_unloaded(model)
        return {"name": name, "ready": True}

    @app.post(f"{path}/infer", tags=["v2"])
    async def infer(request: Request, name: str, version: str = "") -> Response:
        content, arrived = await request.body(), models.clock.now()
        length = request.headers.get(HEADER_LENGTH)
        other = await asking.named(name, version)
        model = other or models.served.get(name)
        split = None if version else asking.split_of(model)
        if model is None or (other is None and split is None):
            return await answering(inferred, name, content, models, name, content, length, arrived, limits)
        form, requests = await asking.read(tensors, content, content, length, model, limits.rows)
        if split is not None:
            answers = await asking.divided(model, split, requests, content, arrived) if requests else []
        else:
            answers = await asking.by_number(model, requests, arrived) if requests else []
        return response(form, model.record, answers, outputs(model))


def inferred(
    models: LiveModels,
    name: str,
    content: bytes,
    header_length: str | None,
    arrived: datetime,
    limits: Limits,
) -> Response:
    """The answer to a body of tensors; raises what FastAPI answers otherwise. Not for the event loop."""
    model = served_model(models, name)
    form, requests = tensors(content, header_length, model, limits.rows)
    answers = predicted(models, model, requests, False, arrived) if requests else []
    return response(form, model.record, answers, outputs(model))


def tensors(
    content: bytes, header_length: str | None, model: Served, most: int
) -> tuple[InferRequest, list[pydantic.BaseModel]]:
    """What a body of tensors asks for, and its rows, at most so many; raises the answer 422."""
    form, raw = read(content, header_length)
    as_bytes(form, outputs(model))
    return form, requests_of(form, raw, model.request, most)
