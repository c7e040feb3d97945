"""The table on top of the page: how every model stands, what needs hands first, each figure with the page that it is from."""

import re
from collections.abc import Sequence
from datetime import datetime

from resources.records.standing import PlatformStatus, Standing
from resources.records.standing_words import LINK_OF, headline, lines
from resources.serving.http.page.words import age, moment, text

COLUMNS = ("champion", "data", "quality", "drift", "roll-out", "traffic", "cost")
DATE = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?,?")
NOT_WRITTEN = (
    "Nobody has written yet how the models stand: materialize <code>platform/status</code> in the Dagster UI, "
    "or ask <code>mlops status</code>."
)


def standing_section(status: PlatformStatus | None, now: datetime) -> str:
    """The section as HTML; `now` is the wall clock, by which the record's age is told."""
    if status is None:
        return f'<section class="card standing" data-live="standing"><p class="quiet">{NOT_WRITTEN}</p></section>'
    seconds = (now - datetime.fromisoformat(status.asked_at)).total_seconds()
    head = f'<div class="head"><h2>On call</h2><span class="owner">as of {moment(status.asked_at)}, {age(seconds)}</span></div>'
    urgent = _reasons(status.waits) + "".join(_asked_of(one) for one in status.models if one.needs_hands)
    held = "".join(_held(one) for one in status.models)
    colour = "bad" if urgent else "good"
    titles = "".join(f"<th>{text(name)}</th>" for name in ("model", *COLUMNS))
    rows = "".join(map(_row, status.models))
    return (
        f'<section class="card standing" data-live="standing">{head}<p class="{colour}">{text(headline(status.platform()))}</p>'
        f"{urgent}{held}<div class=wide><table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _asked_of(one: Standing) -> str:
    return f'<div class="told bad"><strong>{text(one.model)}</strong>{_reasons(one.needs_hands)}</div>'


def _held(one: Standing) -> str:
    """What waits for a person and asks nothing of whoever is on call: a hold."""
    others = [sentence for sentence in one.waits if sentence not in one.needs_hands]
    return (
        f'<div class="told held"><strong>{text(one.model)}</strong>{_reasons(others)}</div>' if others else ""
    )


def _reasons(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{_with_link(sentence)}</li>" for sentence in sentences)
    return f'<ul class="reasons">{items}</ul>' if items else ""


def _with_link(sentence: str) -> str:
    """A sentence whose last word may be an address."""
    before, space, last = sentence.rpartition(" ")
    if not last.startswith(("http://", "https://")):
        return text(sentence)
    return f'{text(before)}{space}<a href="{text(last)}">{text(last)}</a>'


def _row(one: Standing) -> str:
    said = lines(one)
    cells = "".join(f"<td>{_linked(one, name, said[name])}</td>" for name in COLUMNS)
    owner = f"<br><small>{text(one.owner)}</small>" if one.owner else ""
    urgent = ' class="bad"' if one.needs_hands else ""
    return f'<tr data-standing="{text(one.model)}"><th scope="row"{urgent}>{text(one.model)}{owner}</th>{cells}</tr>'


def _linked(one: Standing, name: str, said: str) -> str:
    """What is said, as a link to the page that it is from; an address that is none of the web's leads nowhere."""
    link = one.links.get(LINK_OF[name], "")
    web = link.startswith(("http://", "https://"))
    return f'<a href="{text(link)}">{_in_parts(said)}</a>' if web else _in_parts(said)


def _in_parts(said: str) -> str:
    """As text in which no date is broken over two lines."""
    return DATE.sub(r"<span>\g<0></span>", text(said))
