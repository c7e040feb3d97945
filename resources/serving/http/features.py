"""`POST /get-online-features`, with the request and the reply of `feast serve`, beside the models that use the features.

What is asked for is answered as of the models' moment, so that a replayed year is served as the models see it; a
request may name another moment in `as_of`. Moments are ISO 8601 in JSON, those of the entity rows too. Without a model, and without `as_of`, the wall clock decides what expired.
"""

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pydantic
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from resources.features.feature_repository import FeatureStoreError
from resources.features.store import FeatureStoreResource
from resources.moments import Moment, MomentError, read_moment
from resources.serving.http.bodies import parsed, refuse
from resources.serving.http.schema import json_body

if TYPE_CHECKING:
    from fastapi import FastAPI
    from feast import FeatureStore

LOG = logging.getLogger(__name__)


class Question(pydantic.BaseModel):
    """What `feast serve` takes, and the moment to answer for."""

    entities: dict[str, list[Any]]
    feature_service: str | None = None
    features: list[str] = []
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False
    as_of: Moment | None = None
    use_case: str | None = None

    @property
    def views(self) -> list[str]:
        """The views whose features it names."""
        return [name.partition(":")[0] for name in self.features]


def mount(
    app: "FastAPI",
    store_for: Callable[[Question], FeatureStoreResource],
    moment: Callable[[str], datetime | None] = lambda use_case: None,
) -> "FastAPI":
    """Add the route to an application.

    `store_for` gives the store that a question is for, `moment` the moment of a use case that is answered for unless it names one.
    """

    async def endpoint(request: Request) -> Response:
        question = await to_thread.run_sync(_read, await request.body())
        return await _answer(store_for, question, moment)

    shown = {"requestBody": json_body(Question.model_json_schema())}
    app.add_api_route("/get-online-features", endpoint, methods=["POST"], openapi_extra=shown)
    return app


def _read(content: bytes) -> Question:
    try:
        return Question.model_validate(parsed(content))
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        refuse({**problem, "loc": ("body", *problem["loc"])} for problem in problems)
        raise


async def _answer(
    store_for: Callable[[Question], FeatureStoreResource],
    question: Question,
    now: Callable[[str], datetime | None],
) -> Response:
    from feast.errors import FeastError, FeatureViewNotFoundException
    from feast.feature_server_utils import convert_response_to_dict

    from feature_repo.online_store.codec.moment import as_of
    from feature_repo.online_store.codec.reply import written
    from feature_repo.online_store.response import BulkOnlineResponse

    try:
        features = store_for(question)
    except FeatureStoreError as error:
        return JSONResponse({"detail": str(error)}, 422)
    moment = question.as_of or now(features.use_case)
    try:
        selection = (
            features.registered(question.feature_service) if question.feature_service else question.features
        )
        store = features.feast()
        entities = _with_moments(store, selection, question)
        with as_of(moment) if moment else contextlib.nullcontext():
            answer = await store.get_online_features_async(
                selection,
                entities,
                question.full_feature_names,
                question.include_feature_view_version_metadata,
            )
    except FeatureViewNotFoundException as error:
        said = features.unregistered_view(question.views)
        return JSONResponse({"detail": said} if said else error.to_error_detail(), error.http_status_code())
    except FeastError as error:
        return JSONResponse(error.to_error_detail(), error.http_status_code())
    except (FeatureStoreError, KeyError, TypeError, ValueError, OverflowError) as error:
        return JSONResponse({"detail": str(error)}, 422)
    if not isinstance(answer, BulkOnlineResponse):
        return JSONResponse(convert_response_to_dict(answer.proto))
    return Response(written(answer), media_type="application/json")


def _with_moments(store: "FeatureStore", selection: Any, question: Question) -> dict[str, list[Any]]:
    """The entity rows with the columns read that are declared to be moments."""
    from feature_repo.online_store.reading import BulkReads

    online = store._get_provider().online_store  # type: ignore[attr-defined]
    if not isinstance(online, BulkReads):
        return question.entities
    moments = online.moments_of(store.registry, store.project, selection, question.full_feature_names)
    read = {name: _moments(name, question.entities[name]) for name in moments & question.entities.keys()}
    return question.entities | read


def _moments(name: str, values: list[Any]) -> list[datetime | None]:
    try:
        return [None if value is None else read_moment(value) for value in values]
    except MomentError as error:
        raise ValueError(f"entities.{name}: {error}") from error
