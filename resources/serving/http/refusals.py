"""Answers that say why there is no other: `{"detail": ...}`, and under /v2 also the `error` that its clients read."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

MOST_TOLD = 5
"""Problems that an error in words has; the detail has them all."""


def refused(path: str, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to a request for a path that is answered with a status above 399."""
    content = {"detail": detail}
    if path.startswith("/v2"):
        content = {"error": _in_words(detail), **content}
    return JSONResponse(content, status, dict(headers or {}))


def tell(app: "FastAPI") -> None:
    """Have an application answer this way."""

    async def wrong(request: "Request", error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return refused(request.url.path, 422, jsonable_encoder(error.errors()))

    async def other(request: "Request", error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return refused(request.url.path, error.status_code, error.detail, error.headers)

    app.add_exception_handler(RequestValidationError, wrong)
    app.add_exception_handler(HTTPException, other)


def problems_in_words(problems: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with the fields of a request, each by its place behind the `body`."""
    return "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in problems)


def _in_words(detail: Any) -> str:
    if isinstance(detail, list):
        problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in detail[:MOST_TOLD]]
        return "; ".join(
            [*problems, *([f"and {len(detail) - MOST_TOLD} more"] if detail[MOST_TOLD:] else [])]
        )
    return str(detail["message"]) if isinstance(detail, dict) else str(detail)
