"""The endpoint's HTTP surface: predictions, pushed events, the list of models, and a page for people.

A plain ASGI application, so that it runs under Ray Serve in production and under a test client alike.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse

from resources.features.push import Pusher, To
from resources.serving.counts import Counts
from resources.serving.http import refusals
from resources.serving.http.admission import Admission
from resources.serving.http.answering import answered
from resources.serving.http.behind import Behind, is_busy
from resources.serving.http.bodies import parsed
from resources.serving.http.guard import Guard, Known
from resources.serving.http.keys import KEYLESS, OPEN, Keyring, Keys
from resources.serving.http.lane import Lane, Rows
from resources.serving.http.metrics import metered
from resources.serving.http.page.first_page import first_page
from resources.serving.http.protocol.lane import Tensors
from resources.serving.http.protocol.routes import mount
from resources.serving.http.push import take
from resources.serving.http.reference_page import reference_page
from resources.serving.http.schema import described
from resources.serving.http.shed import Shed
from resources.serving.http.status import reasons, status
from resources.serving.http.straight import Straight
from resources.serving.http.together import AT_ANY_RATE, STANDING, Together
from resources.serving.http.versions import Asking
from resources.serving.live_models import LiveModels
from resources.serving.log_writer import ServingLog
from resources.serving.version_counts import VersionCounts
from resources.serving.version_counts_writer import WrittenCounts
from resources.serving.versions.shadow import Shadow, running
from resources.serving.versions.versions import Shown, Versions
from resources.serving_limits import Limits


def application(
    models: LiveModels,
    address: str,
    log: ServingLog | None = None,
    pusher: Pusher | None = None,
    hosts: Iterable[str] = (),
    limits: Limits | None = None,
    keys: Sequence[str] = (),
    versions: Versions | None = None,
) -> FastAPI:
    """The routes over a set of live models; `address` is what the page's curl lines call.

    It answers to the names of this machine's loopback address, and to `hosts`; where there are `keys`, to who has one.
    The log is closed when the server shuts the application down, so that nothing that was served is lost.
    """
    app = FastAPI(
        title="Deployed models",
        docs_url=None,
        redoc_url=None,
        lifespan=_closing(log, versions),
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked about at every request
    )
    limits = limits or Limits()
    asking, behind, counts = _layered(app, models, log, tuple(hosts), limits, keys, versions)
    refusals.tell(app)

    @app.post("/predict/{name}", deprecated=True)
    @app.post("/v1/models/{name}/predict")
    async def predict(name: str, request: Request, features: bool = False, explain: bool = False) -> Any:
        content, arrived = await request.body(), models.clock.now()
        model = models.served.get(name)
        split = asking.split_of(model)
        if model is not None and split is not None and not explain:
            return await asking.divided_body(model, split, content, features, arrived)
        given = models, name, content, features, arrived, limits.rows, explain
        return await behind.answer(answered, name, content, *given)

    @app.post("/v1/models/{name}/versions/{version}/predict")
    async def predict_by_version(
        name: str, version: str, request: Request, features: bool = False, explain: bool = False
    ) -> Any:
        content, arrived = await request.body(), models.clock.now()
        model = await asking.named(name, version)
        if model is None:
            given = models, name, content, features, arrived, limits.rows, explain
            return await behind.answer(answered, name, content, *given)
        return await asking.named_body(model, content, Shown(features, explain), arrived)

    mount(app, models, limits, behind.answer, asking)

    @app.post("/push/{source}")
    async def push(source: str, request: Request, to: To = "both") -> Any:
        return await to_thread.run_sync(_take, pusher, source, await request.body(), to)

    @app.get("/models")
    async def list_models() -> list[dict[str, Any]]:
        return status(models)

    @app.get("/healthz")
    async def healthz(request: Request) -> dict[str, Any]:
        if KEYLESS in request.scope:
            return {"status": "ok"}
        return {
            "status": "ok",
            "models": len(models.served),
            "problems": models.problems,
            "serving_log": log and log.status(),
            "unseen_categories": models.unseen.status(),
        }

    @app.get("/readyz")
    async def readyz(request: Request) -> JSONResponse:
        why = reasons(models)
        details = {} if KEYLESS in request.scope else {"reasons": why, "problems": dict(models.problems)}
        return JSONResponse({"ready": not why, **details}, 503 if why else 200)

    @app.get("/", response_class=HTMLResponse)
    def page() -> HTMLResponse:
        return first_page(models, counts, address, pusher)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def docs() -> str:
        return reference_page(app.openapi())

    def openapi() -> dict[str, Any]:
        sources = pusher.sources.values() if pusher else ()
        events = {source.name: source.event for source in sources if not source.refusal}
        return described(app, models.served, events, limits, bool(keys))

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _layered(
    app: FastAPI,
    models: LiveModels,
    log: ServingLog | None,
    hosts: tuple[str, ...],
    limits: Limits,
    keys: Sequence[str],
    versions: Versions | None,
) -> tuple[Asking, Behind, Counts]:
    """Put before the routes what every request goes through, the last one first, and what answers plain predictions without them."""
    short, behind = Admission(limits.wait_s, AT_ANY_RATE, STANDING), Behind(models, limits)
    counts = VersionCounts()
    asking = Asking(models, versions, behind, limits, counts)
    together, known, ring = Together(models, short, limits, asking), Known(), Keyring(keys) if keys else None
    anywhere = OPEN if ring else frozenset[str]()
    app.add_middleware(Lane, models=models, together=together, readers=(Rows(), Tensors()))
    app.add_middleware(Guard, hosts=hosts, largest=limits.body_bytes, anywhere=anywhere, known=known)
    app.add_middleware(Shed, models=models, short=short, behind=behind.admission)
    if ring:
        app.add_middleware(Keys, ring=ring)
    meter = metered(app, models, log)
    meter.counts.versions = counts
    if versions:
        meter.counts.faults = versions.faults.counts
        app.state.shadow = Shadow(models, versions, log, counts, lambda: is_busy(short, behind.admission))
        models.copied = app.state.shadow.take
    app.state.counts = counts
    app.state.admissions = {"short": short, "behind": behind.admission}
    app.state.straight = Straight(models, together, short, meter, known, ring, limits.body_bytes)
    return asking, behind, meter.counts


def _closing(log: ServingLog | None, versions: Versions | None) -> Any:
    """What a server does around serving: score copies; at the end, end the versions' processes and wait until what was served is on disk."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if log:
                stack.push_async_callback(to_thread.run_sync, log.close)
                counts = WrittenCounts(log.folder, app.state.counts)
                stack.push_async_callback(to_thread.run_sync, counts.close)
            if versions:
                stack.push_async_callback(versions.close)
                await stack.enter_async_context(running(app.state.shadow.run()))
            yield

    return lifespan


def _take(pusher: Pusher | None, source: str, content: bytes, to: To) -> dict[str, Any]:
    return take(pusher, source, parsed(content), to)
