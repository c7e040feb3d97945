"""Rows of a table whose source is a web address: its pages one after another, JSON as it is typed, CSV as a file of its own."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from zoneinfo import ZoneInfo

import polars as pl

from mlops_assets.spec.http import HttpSource, Pages
from mlops_assets.spec.sources import CsvSource
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.errors import SourceError
from mlops_assets.stages.json_rows import JsonRows, rows_at, value_at
from mlops_assets.stages.source_files import filled_in, opened
from mlops_assets.stages.source_rows import Span
from resources.storage.files import ForeignFile

if TYPE_CHECKING:
    from resources.web import Answer, Site

MEGABYTE = 1_000_000
ACCEPT = {"json": "application/json", "csv": "text/csv, */*;q=0.5"}


@dataclass(frozen=True)
class Page:
    """One answer: its rows of JSON, or its CSV as a file; and how many rows there are."""

    address: str
    height: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    file: "Body | None" = None
    next: str | None = None


@dataclass(frozen=True)
class Body(ForeignFile):
    """An answer as the file that it would be."""

    body: bytes = b""

    @property
    def remote(self) -> bool:
        return True

    def content(self) -> bytes:
        return self.body


def fetched(spec: TableSpec, source: HttpSource, span: Span) -> Iterator[Page]:
    """The pages that a web address gives of a span. Raises SourceError where it does not answer as the spec says."""
    from resources.web import Site, WebError

    headers = {header: _secret(spec, name) for header, name in source.headers.items()}
    tokens = {parameter: _secret(spec, name) for parameter, name in source.tokens.items()}
    url = filled_in(source.url, "url")
    try:
        limits = source.within.total_seconds(), source.most_megabytes * MEGABYTE
        with Site(url, headers, tokens, *limits, ACCEPT[source.format]) as site:
            yield from _pages(site, source, url, _parameters(spec, source, span))
    except WebError as error:
        raise SourceError(f"table {spec.name!r}: {error}") from None


def csv_of(source: HttpSource) -> CsvSource:
    """How its CSV is to be read."""
    return CsvSource(kind="csv", path=source.url, separator=source.separator, missing=source.missing)


def json_of(spec: TableSpec, source: HttpSource) -> JsonRows:
    """What reads its rows of JSON."""
    return JsonRows(spec, source.fields, source.omitted == "missing")


def _secret(spec: TableSpec, name: str) -> str:
    if not (value := os.environ.get(name)):
        raise SourceError(
            f"the source of table {spec.name!r} needs the environment variable {name}, which is not set: set it"
        )
    return value


def _pages(site: "Site", source: HttpSource, url: str, parameters: dict[str, str]) -> Iterator[Page]:
    number, given, before = 0, 0, ""
    following: tuple[str, dict[str, str]] | None = (url, {**parameters, **_first(source.pages)})
    questions: set[str] = set()
    while following:
        questions.add(repr(following))
        answer = site.get(*following)
        page = _parsed(source, answer, number, url)
        content = sha256(answer.content).hexdigest()
        if page.height and content == before:
            raise SourceError(
                f"{answer.address} is the page before it again: correct pages, so that it goes on"
            )
        yield page
        number, given, before = number + 1, given + page.height, content
        following = _next(source.pages, page, url, parameters, number, given)
        if following and repr(following) in questions:
            raise SourceError(
                f"{answer.address} names a page that was read already: correct pages, so that it ends"
            )


def _first(pages: Pages | None) -> dict[str, str]:
    if pages is None or pages.parameter is None or pages.by == "cursor":
        return {}
    return {pages.parameter: str(pages.first if pages.by == "page" else 0)}


def _next(
    pages: Pages | None, page: Page, url: str, parameters: dict[str, str], number: int, given: int
) -> tuple[str, dict[str, str]] | None:
    """Where the next page is; None after the last. Pages that are counted end with one without rows: a short one may be full."""
    if pages is None:
        return None
    if pages.by == "link":
        return (page.next, {}) if page.next else None
    if pages.by == "cursor":
        return (url, {**parameters, str(pages.parameter): page.next}) if page.next else None
    counted = pages.first + number if pages.by == "page" else given
    return (url, {**parameters, str(pages.parameter): str(counted)}) if page.height else None


def _parsed(source: HttpSource, answer: "Answer", number: int, url: str) -> Page:
    if source.format == "csv":
        return _of_csv(source, answer, number)
    if not answer.content:
        return Page(answer.address, 0)
    try:
        body = json.loads(answer.content)
    except ValueError as error:
        raise SourceError(
            f"{answer.address} is no JSON ({error}): see what it answers, or say format: csv"
        ) from None
    rows = rows_at(body, source.rows, answer.address)
    place = source.pages.next if source.pages else None
    following = value_at(body, place) if place else None
    if following is not None and not isinstance(following, str | int):
        raise SourceError(
            f"{answer.address}: {place} is {following!r}, which is no cursor and no address: correct pages.next"
        )
    next_page = f"{following}" if following not in (None, "", False) else None
    if next_page and source.pages and source.pages.by == "link":
        next_page = urljoin(url, next_page)
    return Page(answer.address, len(rows), rows, next=next_page if place else answer.next)


def _of_csv(source: HttpSource, answer: "Answer", number: int) -> Page:
    if not answer.content and number:
        return Page(answer.address, 0)
    body = Body(answer.address, (answer.address, len(answer.content)), answer.content)
    height = opened(body, csv_of(source)).select(pl.len()).collect().item()
    return Page(answer.address, height, file=body, next=answer.next)


def _parameters(spec: TableSpec, source: HttpSource, span: Span) -> dict[str, str]:
    bounds: Mapping[str, str] = {}
    if span.start is not None and span.end is not None:
        zone = ZoneInfo(spec.timezone or "UTC")
        bounds = {
            ":start": _written(span.start, source.moments, zone),
            ":end": _written(span.end, source.moments, zone, last=True),
        }
    return {name: bounds.get(str(value)) or _plain(value) for name, value in source.parameters.items()}


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _written(moment: datetime, how: str, zone: ZoneInfo, last: bool = False) -> str:
    """A moment as a query has it; as a day that a span ends with, the one after any that is begun."""
    if how == "day":
        local = moment.astimezone(zone)
        begun = last and local.time() != datetime.min.time()
        return f"{local.date() + timedelta(days=1 if begun else 0)}"
    if how == "iso":
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return str(int(moment.timestamp() * (1000 if how == "milliseconds" else 1)))
