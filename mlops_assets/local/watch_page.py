"""A page that shows how what a metric says becomes an alert, and the alert a message."""

import html
from collections.abc import Iterable, Iterator, Sequence

from mlops_assets.stages.exposition import View, margin
from resources.alerts.messages import acknowledge_command, number
from resources.pages import safe_link
from resources.records.alerts import AlertState
from resources.records.standing import Standing

AGAIN_S = 5
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid #d5dae0; vertical-align: top }
code { font-size: 13px } .wrong { font-weight: 600; color: #a11 } h2 { margin-top: 2rem }
@media (prefers-color-scheme: dark) { body { background: #14171a; color: #e6e8ea } th, td { border-color: #3a4046 } .wrong { color: #ff8f8f } a { color: #8ab8ff } }
"""


def watch_page(view: View, alerts: Sequence[AlertState]) -> str:
    """The page: what the metrics say, which alerts they raised, and which messages went where."""
    models = _table(
        ("model", "champion", "drift (PSI)", "quality", "labels", "roll-out"), map(_model, view.standings)
    )
    newest = sorted(alerts, key=lambda one: one.raised, reverse=True)
    raised = _table(("alert", "severity", "about", "what", "raised", "state"), map(_alert, newest))
    messages = _table(
        ("alert", "route", "tries", "taken", "error"), (row for one in newest for row in _messages(one))
    )
    unreadable = "".join(f"<p class=wrong>{html.escape(one)} cannot be read</p>" for one in view.unreadable)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>From metric to message</title>"
        f"<meta name=viewport content='width=device-width'><meta http-equiv=refresh content={AGAIN_S}>"
        f"<style>{STYLE}</style><h1>From metric to alert to message</h1>{unreadable}"
        f"<section id=metrics><h2>1. What the metrics say</h2>{models}</section>"
        f"<section id=alerts><h2>2. Alerts</h2>{raised}</section>"
        f"<section id=messages><h2>3. Messages</h2>{messages}</section></html>"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are HTML already."""
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    if not lines:
        return "<p>None.</p>"
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _model(one: Standing) -> list[str]:
    below = (margin(one) or 0.0) < 0
    quality = (
        "not defined"
        if one.quality is None
        else f"{one.metric} {number(one.quality)} (floor {number(one.floor)})"
    )
    return [
        html.escape(one.model),
        "none" if one.champion is None else f"version {one.champion}",
        _marked(f"{number(one.drift)} (limit {number(one.drift_limit)})", bool(one.alarm), "alarm"),
        _marked(html.escape(quality), below, "below its floor"),
        "not defined" if one.coverage is None else f"{one.coverage:.0%}",
        html.escape(one.rollout or "none"),
    ]


def _alert(state: AlertState) -> list[str]:
    link = safe_link(state.link)
    numbers = "; ".join(f"{name}: {number(value)}" for name, value in state.evidence.items())
    what = f"{html.escape(state.summary)}<br><small>{html.escape(numbers)}</small>"
    hand = state.acknowledgement
    held = f" by {hand.by}: {hand.why}" if hand else f". In hand? {acknowledge_command(state)}"
    said = (
        html.escape(f"{state.phase}{held}")
        if state.phase != "resolved"
        else f"over since {html.escape(str(state.resolved))}"
    )
    return [
        f"<code>{state.id}</code>",
        state.severity,
        f'<a href="{html.escape(link)}">{html.escape(state.subject)}</a>'
        if link
        else html.escape(state.subject),
        what,
        html.escape(state.raised),
        said,
    ]


def _messages(state: AlertState) -> Iterator[list[str]]:
    for route, one in sorted(state.deliveries.items()):
        cells = (state.id, route, str(one.tries), one.at or "not yet", one.error)
        yield [html.escape(cell) for cell in cells]


def _marked(text: str, wrong: bool, why: str) -> str:
    return f"<span class=wrong>{text}: {why}</span>" if wrong else text
