"""A shop's web address on the loopback address: it answers as a test tells it, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Asked:
    """One request: its path, its query and its headers."""

    path: str
    query: dict[str, str]
    headers: Mapping[str, str]


@dataclass
class Reply:
    """What is answered: a body (JSON unless it is bytes or a text), a status, headers."""

    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass
class Shop:
    """The address, how it answers, and all that it was asked."""

    url: str = ""
    answer: Callable[[Asked], Reply] = lambda _: Reply([])
    asked: list[Asked] = field(default_factory=list)

    @property
    def queries(self) -> list[dict[str, str]]:
        return [one.query for one in self.asked]


@contextmanager
def served() -> Iterator[Shop]:
    """A server of a thread's, for as long as a test needs it."""
    shop = Shop()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(
                parts.path, dict(parse_qsl(parts.query)), {k.lower(): v for k, v in self.headers.items()}
            )
            shop.asked.append(asked)
            reply = shop.answer(asked)
            self.send_response_only(reply.status)
            headers = {"Content-Length": str(len(reply.content)), **reply.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.content)
            self.close_connection = len(reply.content) != int(headers["Content-Length"])

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    shop.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
