"""Who may ask: requests bring a key, of which the settings know the hash alone.

A key has 256 random bits, so that its hash needs neither salt nor time. It is compared without telling by the time taken how
much of it is right, and it is never repeated in an answer or a log.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from resources.serving.http.refusals import refused

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Paths that are answered without a key, in no more words than yes or no."""

KEYLESS = "mlops.keyless"
"""What a request's scope has where it is answered without a key."""

CHALLENGE = {"WWW-Authenticate": 'Bearer, Basic realm="models"'}


def new_key() -> str:
    """A key that nobody has yet."""
    return f"mlops_{secrets.token_urlsafe(32)}"


def key_hash(key: str) -> str:
    """What the settings know of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class Keyring:
    """The keys that are known, as pairs `NAME:HASH`."""

    def __init__(self, known: Iterable[str]) -> None:
        self._hashes = [one.partition(":")[2] for one in known]

    def lets_in(self, headers: Headers) -> bool:
        """Whether a request with these headers brings one of them."""
        hashes = [key_hash(key) for key in _keys_in(headers)]
        right = [hmac.compare_digest(one, known) for one in hashes for known in self._hashes]
        return any(right)


class Keys:
    """An ASGI application that only those may ask who have a key."""

    def __init__(self, app: "ASGIApp", ring: Keyring) -> None:
        self.app, self._ring = app, ring

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http" or self._ring.lets_in(Headers(scope=scope)):
            return await self.app(scope, receive, send)
        if scope["path"] in OPEN:
            return await self.app({**scope, KEYLESS: True}, receive, send)
        why = (
            "a key is needed: send the header Authorization: Bearer KEY, or X-API-Key: KEY; "
            "whoever runs the endpoint makes one by `mlops key new NAME`"
        )
        return await refused(scope["path"], 401, why, CHALLENGE)(scope, receive, send)


def _keys_in(headers: Headers) -> Iterator[str]:
    """The keys that a request brings: two at most, so that nobody tries many at once."""
    if key := headers.get("x-api-key"):
        yield key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield value.strip()
    elif scheme.lower() == "basic":
        yield _password(value)


def _password(value: str) -> str:
    """What a browser's own form sent as the password; it asks for one where a page needs a key."""
    try:
        return base64.b64decode(value, validate=True).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
