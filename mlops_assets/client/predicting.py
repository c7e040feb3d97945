"""Predictions through the endpoint, or in this process by what the endpoint would answer with."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from mlops_assets.client.errors import ClientError
from resources.serving.ray_serve import Endpoint
from resources.settings import Settings

if TYPE_CHECKING:
    from resources.serving.live_models import LiveModels

CONNECT_S = 1.0
Requests = Mapping[str, Any] | Sequence[Mapping[str, Any]] | pl.DataFrame


class Predictor:
    """Answers of the models that `deployed` has; `address` is where an endpoint may be, `key` one that it may be asked with."""

    def __init__(self, home: Settings, deployed: Endpoint, address: str, key: str = "") -> None:
        self.home, self.deployed, self.address, self.key = home, deployed, address.rstrip("/"), key

    def answers(self, model: str, requests: Requests) -> Any:
        """One answer, or a list of them. Raises ClientError with every field that is wrong."""
        given = requests.to_dicts() if isinstance(requests, pl.DataFrame) else requests
        one = isinstance(given, Mapping)
        items = [given] if isinstance(given, Mapping) else list(given)
        most, ask = self.home.serve_max_rows, self._by_endpoint if self.serves(model) else self._here
        parts = [ask(model, _body(items[i : i + most])) for i in range(0, len(items), most)]
        answers = [answer for part in parts for answer in part]
        return answers[0] if one else answers

    def serves(self, model: str) -> bool:
        """Whether an endpoint answers at the address, and serves the very model that is deployed here.

        An endpoint over another state, or one that has not taken up the newest promotion yet, is not asked.
        """
        import httpx

        sha256 = self._deployed(model)
        try:
            reply = httpx.get(f"{self.address}/models", headers=self._headers, timeout=CONNECT_S)
        except httpx.TransportError:
            return False
        if reply.status_code in (401, 403):
            raise ClientError(
                f"the endpoint at {self.address} refuses ({reply.status_code}): {_detail(reply)}. Give the key to "
                "open_project(..., key=...)"
            )
        if reply.status_code != 200:
            return False
        served = {one["name"]: one.get("model_sha256") for one in reply.json()}
        return served.get(model) == sha256

    def _deployed(self, model: str) -> str:
        """The hash of the model that is deployed. Raises ClientError where none is."""
        record = self.deployed.published(model)
        if record is None:
            raise ClientError(
                f"{model} is not deployed: materialize the asset {model}/deployment, once a challenger has passed the gate"
            )
        return record.model_sha256

    def _by_endpoint(self, model: str, body: bytes) -> list[dict[str, Any]]:
        import httpx

        headers = {**self._headers, "Content-Type": "application/json"}
        patience = float(self.home.serve_deadline_s)
        reply = httpx.post(
            f"{self.address}/v1/models/{model}/predict", content=body, headers=headers, timeout=patience
        )
        if reply.status_code != 200:
            raise ClientError(f"{model} gives no answer ({reply.status_code}): {_detail(reply)}")
        return reply.json()

    def _here(self, model: str, body: bytes) -> list[dict[str, Any]]:
        from fastapi import HTTPException
        from fastapi.exceptions import RequestValidationError

        from resources.serving.http.answering import answered

        self._models.look()
        arrived = self._models.clock.now()
        try:
            return answered(self._models, model, body, False, arrived, self.home.serve_max_rows)
        except HTTPException as error:
            raise ClientError(
                f"{model} gives no answer ({error.status_code}): {_words(error.detail)}"
            ) from error
        except RequestValidationError as error:
            raise ClientError(f"{model} gives no answer (422): {_words(error.errors())}") from error

    @cached_property
    def _models(self) -> "LiveModels":
        """The deployed models as the endpoint makes them of the same records; what is answered here is not logged."""
        from resources.clock import Clock
        from resources.features.planned_stores import PlannedStores
        from resources.features.stores import FeatureStores
        from resources.serving.code import imported
        from resources.serving.following import Following
        from resources.serving.live_models import LiveModels

        if self.home.shared_address:
            Following(self.home).look()
        stores = PlannedStores(FeatureStores.at(self.home))
        return LiveModels(self.home.serving, stores, imported(self.home.declared), None, Clock.of(self.home))

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


def _body(items: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps([dict(item) for item in items], default=_text).encode()


def _text(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise ClientError(
        f"{value!r} is {type(value).__name__}, which JSON does not know: give text, a number or a moment"
    )


def _detail(reply: Any) -> str:
    try:
        return _words(reply.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return reply.text[:200]


def _words(detail: Any) -> str:
    """What FastAPI says of a wrong request: each field and what is wrong with it."""
    from resources.serving.http.refusals import problems_in_words

    if isinstance(detail, list):
        return problems_in_words(detail)
    return str(detail["message"]) if isinstance(detail, dict) and "message" in detail else str(detail)
