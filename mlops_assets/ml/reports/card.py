"""A model card as a value: sections of facts, each with where it came from, told as Markdown or as one HTML page.

A fact without a value is "unknown": the card is made from evidence alone, and what was not measured is said to be so.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_assets.ml.reports.markdown import cell
from mlops_assets.ml.reports.sparklines import data_uri

UNKNOWN = "unknown"
COLUMNS = ("what", "value", "from")
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1c1e21}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;padding:.3em .6em;text-align:left;"
    "vertical-align:top}td:first-child{width:28%}td:last-child{width:24%;font-size:13px}"
)


@dataclass(frozen=True)
class Source:
    """Where a fact came from: what to call it, and the address of the page that shows it, if there is one."""

    label: str
    link: str = ""


@dataclass(frozen=True)
class Fact:
    """One line of a card; `value` is text, a number, or None where nothing is known."""

    name: str
    value: Any
    source: Source

    @property
    def text(self) -> str:
        """The value as it is printed: numbers to four digits, counts with thousands marked."""
        return value_in_words(self.value)


@dataclass(frozen=True)
class Section:
    """Facts under one heading; `picture` is an SVG, `note` one sentence that belongs to all of them."""

    title: str
    facts: Sequence[Fact]
    note: str = ""
    picture: str = ""


def value_in_words(value: Any) -> str:
    """A value in words; None, NaN, infinity and empty text are unknown."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) >= 10):
        return f"{value:,.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def with_interval(value: float | None, interval: Sequence[float | None] | None) -> str | None:
    """A metric with its interval, or with the word that it is not known."""
    if value is None:
        return None
    if not interval or any(bound is None for bound in interval):
        return f"{value_in_words(value)} (interval {UNKNOWN})"
    low, high = interval
    return f"{value_in_words(value)} ({value_in_words(low)} to {value_in_words(high)})"


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """The card as Markdown: a table a section, each line ending in a link to its source."""
    parts = [f"# {title}"]
    for section in sections:
        lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|"]
        lines += [
            f"| {cell(fact.name)} | {cell(fact.text)} | {_reference(fact.source)} |" for fact in section.facts
        ]
        picture = [f"![{section.title}]({data_uri(section.picture)})"] if section.picture else []
        note = [section.note] if section.note else []
        parts += [f"## {section.title}", *note, *picture, "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def as_html(title: str, sections: Sequence[Section]) -> str:
    """The card as one HTML page that needs nothing but itself."""
    heads = "".join(f"<th>{name}</th>" for name in COLUMNS)
    body = []
    for section in sections:
        rows = "".join(
            f"<tr><td>{html.escape(fact.name)}</td><td>{html.escape(fact.text)}</td><td>{_anchor(fact.source)}</td></tr>"
            for fact in section.facts
        )
        note = f"<p>{html.escape(section.note)}</p>" if section.note else ""
        table = f"<table><tr>{heads}</tr>{rows}</table>"
        body.append(f"<h2>{html.escape(section.title)}</h2>{note}{section.picture}{table}")
    name = html.escape(title)
    head = f"<meta charset='utf-8'><title>{name}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body><h1>{name}</h1>{''.join(body)}</body></html>\n"


def _reference(source: Source) -> str:
    return f"[{cell(source.label)}]({source.link})" if source.link else cell(source.label)


def _anchor(source: Source) -> str:
    label = html.escape(source.label)
    return f"<a href='{html.escape(source.link, quote=True)}'>{label}</a>" if source.link else label
