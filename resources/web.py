"""Answers of a web address: tried again where that helps, within limits of time and size, and without a secret told.

Secrets are added to a request where it leaves, and only to the host that they are for: no redirect, error or log has them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import monotonic
from typing import Any, Self
from urllib.parse import quote, quote_plus, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import tenacity

from resources.addresses import HIDDEN, shown

TRIES = 4
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
SILENCE_S = 30.0
"""So long nothing may come of an answer that was begun."""

MOST_REDIRECTS = 5
PASSING = {408, 425, 429, 500, 502, 503, 504}
REDIRECTED = range(300, 400)
SHOWN = 200
MEGABYTE = 1_000_000
PLAIN_PORTS = {"http": 80, "https": 443}


class WebError(Exception):
    """An address that does not answer as it should; says nothing of its secrets."""


class PassingError(WebError):
    """What may be otherwise at the next try, `after_s` seconds where the answer says so."""

    def __init__(self, sentence: str, after_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.after_s = after_s


@dataclass(frozen=True)
class Answer:
    """What came, from which address as people may see it, and the next page's address where a header names it."""

    content: bytes
    address: str
    next: str | None = None


class Site:
    """One web address with its secrets, and what all requests of one reading may take together."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        tokens: Mapping[str, str],
        within_s: float,
        most_bytes: float,
        accept: str = "*/*",
    ) -> None:
        if urlsplit(url).username or urlsplit(url).password:
            raise WebError(f"{shown(url)} has a user in it: name a variable with the whole header instead")
        self.most_bytes, self.within_s = most_bytes, within_s
        self._left, self._until = most_bytes, monotonic() + within_s
        self._secrets = [*headers.values(), *tokens.values()]
        own = OwnRequests(url, headers, tokens)
        said = {"User-Agent": "mlops-assets", "Accept": accept}
        self._client = httpx.Client(
            transport=own,
            headers=said,
            timeout=SILENCE_S,
            max_redirects=MOST_REDIRECTS,
            follow_redirects=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, url: str, parameters: Mapping[str, str]) -> Answer:
        """The answer to one request. Raises WebError for one that is refused, is too large, or does not come in time."""
        tries: Callable[..., Any] = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingError),
            wait=_pause,
            stop=lambda state: state.attempt_number >= TRIES or self._too_late(state),
            reraise=True,
        )
        return tries(self._once, url, parameters)

    def hide(self, text: str) -> str:
        """A text without the secrets, however they are written in it."""
        for secret in self._secrets:
            for part in {secret, *secret.split()[1:]}:
                for written in (part, quote(part, safe=""), quote_plus(part)):
                    text = text.replace(written, HIDDEN) if len(written) > 3 else text
        return shown(text)

    def _too_late(self, state: tenacity.RetryCallState) -> bool:
        """Whether the next try would begin after the time is up."""
        return monotonic() + state.upcoming_sleep >= self._until

    def _once(self, url: str, parameters: Mapping[str, str]) -> Answer:
        try:
            with self._client.stream("GET", url, params=dict(parameters) or None) as response:
                self._refuse(response)
                content = self._content(response)
                link = response.links.get("next", {}).get("url")
                return Answer(content, self.hide(str(response.url)), link and str(response.url.join(link)))
        except (httpx.TransportError, httpx.DecodingError) as error:
            said = self.hide(str(error).strip() or type(error).__name__)
            kind = WebError if isinstance(error, httpx.UnsupportedProtocol) else PassingError
            raise kind(f"{self.hide(url)} cannot be read: {said}") from None
        except (httpx.TooManyRedirects, httpx.InvalidURL) as error:
            raise WebError(f"{self.hide(url)} leads nowhere: {self.hide(str(error))}") from None

    def _content(self, response: httpx.Response) -> bytes:
        parts: list[bytes] = []
        for part in response.iter_bytes():
            parts.append(part)
            self._left -= len(part)
            if self._left < 0:
                raise WebError(
                    f"{self.hide(str(response.url))} gives more than {self.most_bytes / MEGABYTE:g} MB: ask for fewer rows, or "
                    "raise most_megabytes"
                )
            if monotonic() >= self._until:
                raise WebError(
                    f"{self.hide(str(response.url))} has not given all within {self.within_s:g} s: ask for fewer rows, or "
                    "raise within"
                )
        return b"".join(parts)

    def _refuse(self, response: httpx.Response) -> None:
        """Raise for an answer that is none, with what it says."""
        if response.is_success:
            return
        status = response.status_code
        phrase = next((f" ({one.phrase})" for one in HTTPStatus if one == status), "")
        said = f"{self.hide(str(response.url))} answers {status}{phrase}"
        if status in PASSING:
            raise PassingError(said, _asked_pause(response))
        if status in (401, 403):
            moved = any(not _same(str(one.url), str(response.url)) for one in response.history)
            fix = (
                "it was redirected there, where no secret goes: write that address as url"
                if moved
                else "see whether the variables that headers and tokens name hold what is valid today"
            )
            raise WebError(f"{said}: {fix}")
        text = re.sub(r"\s+", " ", next(response.iter_text(SHOWN), "")).strip()
        raise WebError(f"{said}{f': {self.hide(text)[:SHOWN]}' if text else ''}")


class OwnRequests(httpx.BaseTransport):
    """Sends requests, those to the address's own host with its secrets; by a proxy where the environment names one."""

    def __init__(self, url: str, headers: Mapping[str, str], tokens: Mapping[str, str]) -> None:
        self._url, self._headers, self._tokens = url, dict(headers), dict(tokens)
        self._ways: dict[tuple[str, str | None], httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        own = request
        if _same(self._url, str(request.url)):
            url = request.url.copy_merge_params(self._tokens) if self._tokens else request.url
            headers = httpx.Headers(request.headers)
            headers.update(self._headers)
            own = httpx.Request(
                request.method, url, headers=headers, stream=request.stream, extensions=request.extensions
            )
        return self._way(request.url).handle_request(own)

    def close(self) -> None:
        for way in self._ways.values():
            way.close()

    def _way(self, url: httpx.URL) -> httpx.HTTPTransport:
        proxy = None if proxy_bypass(url.host) else getproxies().get(url.scheme)
        way = url.scheme, proxy
        if way not in self._ways:  # Certificates take longer to read than a small answer.
            self._ways[way] = httpx.HTTPTransport(proxy=proxy, verify=url.scheme == "https")
        return self._ways[way]


def _same(one: str, other: str) -> bool:
    """Whether two addresses are of one host, by one protocol and port."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PLAIN_PORTS.get(parts.scheme)


def _pause(state: tenacity.RetryCallState) -> float:
    """A growing pause, or a longer one that the answer asks for."""
    error = state.outcome.exception() if state.outcome else None
    growing = min(FIRST_PAUSE_S * 2 ** (state.attempt_number - 1), LONGEST_PAUSE_S)
    return max(growing, error.after_s if isinstance(error, PassingError) else 0.0)


def _asked_pause(response: httpx.Response) -> float:
    """Seconds of a Retry-After, which is a number or a date by the server's own clock."""
    header = response.headers.get("Retry-After", "").strip()
    if header.isdigit():
        return float(header)
    try:
        until, now = (parsedate_to_datetime(text) for text in (header, response.headers.get("Date", "")))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0
