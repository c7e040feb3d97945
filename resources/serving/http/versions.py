"""Requests that another version than the one that answers is asked for: by its number, or by a split of a model's requests.

Who names a version gets its answer or the reason why there is none. Who names none always gets an answer: where the version that
the split draws gives none in time, the one that answers does, and the answer says so.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pydantic
from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from resources.records.split import Split
from resources.serving.http.admission import Admission, FullError
from resources.serving.http.answering import predicted, refuse_many_explained, served_model, unexplained
from resources.serving.http.behind import Behind
from resources.serving.http.bodies import items_of, parsed, validated
from resources.serving.http.guard import replayed
from resources.serving.http.lane import LARGEST, asked_for
from resources.serving.http.refusals import refused
from resources.serving.http.together import MOST_ROWS
from resources.serving.live_models import LiveModels, Served
from resources.serving.versions.faults import LATE, PASSING, FaultError, UnexplainedError
from resources.serving.versions.versions import PLAIN, Shown, UnknownVersionError, Versions
from resources.serving_limits import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

Requests = Sequence[pydantic.BaseModel]


class Asking:
    """Asks versions, and the one that answers where they do not."""

    def __init__(self, models: LiveModels, versions: Versions | None, behind: Behind, limits: Limits) -> None:
        self.models, self._versions, self._behind, self._limits = models, versions, behind, limits

    def split_of(self, model: Served | None) -> Split | None:
        """The split of a model's requests, where it sends some elsewhere."""
        split = self.models.splits.get(model.record.name) if model is not None else None
        if split is None or self._versions is None or model is None or split.version == model.record.version:
            return None
        return split

    def is_divided(self, model: Served) -> bool:
        """Whether a split sends some of a model's requests elsewhere."""
        return bool(self.models.splits) and self.split_of(model) is not None

    async def named(self, name: str, version: str) -> Served | None:
        """What reads requests to a version that is asked by its number; None where it is the one that answers.

        Raises the answers 404 for one that is not known, and 503 for one that cannot be had now.
        """
        answering = served_model(self.models, name).record.version
        if version in ("", answering):
            return None
        try:
            if self._versions is None:
                raise UnknownVersionError(f"version {version[:20]} of {name} is not known")
            return await self._versions.model(name, version)
        except UnknownVersionError as unknown:
            raise HTTPException(
                404,
                f"{unknown}: version {answering} answers, and others that were published or offered may be asked",
            ) from unknown
        except FaultError as fault:
            raise _refusal(name, version, fault) from fault

    def numbers(self, name: str) -> list[str]:
        """The versions of a model that may be asked."""
        return self._versions.numbers(name) if self._versions else []

    async def refuse_unloaded(self, model: Served) -> None:
        """Raise the answer 503 while a version that is not the one that answers does not have its model; its process is started."""
        assert self._versions is not None
        name, version = model.record.name, model.record.version
        try:
            await self._versions.is_loaded(name, version)
        except FaultError as fault:
            raise _refusal(name, version, fault) from fault

    async def by_number(
        self, model: Served, requests: Requests, arrived: datetime, shown: Shown = PLAIN
    ) -> list[dict[str, Any]]:
        """An answer a request by a version that was asked by its number, or the answers 422, 503 and 504."""
        assert self._versions is not None
        name, version = model.record.name, model.record.version
        if shown.explanations:
            refuse_many_explained(len(requests))
        try:
            given = requests, arrived, self._limits.deadline_s, shown
            return await self._versions.answers(name, version, *given, patient=True)
        except UnexplainedError as error:
            raise unexplained(name) from error
        except FaultError as fault:
            raise _refusal(name, version, fault) from fault

    async def divided(
        self,
        model: Served,
        split: Split,
        requests: Requests,
        content: bytes,
        arrived: datetime,
        with_features: bool = False,
    ) -> list[dict[str, Any]]:
        """An answer a request, each by the version that the split draws for it, or by the one that answers."""
        drawn = [split.takes(request) for request in requests]
        theirs = [request for request, taken in zip(requests, drawn, strict=True) if taken]
        answers, fallback = await self._of_others(split, theirs, arrived, with_features)
        own = [request for request, taken in zip(requests, drawn, strict=True) if not taken or fallback]
        mine, others = (
            iter(await self._of_champion(model, own, content, arrived, with_features)),
            iter(answers),
        )
        if fallback is None:
            return [next(others if taken else mine) for taken in drawn]
        return [
            {**answer, "fallback": fallback} if taken else answer
            for answer, taken in zip(mine, drawn, strict=True)
        ]

    async def _of_others(
        self, split: Split, requests: Requests, arrived: datetime, with_features: bool
    ) -> tuple[list[dict[str, Any]], dict[str, str] | None]:
        """The answers by the version that a split names; or none, and why."""
        assert self._versions is not None
        if not requests:
            return [], None
        given = requests, arrived, split.deadline_ms / 1000, Shown(with_features)
        try:
            return await self._versions.answers(split.name, split.version, *given), None
        except FaultError as fault:
            return [], {"version": split.version, "kind": fault.kind, "why": str(fault)}

    async def _of_champion(
        self, model: Served, requests: Requests, content: bytes, arrived: datetime, with_features: bool
    ) -> list[dict[str, Any]]:
        given = self.models, model, list(requests), with_features, arrived
        if not requests or (model.fast is not None and len(requests) <= MOST_ROWS):
            return predicted(*given) if requests else []
        return await self._behind.answer(predicted, model.record.name, content, *given)

    async def named_body(self, model: Served, content: bytes, shown: Shown, arrived: datetime) -> Any:
        """The answer to a body of rows by a version that was asked by its number, in the body's form."""
        body, requests = await self.read(_read, content, content, model, self._limits.rows)
        answers = await self.by_number(model, requests, arrived, shown) if requests else []
        return answers if isinstance(body, list) else answers[0]

    async def divided_body(
        self, model: Served, split: Split, content: bytes, features: bool, arrived: datetime
    ) -> Any:
        """The answer to a body of rows to a model whose requests are divided, in the body's form."""
        body, requests = await self.read(_read, content, content, model, self._limits.rows)
        given = requests, content, arrived, features
        answers = await self.divided(model, split, *given) if requests else []
        return answers if isinstance(body, list) else answers[0]

    async def read(self, work: Any, content: bytes, *given: Any) -> Any:
        """What `work` makes of a body, outside of the event loop; what it takes says nothing of how long an answer does."""
        return await self._behind.answer(work, "", content, *given)


def _refusal(name: str, version: str, fault: FaultError) -> HTTPException:
    headers = {"Retry-After": "1"} if fault.kind in PASSING else None
    why = f"version {version} of {name} gives no answer ({fault.kind}): {fault}"
    return HTTPException(504 if fault.kind == LATE else 503, why, headers)


def _read(content: bytes, model: Served, most: int) -> tuple[Any, Requests]:
    body = parsed(content, most)
    return body, validated(model.request, items_of(body, most), batch=isinstance(body, list))


class Divided:
    """An ASGI application before another one: of plain requests to a model that is divided, it answers those with rows drawn away."""

    def __init__(self, app: "ASGIApp", asking: Asking, admission: Admission, limits: Limits) -> None:
        self.app, self._asking, self._admission = app, asking, admission
        self._most = min(MOST_ROWS, limits.rows)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        target = self._divided(scope) if self._asking.models.splits else None
        if target is None:
            return await self.app(scope, receive, send)
        (model, split), message = target, await receive()
        arrived, body = self._asking.models.clock.now(), message.get("body", b"")
        read = None if message.get("more_body") or len(body) > LARGEST else self._plain(body, model)
        if read is None or not any(split.takes(request) for request in read[1]):
            return await self.app(scope, replayed(message, receive), send)
        try:
            self._admission.give_back(self._admission.admit(model.record.name, len(body)))
            answers = await self._asking.divided(model, split, read[1], body, arrived)
        except FullError as full:
            return await full.answer(scope["path"])(scope, receive, send)
        except HTTPException as error:
            refusal = error.status_code, error.detail, error.headers
            return await refused(scope["path"], *refusal)(scope, receive, send)
        answer = JSONResponse(answers if isinstance(read[0], list) else answers[0])
        return await answer(scope, receive, send)

    def _divided(self, scope: "Scope") -> tuple[Served, Split] | None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
            return None
        model = self._asking.models.served.get(asked_for(scope["path"]))
        split = self._asking.split_of(model)
        return None if model is None or split is None or model.fast is None else (model, split)

    def _plain(self, body: bytes, model: Served) -> tuple[Any, Requests] | None:
        """The requests in a body; None where the routes behind have to read it, or say what is wrong."""
        try:
            return _read(body, model, self._most)
        except RequestValidationError:
            return None
