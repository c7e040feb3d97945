"""The page of the OpenAPI document: every address with what it takes and gives, made here, so that nothing is loaded from elsewhere."""

import html
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "h2{margin-top:2em;border-bottom:1px solid #ddd}details{margin:.5em 0}summary{cursor:pointer}"
    "table{border-collapse:collapse;margin:.5em 0}td,th{text-align:left;padding:.2em .8em .2em 0;vertical-align:top}"
    "code,.path{font-family:monospace}.method{display:inline-block;min-width:4em;font-weight:bold}"
    "pre{background:#f4f4f4;padding:1em;overflow:auto}"
)
OTHERS = "the endpoint"


def reference_page(document: Mapping[str, Any]) -> str:
    """HTML of an OpenAPI document: operations by tag, each with its parameters, its body and its answers, then the schemas."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag[operation.get("tags", [OTHERS])[0]].append(_operation(method, path, operation))
    sections = [f"<h2>{html.escape(tag)}</h2>{''.join(parts)}" for tag, parts in by_tag.items()]
    schemas = document.get("components", {}).get("schemas", {})
    title = html.escape(document["info"]["title"])
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}: addresses</title><style>{STYLE}</style></head>"
        f'<body><h1>{title}: addresses</h1><p>The same as OpenAPI: <a href="openapi.json">/openapi.json</a>.</p>'
        f"{''.join(sections)}<h2>schemas</h2>{''.join(_schema(name, one) for name, one in schemas.items())}</body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    body = operation.get("requestBody")
    old = " (of earlier releases)" if operation.get("deprecated") else ""
    parts = [
        f"<p>{html.escape(operation.get('description', operation.get('summary', '')))}{old}</p>",
        _table("parameter", _parameters(operation)),
        f"<p>Takes {_kind(_content(body))}.</p>" if body else "",
        _table("status", ((status, _given(one)) for status, one in sorted(operation["responses"].items()))),
    ]
    return (
        f"<details><summary><span class=method>{method.upper()}</span> <span class=path>{html.escape(path)}</span></summary>"
        f"{''.join(parts)}</details>"
    )


def _parameters(operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in operation.get("parameters", []):
        yield f"<code>{html.escape(one['name'])}</code>", f"{_kind(one['schema'])}, in the {one['in']}"


def _given(response: Mapping[str, Any]) -> str:
    schema = _content(response)
    return html.escape(response["description"]) + (f" {_kind(schema)}" if schema else "")


def _content(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return body.get("content", {}).get("application/json", {}).get("schema", {})


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = (
        (
            f"<code>{html.escape(field)}</code>{'' if field in needed else ' (may be left out)'}",
            f"{_kind(one)} {html.escape(one.get('description', ''))}{_example(one)}",
        )
        for field, one in schema.get("properties", {}).items()
    )
    fields = _table("field", rows) if "properties" in schema else f"<p>{_kind(schema)}</p>"
    anchor = html.escape(name, quote=True)
    description = html.escape(schema.get("description", ""))
    return f'<details id="{anchor}" open><summary><code>{anchor}</code></summary><p>{description}</p>{fields}</details>'


def _example(schema: Mapping[str, Any]) -> str:
    shown = schema.get("examples")
    return f", for example <code>{html.escape(json.dumps(shown[0]))}</code>" if shown else ""


def _kind(schema: Any) -> str:
    """A schema in words."""
    if not isinstance(schema, Mapping) or not schema:
        return "anything"
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rsplit("/", 1)[-1], quote=True)
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_kind(one) for one in schema[several]))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{html.escape(json.dumps(value))}</code>" for value in values)
    if schema.get("type") == "array":
        most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"a list ({_kind(schema.get('items', {}))}{most})"
    named = schema.get("format", schema.get("type", "anything"))
    if named == "object" and "properties" in schema:
        return f"an object ({', '.join(html.escape(name) for name in schema['properties'])})"
    return html.escape(str(named))


def _table(head: str, rows: Any) -> str:
    lines = "".join(f"<tr><td>{name}</td><td>{said}</td></tr>" for name, said in rows)
    return f"<table><tr><th>{head}</th><th></th></tr>{lines}</table>" if lines else ""
