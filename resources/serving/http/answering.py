"""From the body of a request to the answers of a model, or to the status that says why there are none."""

import logging
from datetime import datetime
from typing import Any

import pydantic
from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError

from resources.serving.explanations import MOST_ROWS, explains
from resources.serving.http.bodies import items_of, parsed, refusal, validated
from resources.serving.http.status import retired
from resources.serving.live_models import LiveModels, Served

LOG = logging.getLogger(__name__)


def answered(
    models: LiveModels,
    name: str,
    content: bytes,
    features: bool,
    arrived: datetime,
    most: int,
    explain: bool = False,
) -> Any:
    """The answer to a body of one request or a list of at most so many, in the same form; raises what FastAPI answers otherwise.

    Not for the event loop: it reads features, and frames take a while.
    """
    body, model = parsed(content, most), served_model(models, name)
    requests = validated(model.request, items_of(body, most), batch=isinstance(body, list))
    if not requests:
        return []
    if explain:
        refuse_unexplained(model, len(requests))
    answers = predicted(models, model, requests, features, arrived, explain)
    return answers if isinstance(body, list) else answers[0]


def predicted(
    models: LiveModels,
    model: Served,
    requests: list[pydantic.BaseModel],
    features: bool,
    arrived: datetime,
    explain: bool = False,
) -> list[dict[str, Any]]:
    """One answer a request; a failure behind the model is logged, and told as 500."""
    try:
        return models.predict(model, requests, features, arrived, explain)
    except Exception as error:
        record = model.record
        shown = (record.version, record.name, len(requests), repr(requests[0])[:1000])
        LOG.exception("version %s of %s failed on %s requests, the first is %s", *shown)
        raise HTTPException(
            500, f"version {record.version} of {record.name} failed: {type(error).__name__}: {error}"
        ) from error


def refuse_unexplained(model: Served, rows: int) -> None:
    """Raise the answer 422 for a model that cannot be explained, and for more rows than are explained at once."""
    if not explains(model.scorer):
        raise unexplained(model.record.name)
    refuse_many_explained(rows)


def unexplained(name: str) -> RequestValidationError:
    """The answer 422 of a model that cannot be explained."""
    why = (
        f"model {name!r} cannot say what its features add to a score, its kind of trainer gives no contributions: "
        "ask without explain=true"
    )
    return refusal("unsupported", why, "explain", part="query")


def refuse_many_explained(rows: int) -> None:
    """Raise the answer 422 for more rows than are explained at once."""
    if rows > MOST_ROWS:
        raise refusal(
            "too_long", f"{rows} items: with explain=true at most {MOST_ROWS}, each takes some milliseconds"
        )


def served_model(models: LiveModels, name: str) -> Served:
    """The model, or the status that says whether it is unknown or not there yet."""
    served = models.served
    if name in served:
        return served[name]
    if name in models.held.retired:
        raise HTTPException(410, retired(models, name))
    if name in models.problems:
        raise HTTPException(
            503, f"model {name!r} has a deployment that cannot be served: {models.problems[name]}"
        )
    if not served and not models.problems:
        raise HTTPException(
            503,
            f"no model is deployed yet, {name!r} neither: materialize the asset {name}/deployment in the Dagster UI "
            "(or run `make run`); the endpoint takes it up within seconds",
        )
    raise HTTPException(
        404,
        {
            "message": f"no model {name!r} is deployed; if it should be, materialize the asset {name}/deployment",
            "models": sorted({*served, *models.problems}),
        },
    )
