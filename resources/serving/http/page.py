"""The endpoint's page for people: what answers, and how it is asked."""

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any

from resources.features.push import Pusher
from resources.features.push_sources import PushSource
from resources.serving.http.forms import example
from resources.serving.live_models import Served


def page(
    entries: Iterable[dict[str, Any]], served: Mapping[str, Served], address: str, pusher: Pusher | None
) -> str:
    """HTML of the models' statuses (`entries`), those that answer, and the push sources, with curl lines to `address`."""
    sections = [_section(entry, served.get(entry["name"]), address) for entry in entries]
    sections += [_source_section(source, address) for source in (pusher.sources.values() if pusher else ())]
    nothing = "<p>No model is deployed yet: materialize a deployment asset in the Dagster UI.</p>"
    style = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}pre{background:#f4f4f4;padding:1em;overflow:auto}"
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>Deployed models</title><style>{style}</style></head>"
        f"<body><h1>Deployed models</h1>{''.join(sections) or nothing}"
        '<p>The same as JSON: <a href="models">/models</a>.</p></body></html>'
    )


def _section(entry: dict[str, Any], model: Served | None, address: str) -> str:
    name, problem = html.escape(entry["name"]), entry["problem"]
    told = {"Problem": problem, "On hold": entry["held"]}
    warning = "".join(f"<p><strong>{k}:</strong> {html.escape(v)}</p>" for k, v in told.items() if v)
    if model is None:
        return f"<h2>{name}</h2>{warning}"
    body = json.dumps(example(model.request))
    curl = f"curl -X POST {address}/predict/{entry['name']} -H 'Content-Type: application/json' -d '{body}'"
    facts = (
        f"version {entry['version']}, features {entry['feature_service']} as of {_as_of(entry)}, "
        f"owner {entry['owner']}, answering since {entry['since']}"
    )
    return f"<h2>{name}</h2>{warning}<p>{html.escape(facts)}</p><pre>{html.escape(curl)}</pre>"


def _as_of(entry: dict[str, Any]) -> str:
    return "the arrival of each request" if entry["clock"] == "wall" else entry["as_of"]


def _source_section(source: PushSource, address: str) -> str:
    if source.refusal:
        return f"<h2>push {html.escape(source.name)}</h2><p>{html.escape(source.refusal)}</p>"
    body = json.dumps(example(source.event, also=list(source.features)[:1]))
    curl = f"curl -X POST {address}/push/{source.name} -H 'Content-Type: application/json' -d '{body}'"
    facts = f"events for {', '.join(source.views)}; from event_timestamp on, predictions use them"
    return (
        f"<h2>push {html.escape(source.name)}</h2><p>{html.escape(facts)}</p><pre>{html.escape(curl)}</pre>"
    )
