"""Turns requests away before anything else is done for them, while more waits than can be answered in time.

Those that were let in wait while others are turned away: so nothing is checked of these, and no body is looked at.
"""

from typing import TYPE_CHECKING

from resources.serving.http.admission import Admission
from resources.serving.http.guard import replayed
from resources.serving.http.lane import asked_for
from resources.serving.http.protocol.lane import tensors_asked_for
from resources.serving.live_models import LiveModels

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Shed:
    """An ASGI application before another one; `short` lets in what the event loop answers, `behind` what threads do."""

    def __init__(self, app: "ASGIApp", models: LiveModels, short: Admission, behind: Admission) -> None:
        self.app, self._models, self._short, self._behind = app, models, short, behind

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if (self._short.is_full or self._behind.is_full) and scope["type"] == "http":
            admission = self._of(scope)
            if admission is not None and admission.is_full:
                message = await receive()
                if not message.get("more_body"):
                    return await admission.full().answer(scope["path"])(scope, receive, send)
                receive = replayed(message, receive)
        return await self.app(scope, receive, send)

    def _of(self, scope: "Scope") -> Admission | None:
        """What lets a request in; None where that is not for a prediction."""
        path = scope["path"]
        model = self._models.served.get(asked_for(path) or tensors_asked_for(path)[0])
        if model is None or scope["method"] != "POST":
            return None
        return self._behind if model.fast is None or scope["query_string"] else self._short
