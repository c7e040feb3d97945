"""`POST /get-online-features`, with the request and the reply of `feast serve`, beside the models that use the features.

What is asked for is answered as of the models' moment, so that a replayed year is served as the models see it; a
request may name another moment in `as_of`. Without a model, and without `as_of`, the wall clock decides what expired.
"""

import contextlib
import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pydantic
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resources.feature_definitions import FeatureStoreError
from resources.feature_store import FeatureStoreResource
from resources.moments import Moment

if TYPE_CHECKING:
    from fastapi import FastAPI

LOG = logging.getLogger(__name__)


class Question(pydantic.BaseModel):
    """What `feast serve` takes, and the moment to answer for."""

    entities: dict[str, list[Any]]
    feature_service: str | None = None
    features: list[str] = []
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False
    as_of: Moment | None = None


def mount(
    app: "FastAPI", features: FeatureStoreResource, moment: Callable[[], datetime | None] = lambda: None
) -> "FastAPI":
    """Add the route to an application; `moment` gives the moment that is answered for unless a request names one."""

    async def endpoint(request: Request) -> Response:
        try:
            question = Question.model_validate_json(await request.body())
        except pydantic.ValidationError as error:
            return JSONResponse({"detail": json.loads(error.json(include_url=False))}, 422)
        return await _answer(features, question, question.as_of or moment())

    app.router.routes.append(Route("/get-online-features", endpoint, methods=["POST"]))
    return app


async def _answer(features: FeatureStoreResource, question: Question, moment: datetime | None) -> Response:
    from feast.errors import FeastError
    from feast.feature_server_utils import convert_response_to_dict

    from feature_repo.online_store.as_json import written
    from feature_repo.online_store.moment import as_of
    from feature_repo.online_store.response import BulkOnlineResponse

    try:
        wanted = (
            features.registered(question.feature_service) if question.feature_service else question.features
        )
        with as_of(moment) if moment else contextlib.nullcontext():
            found = await features.feast().get_online_features_async(
                wanted,
                question.entities,
                question.full_feature_names,
                question.include_feature_view_version_metadata,
            )
    except FeastError as error:
        return JSONResponse(error.to_error_detail(), error.http_status_code())
    except (FeatureStoreError, KeyError, TypeError, ValueError) as error:
        return JSONResponse({"detail": str(error)}, 422)
    if not isinstance(found, BulkOnlineResponse):
        return JSONResponse(convert_response_to_dict(found.proto))
    return Response(written(found), media_type="application/json")
