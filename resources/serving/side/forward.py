"""Hands on to the side process what only that can answer, and gives back what it says."""

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import JSONResponse

from resources.serving.keeper import Keeper
from resources.serving.live_models import LiveModels

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PUSH, FEATURES = "/push/", "/get-online-features"
STARTS_IN_S = 60.0
ANSWERS_IN_S = 300.0
RETRY_S = 0.05
OF_THE_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"content-length", b"transfer-encoding", b"expect"}
)
"""Headers that say how a body came, which goes on whole."""

NOT_UP = "the process that takes pushes and questions for features is being started: ask again"
ENDED = "the process that had this request ended before it answered: send it again; an event that was taken already counts once"


class Forward:
    """An ASGI application before another one, which has every other path."""

    def __init__(self, app: "ASGIApp", keeper: Keeper, models: LiveModels) -> None:
        self.app, self._keeper, self._models = app, keeper, models
        self._clients: dict[int, Any] = {}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        path = scope.get("path", "")
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        if not is_post or not (path.startswith(PUSH) or path == FEATURES):
            return await self.app(scope, receive, send)
        status, headers, content = await self._answer(scope, await _body(receive))
        if path.startswith(PUSH) and status == 200:
            await to_thread.run_sync(self._models.pushed.look)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        return None

    async def _answer(self, scope: "Scope", body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        import httpx

        client, until = await self._client(), time.monotonic() + STARTS_IN_S
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        target = f"http://localhost{quote(scope['path'])}{query}"
        given = [(name, value) for name, value in scope["headers"] if name not in OF_THE_CONNECTION]
        while True:
            try:
                answer = await client.request("POST", target, headers=given, content=body)
            except httpx.ConnectError:
                if time.monotonic() > until:
                    return _refused(NOT_UP)
                await asyncio.sleep(RETRY_S)
                continue
            except httpx.HTTPError:
                return _refused(ENDED)
            kind = answer.headers.get("content-type", "application/json").encode()
            return answer.status_code, _headers(kind, answer.content), answer.content

    async def _client(self) -> Any:
        """A client of this event loop."""
        import httpx

        loop = id(asyncio.get_running_loop())
        if loop not in self._clients:
            socket = await to_thread.run_sync(lambda: self._keeper.socket)
            transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=httpx.Limits(keepalive_expiry=3.0))
            self._clients = {
                loop: httpx.AsyncClient(transport=transport, timeout=ANSWERS_IN_S, trust_env=False)
            }
        return self._clients[loop]


async def _body(receive: "Receive") -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _headers(kind: bytes, content: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", kind), (b"content-length", str(len(content)).encode())]


def _refused(why: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    content = JSONResponse({"detail": why}).body
    return 503, [*_headers(b"application/json", bytes(content)), (b"retry-after", b"5")], bytes(content)
