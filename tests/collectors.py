"""A collector of OTLP over HTTP on this machine: it keeps spans and log records as they came."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Collector:
    """What came so far."""

    address: str = ""
    spans: list[Any] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)

    def traces(self) -> set[str]:
        """The traces of the spans that came."""
        return {span.trace_id.hex() for span in self.spans}


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector that is up for as long as the block lasts."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    state = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                spans = ExportTraceServiceRequest.FromString(body).resource_spans
                state.spans += [span for one in spans for scope in one.scope_spans for span in scope.spans]
            elif self.path == "/v1/logs":
                logs = ExportLogsServiceRequest.FromString(body).resource_logs
                state.records += [r for one in logs for scope in one.scope_logs for r in scope.log_records]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: tests look at what came."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()
