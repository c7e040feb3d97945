"""The page as HTML: whatever comes from a model, a record or a request is escaped, and nothing is loaded from elsewhere."""

import base64
import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse

from resources.clock import wall
from resources.features.push import Pusher
from resources.features.push_sources import PushSource
from resources.serving.counts import Counts, Traffic
from resources.serving.explanations import explains
from resources.serving.http.forms import example
from resources.serving.http.page.fields import FormField, form_fields
from resources.serving.http.page.standing import standing_section
from resources.serving.http.page.words import age, moment, text
from resources.serving.http.status import status
from resources.serving.live_models import LiveModels, Served
from resources.serving.status_notice import status_in

STYLE, SCRIPT = (
    Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
)


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; script-src {_hash(SCRIPT)}; style-src {_hash(STYLE)}; connect-src 'self'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a browser lets the page do: run its own script and ask this endpoint."""

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='%232f5bd7'%3E"
    "%3Crect x='1' y='8' width='4' height='7'/%3E%3Crect x='6' y='4' width='4' height='11'/%3E%3Crect x='11' y='1' width='4' height='14'/%3E%3C/svg%3E"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def first_page(models: LiveModels, counts: Counts, address: str, pusher: Pusher | None) -> HTMLResponse:
    """The page of what answers now, with curl lines to `address` until the script knows where it was opened."""
    served = models.served
    sections = [
        _model(entry, served.get(entry["name"]), counts.traffic(entry["name"]), address, models.clock.now())
        for entry in status(models)
    ]
    sources = [_source(source, address) for source in (pusher.sources.values() if pusher else ())]
    nothing = (
        '<p class="card">No model is deployed yet: materialize a deployment asset in the Dagster UI.</p>'
    )
    standing = standing_section(status_in(models.folder), wall())
    events = f"<h2 class=group>Events</h2>{''.join(sources)}" if sources else ""
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Deployed models</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><link rel="icon" href="{ICON}"><style>{STYLE}</style></head><body><header><h1>Deployed models</h1>'
        '<nav><a href="docs">Addresses</a><a href="openapi.json">OpenAPI</a><a href="models">Models as JSON</a>'
        f'<a href="metrics">Metrics</a></nav></header><main>{standing}{"".join(sections) or nothing}{events}</main>'
        f"<script>{SCRIPT}</script></body></html>",
        headers=HEADERS,
    )


def _model(
    entry: Mapping[str, Any], model: Served | None, traffic: Traffic, address: str, now: datetime
) -> str:
    name = entry["name"]
    state, word = _state(entry, model)
    lines = [(kind, entry[key]) for kind, key in (("Problem", "problem"), ("On hold", "held")) if entry[key]]
    warnings = "".join(f'<p class="told {state}"><strong>{k}:</strong> {text(v)}</p>' for k, v in lines)
    version = f'<span class="tag">version {text(entry["version"])}</span>' if model else ""
    owner = f'<span class="owner">owned by {text(entry["owner"] or "nobody named")}</span>' if model else ""
    head = f'<h2>{text(name)}</h2>{version}<span class="tag {state}">{word}</span>{owner}'
    body = f"{_facts(entry, traffic, now)}{_form(model, name, address)}" if model else ""
    return (
        f'<section class="card" data-model="{text(name)}"><div class="head" data-live="{text(name)} head">{head}</div>'
        f"{warnings}{body}</section>"
    )


def _state(entry: Mapping[str, Any], model: Served | None) -> tuple[str, str]:
    """A class for its colour, and a word."""
    if entry["problem"]:
        return "bad", "has a problem"
    if model is None:
        return "off", "retired"
    return ("held", "paused") if entry["held"] else ("good", "answers")


def _facts(entry: Mapping[str, Any], traffic: Traffic, now: datetime) -> str:
    as_of = entry["as_of"]
    facts = [
        ("Features", text(entry["feature_service"])),
        ("As of", _as_of(entry["clock"], as_of, now)),
        ("Since", moment(entry["since"])),
        ("Requests", _requests(traffic)),
        ("Last minute", _sparkline(traffic.minute)),
        ("Answered in", _times(traffic)),
    ]
    pairs = "".join(f"<div><dt>{word}</dt><dd>{value}</dd></div>" for word, value in facts)
    return f'<dl data-live="{text(entry["name"])} facts">{pairs}</dl>'


def _as_of(clock: str, as_of: str, now: datetime) -> str:
    if clock == "wall":
        return "the arrival of each request"
    return f"{moment(as_of)} <small>{age((now - datetime.fromisoformat(as_of)).total_seconds())}</small>"


def _requests(traffic: Traffic) -> str:
    errors = f', <span class="bad">{traffic.errors:,} not answered</span>' if traffic.errors else ""
    rows = f"{traffic.rows:,} row{'' if traffic.rows == 1 else 's'}"
    return f"{traffic.requests:,} <small>{rows}{errors}</small>"


def _times(traffic: Traffic) -> str:
    if traffic.median is None or traffic.p99 is None:
        return "<small>nothing yet</small>"
    return f"{_milliseconds(traffic.median)} <small>p99 {_milliseconds(traffic.p99)}</small>"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:,.0f} ms"


def _sparkline(minute: Sequence[int]) -> str:
    """Requests by second as bars, the newest at the right."""
    most = max([*minute, 1])
    bars = "".join(
        f'<rect x="{place * 2}" y="{20 - 20 * count / most:.1f}" width="1.5" height="{20 * count / most:.1f}"/>'
        for place, count in enumerate(minute)
        if count
    )
    total = sum(minute)
    return (
        f'<svg class="minute" viewBox="0 0 {len(minute) * 2} 20" role="img" aria-label="{total} requests in the last minute">'
        f"{bars}</svg> <small>{total:,}</small>"
    )


def _form(model: Served, name: str, address: str) -> str:
    fields = "".join(_input(field) for field in form_fields(model.request))
    curl = _curl(f"{address}/v1/models/{name}/predict", example(model.request))
    can = "" if explains(model.scorer) else ' data-unexplained=""'
    return (
        f'<div class="try"><form{can}><div class="fields">{fields}</div>'
        '<button type="submit">Predict</button><p class="problem" role="alert" hidden></p></form>'
        '<div class="result" aria-live="polite"><p class="quiet">The answer, what each feature added to it, and the features '
        f"that were read, appear here.</p></div></div>{_copied(curl)}"
    )


def _input(field: FormField) -> str:
    name, hint = text(field.name), text(field.hint)
    needed = " required" if field.required else ""
    shared = f'name="{name}" data-kind="{field.kind}" title="{hint}"{needed}'
    if field.kind in ("choice", "boolean"):
        choices = ("true", "false") if field.kind == "boolean" else field.choices
        offered = [("", "" if field.required else "not given"), *((one, one) for one in choices)]
        options = "".join(
            f'<option value="{text(value)}"{" selected" if value == field.shown else ""}>{text(word)}</option>'
            for value, word in offered
        )
        control = f"<select {shared}>{options}</select>"
    elif field.kind == "json":
        control = f'<textarea {shared} rows="2" spellcheck="false">{text(field.shown)}</textarea>'
    else:
        mode = ' inputmode="decimal"' if field.kind == "number" else ""
        control = f'<input {shared} value="{text(field.shown)}" autocomplete="off" spellcheck="false"{mode}>'
    optional = "" if field.required else " <small>may be empty</small>"
    wide = ' class="wide"' if len(field.shown) > 18 else ""
    return f"<label{wide}><span>{name}{optional}</span>{control}<small>{hint}</small></label>"


def _copied(line: str) -> str:
    return f'<div class="curl"><pre><code>{text(line)}</code></pre><button type="button" class="copy">Copy</button></div>'


def _curl(url: str, body: Mapping[str, Any]) -> str:
    text = json.dumps(body).replace("'", "'\\''")
    return f"curl -X POST {shlex.quote(url)} -H 'Content-Type: application/json' -d '{text}'"


def _source(source: PushSource, address: str) -> str:
    head = f'<div class="head"><h2>{text(source.name)}</h2><span class="tag">push</span></div>'
    if source.refusal:
        return f'<section class="card">{head}<p class="told bad">{text(source.refusal)}</p></section>'
    views = _listed(source.views)
    curl = _curl(f"{address}/push/{source.name}", example(source.event, also=list(source.features)[:1]))
    facts = f"Events for {views}; from <code>event_timestamp</code> on, predictions use them."
    return f'<section class="card">{head}<p>{facts}</p>{_copied(curl)}</section>'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"<code>{text(name)}</code>" for name in names)
