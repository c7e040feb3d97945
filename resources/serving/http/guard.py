"""What stands before every route of the endpoint: who may ask, in which form, and how much they may send.

A web page that somebody has open on this machine can send requests here. It can neither name another host, set a JSON
content type nor hide its origin without being asked first, so what lacks one of these is refused.
"""

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers

from resources.serving.http.refusals import refused
from resources.serving_limits import LARGEST_BODY

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
JSON = re.compile(r'application/([\w.+-]+\+)?json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*', re.IGNORECASE)
BROWSERS = frozenset({"origin", "sec-fetch-site", "sec-fetch-mode", "referer", "cookie"})
"""Headers of which a browser sends at least one with every POST of a page."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
JUDGED = frozenset({b"host", b"origin", b"sec-fetch-site", b"content-type", b"content-encoding"})
"""Headers whose values decide."""

NOTICED = frozenset({name.encode() for name in BROWSERS}) - JUDGED
"""Headers of which it counts that they are there."""

MOST_KNOWN = 1_000
"""So many forms of requests that were let through are remembered."""

LONGEST_KNOWN = 1_000
"""Bytes that one of them may have."""

LONGEST_SIZE = 15
"""Digits that a number of bytes may have."""


class RefusedError(Exception):
    """A request that is not let through: the status and the reason."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Known:
    """Forms of requests that were let through: those alike need not be looked at again."""

    def __init__(self) -> None:
        self._forms: set[tuple[Any, ...]] = set()

    def has(self, form: tuple[Any, ...]) -> bool:
        """Whether such a request was let through."""
        return form in self._forms

    def add(self, form: tuple[Any, ...]) -> None:
        """Remember that one was; where there are many, all others are forgotten."""
        if sum(map(len, form)) < LONGEST_KNOWN:
            if len(self._forms) >= MOST_KNOWN:
                self._forms.clear()
            self._forms.add(form)


class Guard:
    """An ASGI application behind the rules; `hosts` are the names, without port, by which it may be called.

    Paths in `anywhere` may be asked by every name: probes of a cluster know the machine's number alone.
    """

    def __init__(
        self,
        app: "ASGIApp",
        hosts: Iterable[str] = (),
        largest: int = LARGEST_BODY,
        anywhere: frozenset[str] = frozenset(),
        known: Known | None = None,
    ) -> None:
        self.app, self.largest, self.anywhere = app, largest, anywhere
        self.hosts = LOOPBACK | {host.lower() for host in hosts}
        self._known = known or Known()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        form, size = form_of(scope["method"], scope["path"], scope["headers"])
        try:
            if not self._known.has(form):
                self._refuse(scope)
                self._known.add(form)
            if scope["method"] not in SAFE:
                message = await receive()
                if message.get("more_body") or message["type"] != "http.request" or size is None:
                    body = await _body(Headers(scope=scope), replayed(message, receive), self.largest)
                    message = {"type": "http.request", "body": body, "more_body": False}
                elif max(size, len(message.get("body", b""))) > self.largest:
                    raise _too_large(self.largest)
                receive = replayed(message, receive)
        except RefusedError as error:
            return await refused(scope["path"], error.status, error.why)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _refuse(self, scope: "Scope") -> None:
        """Refuse what has not the form that is wanted; it depends on nothing but what `form_of` gives."""
        headers = Headers(scope=scope)
        if scope["path"] not in self.anywhere:
            _refuse_strangers(headers, self.hosts, scope["method"])
        if scope["method"] not in SAFE:
            _refuse_other_forms(headers, tensors=_takes_tensors(scope["path"]))


def form_of(
    method: str, path: str, headers: Iterable[tuple[bytes, bytes]]
) -> tuple[tuple[Any, ...], int | None]:
    """Of a request what it is judged by, and how many bytes it says it has (None: that has to be looked at)."""
    size: int | None = 0
    marks: list[Any] = [method, path]
    for name, value in headers:
        if name in JUDGED:
            marks += (name, value)
        elif name == b"content-length":
            size = int(value) if not size and value.isdigit() and len(value) <= LONGEST_SIZE else None
        elif name in NOTICED:
            marks.append(name)
    return tuple(marks), size


def _refuse_strangers(headers: Headers, hosts: frozenset[str], method: str) -> None:
    named = headers.getlist("host")
    host = named[0].lower() if len(named) == 1 else ""
    if _name(host) not in hosts:
        raise RefusedError(
            403,
            f"host {_shown(', '.join(named))} is not one of {', '.join(sorted(hosts))}: call the endpoint by one of these, "
            "or add the name to MLOPS_ALLOWED_HOSTS",
        )
    origin = headers.get("origin")
    cross = headers.get("sec-fetch-site") == "cross-site"
    if method not in SAFE and (cross or (origin is not None and origin.lower().partition("://")[2] != host)):
        raise RefusedError(
            403, f"a page of {_shown(origin or 'another site')} may not send here: call it from its own pages"
        )


def _name(host: str) -> str:
    """A Host header without its port; empty where it is none."""
    match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?", host)
    return match[1] if match else ""


def _takes_tensors(path: str) -> bool:
    return path.startswith("/v2/models/") and path.endswith("/infer")


def _refuse_other_forms(headers: Headers, tensors: bool = False) -> None:
    """Refuse what is not JSON; tensors may be bytes, and clients that send them say nothing of the type, as no page can."""
    kind = headers.getlist("content-type")
    bare = not kind and not BROWSERS.intersection(headers)
    if tensors and (bare or kind == ["application/octet-stream"]):
        pass
    elif len(kind) != 1 or not JSON.fullmatch(kind[0]):
        raise RefusedError(
            415,
            f"content type {_shown(', '.join(kind))} is not JSON in UTF-8: send the header Content-Type: application/json",
        )
    coding = headers.get("content-encoding", "identity")
    if coding.strip().lower() not in ("", "identity"):
        raise RefusedError(415, f"content encoding {_shown(coding)} is not read: send the body as it is")


async def _body(headers: Headers, receive: "Receive", largest: int) -> bytes:
    """The whole body; refused as soon as it is known to be too large, by its own word or by counting."""
    said = headers.get("content-length", "0")
    if not said.isascii() or not said.isdigit():
        raise RefusedError(400, f"content length {_shown(said)} is no number of bytes: send the right one")
    if len(said.lstrip("0")) > LONGEST_SIZE or int(said) > largest:
        raise _too_large(largest)
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the body ended before its end: send it again")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > largest:
            raise _too_large(largest)
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(largest: int) -> RefusedError:
    return RefusedError(413, f"a body may have {largest} bytes: send fewer items at a time")


def replayed(message: "Message", receive: "Receive") -> "Receive":
    """A receiver that gives a message that was taken already, and then what comes after it."""
    waiting = [message]

    async def again() -> "Message":
        return waiting.pop() if waiting else await receive()

    return again


def _shown(value: str) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
