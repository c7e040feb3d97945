"""The exporter: metrics for Prometheus, the webhook of its Alertmanager, and a page from metric to alert to message."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mlops_assets.kit.operations import month_costs
from mlops_assets.local.instance import instance_in
from mlops_assets.local.watch_page import watch_page
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.exposition import Exposition, View, view_of
from mlops_assets.stages.standing import Operations
from resources.addresses import is_loopback
from resources.alerts.alertmanager import FindPlace, take_webhook
from resources.alerts.outbox import Alerts
from resources.alerts.policy import PolicyError
from resources.clock import wall
from resources.cluster import resources_of
from resources.pages import Pages
from resources.settings import Settings
from resources.storage.errors import StorageError
from resources.systems import Systems

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

LOG = logging.getLogger(__name__)
SEND_EVERY_S = 5.0
COSTS_EVERY_S = 300.0
PAGE_OF = {
    "drift_alarm": "drift",
    "quality_under_floor": "performance",
    "labels_missing": "performance",
    "rollout_rolled_back": "rollout",
    "rollout_waits": "rollout",
}
"""Which asset of a model shows what a kind of alert is about; the others are on the deployment's page."""


def application(where: Settings, specs: Callable[[], Mapping[str, ModelSpec]], cached_s: float) -> "ASGIApp":
    """The routes `/metrics`, `/`, `/healthz` and `/alertmanager`, which answer to this machine's own names alone.

    Where others reach it they answer by any name, as a Prometheus asks that knows a pod by its number, to whoever brings a key.
    """
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route

    from resources.serving.http.guard import Guard
    from resources.serving.http.keys import Keyring, Keys

    parts = resources_of(where)
    alerts: Alerts = parts["alerts"]
    costs = Costs(where)

    def look() -> View:
        known = specs()
        return view_of(Systems.of(parts), known, alerts.states, Operations(costs=costs.of(sorted(known))))

    exposition = Exposition(look, cached_s)

    def metrics(request: "Request") -> "Response":
        content, kind = _text(exposition, request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": kind})

    def page(_: "Request") -> "Response":
        return HTMLResponse(watch_page(exposition.view(), alerts.states()))

    def healthy(_: "Request") -> "Response":
        return PlainTextResponse("ok")

    routes = [
        Route("/metrics", metrics),
        Route("/", page),
        Route("/healthz", healthy),
        Route("/alertmanager", _webhook(alerts, _finder(parts["pages"], specs)), methods=["POST"]),
    ]
    if is_loopback(where.metrics_host):
        return Guard(Starlette(routes=routes), where.serve_names)
    paths = frozenset(route.path for route in routes)
    return Guard(Keys(Starlette(routes=routes), Keyring(where.serve_keys)), anywhere=paths)


class Costs:
    """What the models cost this month by what Dagster's runs say, asked for anew every few minutes: it reads many events."""

    def __init__(self, where: Settings) -> None:
        self._where, self._until = where, 0.0
        self._costs: Mapping[str, float] = {}

    def of(self, models: list[str]) -> Mapping[str, float]:
        """CPU-hours by model; none of a model of which no run says what it took, or where there is no Dagster instance yet."""
        if time.monotonic() < self._until:
            return self._costs
        with instance_in(self._where) as instance:
            if instance is not None:
                self._costs = month_costs(instance, models, wall())
                self._until = time.monotonic() + COSTS_EVERY_S
        return self._costs


def _text(exposition: Exposition, accept: str) -> tuple[bytes, str]:
    """The metrics in the form that whoever asks wants."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(exposition)
    encoder, kind = choose_encoder(accept)
    return encoder(registry), kind


def _finder(pages: Pages, specs: Callable[[], Mapping[str, ModelSpec]]) -> FindPlace:
    """Who answers for what a rule is about, and the page of the asset that shows it."""

    def find_place(kind: str, subject: str) -> tuple[str | None, str]:
        spec = specs().get(subject)
        if spec is None:
            return None, pages.asset(*subject.split("/")) if kind == "stale_data" else ""
        return spec.owner, pages.asset(subject, PAGE_OF.get(kind, "deployment"))

    return find_place


def _webhook(alerts: Alerts, find_place: FindPlace) -> Callable[["Request"], Any]:
    """Answer 200 once what came lies in the outbox; anything else has Alertmanager try again."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    async def take(request: "Request") -> "Response":
        body = await request.body()
        try:
            return JSONResponse(
                {"alerts": await run_in_threadpool(take_webhook, alerts, body, wall(), find_place)}
            )
        except ValueError as error:
            return JSONResponse({"error": f"this is no webhook of Alertmanager, version 4: {error}"}, 422)

    return take


def send_until(over: threading.Event, alerts: Alerts, every_s: float = SEND_EVERY_S) -> None:
    """Give what is due to its routes, as the sensor does; two that send are one at a time."""
    while not over.wait(every_s):
        try:
            for line in alerts.send_due(wall()):
                LOG.info(line)
        except (PolicyError, StorageError, OSError) as error:
            LOG.error("alerts were not sent, and will be: %s", error)


def serve(where: Settings, specs: Callable[[], Mapping[str, ModelSpec]], port: int, cached_s: float) -> None:
    """Answer until SIGINT or SIGTERM comes."""
    import uvicorn

    over = threading.Event()
    sender = threading.Thread(target=send_until, args=(over, resources_of(where)["alerts"]), daemon=True)
    sender.start()
    config = uvicorn.Config(
        application(where, specs, cached_s),
        host=where.metrics_host,
        port=port,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    print(f"metrics on http://{where.metrics_host}:{port}/metrics", flush=True)
    try:
        uvicorn.Server(config).run()
    finally:
        over.set()
        sender.join(timeout=30)
