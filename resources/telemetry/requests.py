"""Requests to the endpoint as spans: a caller's `traceparent` is taken up, and the answer says which trace it is in.

Only where something is exported does this stand before the application; else the endpoint is what it was, its short way on
the connection included, which goes around every layer.
"""

import logging
import re
from typing import TYPE_CHECKING, Any

from resources.telemetry.exporting import Telemetry, telemetry
from resources.telemetry.trace_ids import within

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger(__name__)
SERVICE = "mlops-endpoint"
REQUEST_ID = re.compile(rb'"request_id"\s*:\s*"([0-9a-f]{32})"')
MOST_IDS = 100


def traced(app: Any) -> Any:
    """An application whose requests are spans; the same one where nothing is exported."""
    ours = telemetry(SERVICE)
    return app if ours is None else Traced(app, ours)


class Traced:
    """An ASGI application before another one."""

    def __init__(self, app: "ASGIApp", ours: Telemetry) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app, self._tracer = app, ours.tracer
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        from opentelemetry.trace import SpanKind

        heads = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        parent = self._propagator.extract(heads)
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"]}
        started = self._tracer.start_as_current_span(scope["method"], parent, SpanKind.SERVER, attributes)
        with started as span, within(f"{span.get_span_context().trace_id:032x}"):
            await self._app(scope, receive, Answering(self._propagator, span, send, scope).send)
        return None


class Answering:
    """One answer on its way: its status and the rows' ids become the span's, and its head says the trace."""

    def __init__(self, propagator: Any, span: Any, send: "Send", scope: "Scope") -> None:
        self._propagator, self._span, self._send, self._scope = propagator, span, send, scope
        self._status = 0

    async def send(self, message: "Message") -> None:
        """Send a part of it on."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            ours = [(name.encode(), value.encode()) for name, value in carrier.items()]
            message = {**message, "headers": [*message.get("headers", ()), *ours]}
            self._span.set_attribute("http.response.status_code", self._status)
        elif message["type"] == "http.response.body":
            self._note(message.get("body", b""))
        await self._send(message)

    def _note(self, body: bytes) -> None:
        """Under which ids rows stand in the serving log, in the span and in the process's log."""
        names = [name.decode() for name in REQUEST_ID.findall(body)[:MOST_IDS]]
        route = getattr(self._scope.get("route"), "path", None)
        if route:
            self._span.update_name(f"{self._scope['method']} {route}")
        if names:
            self._span.set_attribute("mlops.request_ids", names)
            trace = f"{self._span.get_span_context().trace_id:032x}"
            LOG.info("trace %s: %s %d, rows %s", trace, self._scope["path"], self._status, ", ".join(names))
