"""A receiver of webhooks on this machine that takes a message, refuses it, is too slow, or cuts the connection once it has it."""

import json
import socketserver
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhooks:
    """What came, in order, and what happens to the next ones: `takes` once nothing is planned."""

    port: int
    fates: list[str] = field(default_factory=list)
    got: list[dict[str, Any]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    slow_s: float = 2.0

    @property
    def address(self) -> str:
        """Where apprise posts JSON to, with a secret in it that must be seen nowhere else."""
        return f"json://user:planted-passw0rd@127.0.0.1:{self.port}/hook?rto=1&cto=1"


@contextmanager
def webhooks(fates: Sequence[str] = ()) -> Iterator[Webhooks]:
    """A receiver that is up for as long as the block lasts."""
    state = Webhooks(0, [*fates])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fate = state.fates.pop(0) if state.fates else "takes"
            if fate == "refuses":
                self.send_error(500)
                return
            state.got.append(json.loads(body))
            state.heads.append(dict(self.headers))
            if fate == "cuts":
                self.close_connection = True
                self.connection.close()
                return
            if fate == "is slow":
                time.sleep(state.slow_s)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def handle(self) -> None:
            try:
                super().handle()
            except (OSError, ValueError):
                self.close_connection = True

        def finish(self) -> None:
            try:
                super().finish()
            except (OSError, ValueError):
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: tests look at what came."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A connection that was cut is what was planned."""

        def server_bind(self) -> None:
            socketserver.TCPServer.server_bind(self)  # without the look-up of this machine's name

    with Server(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()
