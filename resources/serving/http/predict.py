"""The endpoint's HTTP surface: predictions, pushed events, the list of models, and a page for people.

A plain ASGI application, so that it runs under Ray Serve in production and under a test client alike.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import pydantic
from anyio import to_thread
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse

from resources.features.push import Pusher, To
from resources.serving.http.bodies import items_of, parsed, validated
from resources.serving.http.guard import Guard
from resources.serving.http.lane import Lane
from resources.serving.http.page import page
from resources.serving.http.push import take
from resources.serving.http.schema import described
from resources.serving.live_models import LiveModels, Served
from resources.serving.log_writer import ServingLog

LOG = logging.getLogger(__name__)


def application(
    models: LiveModels,
    address: str,
    log: ServingLog | None = None,
    pusher: Pusher | None = None,
    hosts: Iterable[str] = (),
) -> FastAPI:
    """The routes over a set of live models; `address` is what the page's curl lines call.

    It answers to the names of this machine's loopback address, and to `hosts`.
    The log is closed when the server shuts the application down, so that nothing that was served is lost.
    """
    app = FastAPI(title="Deployed models", docs_url=None, redoc_url=None, lifespan=_closing(log))
    app.add_middleware(Lane, models=models)
    app.add_middleware(Guard, hosts=tuple(hosts))

    @app.post("/predict/{name}")
    async def predict(name: str, request: Request, features: bool = False) -> Any:
        arrived = models.clock.now()
        return await to_thread.run_sync(_answer, models, name, await request.body(), features, arrived)

    @app.post("/push/{source}")
    async def push(source: str, request: Request, to: To = "both") -> Any:
        return await to_thread.run_sync(_take, pusher, source, await request.body(), to)

    @app.get("/models")
    async def list_models() -> list[dict[str, Any]]:
        return status(models)

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {
            "status": "ok",
            "models": len(models.served),
            "problems": models.problems,
            "serving_log": log and log.status(),
            "unseen_categories": models.unseen.status(),
        }

    @app.get("/", response_class=HTMLResponse)
    def first_page() -> str:
        return page(status(models), models.served, address, pusher)

    def openapi() -> dict[str, Any]:
        sources = pusher.sources.values() if pusher else ()
        events = {source.name: source.event for source in sources if not source.refusal}
        return described(app, {name: model.request for name, model in models.served.items()}, events)

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _closing(log: ServingLog | None) -> Any:
    """What a server does around serving: at the end, wait until the log is on disk."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if log:
            await to_thread.run_sync(log.close)

    return lifespan


def _take(pusher: Pusher | None, source: str, content: bytes, to: To) -> dict[str, Any]:
    return take(pusher, source, parsed(content), to)


def _answer(models: LiveModels, name: str, content: bytes, features: bool, arrived: datetime) -> Any:
    body, model = parsed(content), _found(models, name)
    requests = validated(model.request, items_of(body), batch=isinstance(body, list))
    if not requests:
        return []
    answers = _predicted(models, model, requests, features, arrived)
    return answers if isinstance(body, list) else answers[0]


def _predicted(
    models: LiveModels,
    model: Served,
    requests: list[pydantic.BaseModel],
    features: bool,
    arrived: datetime,
) -> list[dict[str, Any]]:
    try:
        return models.predict(model, requests, features, arrived)
    except Exception as error:
        record = model.record
        shown = (record.version, record.name, len(requests), repr(requests[0])[:1000])
        LOG.exception("version %s of %s failed on %s requests, the first is %s", *shown)
        raise HTTPException(
            500, f"version {record.version} of {record.name} failed: {type(error).__name__}: {error}"
        ) from error


def _found(models: LiveModels, name: str) -> Served:
    """The model, or the status that says whether it is unknown or not there yet."""
    served = models.served
    if name in served:
        return served[name]
    if name in models.held.retired:
        raise HTTPException(410, retired(models, name))
    if name in models.problems:
        raise HTTPException(
            503, f"model {name!r} has a deployment that cannot be served: {models.problems[name]}"
        )
    if not served and not models.problems:
        raise HTTPException(
            503,
            f"no model is deployed yet, {name!r} neither: materialize the asset {name}/deployment in the Dagster UI "
            "(or run `make run`); the endpoint takes it up within seconds",
        )
    raise HTTPException(
        404,
        {
            "message": f"no model {name!r} is deployed; if it should be, materialize the asset {name}/deployment",
            "models": sorted({*served, *models.problems}),
        },
    )


def retired(models: LiveModels, name: str) -> str:
    """That a model was taken out of service, by whom and why."""
    return f"model {name!r} is retired. {models.held.retired[name]}. `mlops retire {name} --undo --why WHY` brings it back"


def status(models: LiveModels) -> list[dict[str, Any]]:
    """What answers now, and what should but cannot, by name."""
    served, problems = models.served, models.problems
    names = sorted({*served, *problems, *models.held.retired})
    return [_status(models, name, served.get(name), problems.get(name)) for name in names]


def _status(models: LiveModels, name: str, model: Served | None, problem: str | None) -> dict[str, Any]:
    if model is None:
        held = retired(models, name) if name in models.held.retired else None
        return {"name": name, "version": None, "problem": problem, "held": held}
    pause = models.held.pause_of(name)
    record, now = model.record, models.now(model).astimezone(UTC)
    return {
        "name": name,
        "version": record.version,
        "task": record.task,
        "since": model.since.isoformat(timespec="seconds"),
        "as_of": now.isoformat(),
        "clock": record.clock,
        "feature_service": record.feature_service,
        "owner": record.owner,
        "problem": problem,
        "held": f"paused: nothing is retrained or promoted. {pause}" if pause else None,
    }
