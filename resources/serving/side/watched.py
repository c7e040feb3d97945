"""Deployed models as the side process sees them: their views and moments, none of them loaded."""

import threading
from typing import TYPE_CHECKING, Any

import pydantic
from anyio import to_thread

from resources.records.deployment import Deployment
from resources.serving.live_models import LiveModels, Served
from resources.serving.loading import vouched
from resources.serving.reached import reached

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class WatchedModels(LiveModels):
    """What is known of the deployed models without loading one: their views, and the moments that they have reached."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._looking = threading.Lock()

    def look(self) -> None:
        """One look after the other."""
        with self._looking:
            super().look()

    def _load(self, record: Deployment) -> Served:
        code = vouched(self.declared, record)
        features = self.features.of(code.use_case)
        self._reached = {**self._reached, code.use_case: reached(self.folder, code.use_case)}
        return Served(
            record=record,
            scorer=None,  # type: ignore[arg-type]
            rows=lambda rows: rows,
            request=pydantic.BaseModel,
            service=features.describe(record.feature_service).with_columns(record.columns),
            features=features,
            since=self.clock.now(),
            use_case=code.use_case,
        )


class Looking:
    """An ASGI application that sees the records as they are at each request."""

    def __init__(self, app: "ASGIApp", models: WatchedModels) -> None:
        self.app, self._models = app, models

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "http":
            await to_thread.run_sync(self._models.look)
        await self.app(scope, receive, send)
