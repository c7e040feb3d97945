"""The answer to a pushed event: what was taken, or what is wrong with it and where."""

import logging
from typing import Any

from fastapi import HTTPException

from resources.features.push import Pusher, PushError, To
from resources.features.push_sources import PushSource
from resources.serving.http.bodies import items_of, refusal, validated

LOG = logging.getLogger(__name__)


def take(pusher: Pusher | None, name: str, body: Any, to: To) -> dict[str, Any]:
    """Push one event or a list of them to a source, all of them or none.

    Raises what FastAPI answers with 404 for an unknown source, 422 for a wrong event, 500 for a store that fails:
    the same events may then be sent again.
    """
    source = _source(pusher, name)
    if source.refusal:
        raise refusal("value_error", source.refusal)
    batch = isinstance(body, list)
    events = validated(source.event, items_of(body), batch)
    if not events:
        raise refusal("too_short", "no event: send one, or a list of them")
    assert pusher is not None
    try:
        return pusher.push(source, events, to)
    except PushError as error:
        where = [error.index] if batch and error.index is not None else []
        raise refusal("value_error", str(error), *where, *([error.field] if error.field else [])) from error
    except Exception as error:
        LOG.exception("pushing %s events to %s failed", len(events), name)
        raise HTTPException(
            500, f"pushing to {name!r} failed: {type(error).__name__}: {error}; send the same events again"
        ) from error


def _source(pusher: Pusher | None, name: str) -> PushSource:
    known = pusher.sources if pusher else {}
    if name not in known:
        raise HTTPException(
            404,
            {
                "message": f"no push source {name!r} is defined; add a PushSource to a view of the feature repository",
                "sources": sorted(known),
            },
        )
    return known[name]
