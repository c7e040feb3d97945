"""`GET /metrics`: what the endpoint does, for Prometheus, and the count of every request that comes by.

A model's name is a label only where the endpoint knows the model: whoever asks for others cannot fill Prometheus with names.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily
from starlette.requests import Request
from starlette.responses import Response

from resources.records.reader import RecordError
from resources.serving.counts import Counted, Counts, Outcome
from resources.serving.live_models import LiveModels
from resources.serving.shared_counts import SharedCounts, sums

if TYPE_CHECKING:
    from fastapi import FastAPI
    from prometheus_client.metrics_core import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from resources.serving.log_writer import ServingLog

EVERY_S = 1.0
"""Between two times that a process writes its sums where the others read them."""

MOST_PLACES = 1_000
"""So many paths of known models are remembered with what they are of."""

KINDS = {
    400: "not_read",
    401: "no_key",
    403: "forbidden",
    404: "unknown",
    405: "method",
    410: "retired",
    413: "too_large",
    415: "not_json",
    422: "invalid",
    429: "overloaded",
    500: "failed",
    503: "unavailable",
    504: "too_late",
}
OK: Outcome = ("200", "")
OVERLOADED: Outcome = ("503", "overloaded")
TOO_LATE: Outcome = ("504", KINDS[504])
GONE: Outcome = ("none", "disconnected")
"""Whoever asked left before an answer began."""


def metered(app: "FastAPI", models: LiveModels, log: "ServingLog | None" = None) -> "Meter":
    """Count what an application and its models answer, and add the route; called last, so that nothing is answered before it."""
    counts = Counts()
    models.log = Counted(counts, models.log)
    shared = Shared(models, counts, log)
    meter = Meter(counts, shared)
    app.add_middleware(Metrics, meter=meter, known=_known(models), shared=shared)

    @app.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        return await to_thread.run_sync(shared.answer, request.headers.get("accept", ""))

    return meter


def _known(models: LiveModels) -> Callable[[str], bool]:
    return lambda name: name in models.served or name in models.problems or name in models.held.retired


class Meter:
    """Counts requests from their beginning to their end, in the event loop."""

    def __init__(self, counts: Counts, shared: "Shared") -> None:
        self.counts, self._shared, self._due = counts, shared, False

    def begin(self) -> float:
        """A request has come: when, by the clock that its end is measured by."""
        self.counts.in_progress += 1
        return time.perf_counter()

    def end(self, place: tuple[str, str], outcome: Outcome, began: float) -> None:
        """It is answered; `place` are model and route."""
        self.counts.in_progress -= 1
        self.counts.answered(*place, outcome, time.perf_counter() - began)
        self._write_soon()

    def turned_away(self, place: tuple[str, str]) -> None:
        """One has come and is told to come again."""
        self.counts.answered(*place, OVERLOADED, 0.0)
        self._write_soon()

    def leave(self) -> None:
        """It is somebody else's, who counts it from its beginning."""
        self.counts.in_progress -= 1

    def _write_soon(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(EVERY_S, self._write)

    def _write(self) -> None:
        self._due = False
        self._shared.write()


class Metrics:
    """An ASGI application around another one, of which it counts requests and times."""

    def __init__(self, app: "ASGIApp", meter: Meter, known: Callable[[str], bool], shared: "Shared") -> None:
        self.app, self._meter, self._known, self._shared = app, meter, known, shared
        self._places: dict[str, tuple[str, str]] = {}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "http":
            return await self._counted(scope, receive, send)
        if scope["type"] == "lifespan":
            self._shared.write()
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] == "lifespan":
                self._shared.close()

    async def _counted(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        began, outcome = self._meter.begin(), GONE

        async def watched(message: "Message") -> None:
            nonlocal outcome
            if message["type"] == "http.response.start":
                outcome = _outcome(message)
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            outcome = ("500", KINDS[500]) if outcome is GONE else outcome
            raise
        finally:
            self._meter.end(self._place(scope), outcome, began)

    def _place(self, scope: "Scope") -> tuple[str, str]:
        """The model and the route of a request; empty where there is none that is known."""
        path = scope["path"]
        place = self._places.get(path)
        if place is None:
            name, place = _matched(scope, self._known)
            if (not name or place[0]) and len(self._places) < MOST_PLACES:
                self._places[path] = place
        return place


def _outcome(message: "Message") -> Outcome:
    status = message["status"]
    if status < 400:
        return OK if status == 200 else (str(status), "")
    if status == 503 and any(name.lower() == b"retry-after" for name, _ in message.get("headers", ())):
        return OVERLOADED
    return str(status), KINDS.get(status, "other")


def _matched(scope: "Scope", known: Callable[[str], bool]) -> tuple[str, tuple[str, str]]:
    """What a path names, and the model (empty: none that is known) and route that it is of (empty: no route)."""
    for route in scope["app"].routes:
        match = route.path_regex.match(scope["path"]) if hasattr(route, "path_regex") else None
        if match:
            named = match.groupdict()
            name = named.get("name", "")
            return "".join(named.values()), (name if known(name) else "", route.path)
    return scope["path"], ("", "")


class Shared:
    """The sums of this process where other processes read them, and all of them as Prometheus reads them."""

    def __init__(self, models: LiveModels, counts: Counts, log: "ServingLog | None") -> None:
        self._models, self._counts, self._log = models, counts, log
        self._files: SharedCounts | None = None

    def write(self) -> SharedCounts:
        """Write down the sums so far; where they are."""
        files = self._files or SharedCounts(self._models.folder / "metrics")
        self._files = files
        log_status = self._log.status() if self._log else None
        files.write(sums(self._counts, log_status), self._models.clock.now().timestamp())
        return files

    def answer(self, accept: str) -> Response:
        """The metrics of all processes, in the form that the asker takes."""
        files = self.write()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(files)
        registry.register(Standing(self._models))
        write, kind = choose_encoder(accept)
        return Response(write(registry), headers={"content-type": kind})

    def close(self) -> None:
        """Write what is left and leave the files to the processes that go on."""
        if self._files:
            self.write().close()
            self._files = None


class Standing:
    """What is so at the moment of the question, in every process alike: versions, problems, how far the data has come."""

    def __init__(self, models: LiveModels) -> None:
        self._models = models

    def collect(self) -> "Iterator[Metric]":
        """The metrics, for a registry of prometheus-client."""
        versions = InfoMetricFamily("mlops_model", "The version that answers for a model.", labels=["model"])
        ages = GaugeMetricFamily(
            "mlops_features_age_seconds",
            "Now minus the moment as of which a model answers.",
            labels=["model"],
        )
        for name, model in self._models.served.items():
            facts = {"version": model.record.version, "feature_service": model.record.feature_service}
            versions.add_metric([name], facts | {"owner": model.record.owner or ""})
            age = self._age(model)
            if age is not None:
                ages.add_metric([name], age)
        problems = GaugeMetricFamily(
            "mlops_model_problem", "1 where a deployment cannot be served as it should.", labels=["model"]
        )
        for name in {*self._models.served, *self._models.problems}:
            problems.add_metric([name], float(name in self._models.problems))
        yield from (versions, ages, problems)

    def _age(self, model: Any) -> float | None:
        try:
            return (self._models.clock.now() - self._models.now(model)).total_seconds()
        except RecordError:
            return None
