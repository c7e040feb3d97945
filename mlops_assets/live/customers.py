"""Customers: real requests to the endpoint about what a partition will bring, at a steady pace, whatever the platform does meanwhile."""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import httpx

PATIENCE_S = 10.0
LOOK_EVERY_S = 1.0
NO_MODEL = "no model yet"


@dataclass
class Traffic:
    """What customers met with since the last look: answers by version, and what else was answered, each with its number."""

    answered: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    """Of each other answer an example."""


class Customers:
    """Ask one endpoint about rows, one request after another, `a_second` of them; the models take turns."""

    def __init__(self, address: str, models: Sequence[str], a_second: float) -> None:
        self._address, self._models, self._pause = address, list(models), 1 / a_second if a_second else 0.0
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._rows: list[dict[str, Any]] = []
        self._traffic = {model: Traffic() for model in self._models}
        self._versions: dict[str, str] = {}
        self._fields: dict[str, list[str]] = {}
        self._thread = threading.Thread(target=self._ask, name="customers", daemon=True)

    def start(self) -> None:
        """Begin to ask, and to look which versions answer."""
        self._thread.start()

    def end(self) -> None:
        """Ask no more."""
        self._ending.set()
        self._thread.join(PATIENCE_S)

    def ask_about(self, rows: pl.DataFrame) -> None:
        """Ask about these rows from now on, from the first one on and round again."""
        with self._lock:
            self._rows = rows.to_dicts()

    def versions(self) -> dict[str, str]:
        """Which version of each model answers, as the endpoint said within the last second."""
        with self._lock:
            return dict(self._versions)

    def traffic(self) -> dict[str, Traffic]:
        """What came of the requests since this was called last, by model."""
        with self._lock:
            before, self._traffic = self._traffic, {model: Traffic() for model in self._models}
        return before

    def _ask(self) -> None:
        import httpx

        with httpx.Client(base_url=self._address, timeout=PATIENCE_S) as client:
            number, looked = 0, 0.0
            while not self._ending.wait(self._pause or LOOK_EVERY_S):
                if time.monotonic() - looked >= LOOK_EVERY_S:
                    self._look(client)
                    looked = time.monotonic()
                if self._pause and self._rows:
                    self._one(client, number)
                    number += 1

    def _look(self, client: "httpx.Client") -> None:
        """Which versions answer, and what each model has to be told."""
        import httpx

        try:
            listed = client.get("/models").json()
            served = {one["name"]: str(one["version"]) for one in listed if one["version"]}
            if unknown := [model for model in self._models if model in served and model not in self._fields]:
                schemas = client.get("/openapi.json").json()["components"]["schemas"]
                self._fields |= {model: [*schemas[f"{model}.request"]["properties"]] for model in unknown}
        except (httpx.HTTPError, ValueError, KeyError):
            return
        with self._lock:
            self._versions = {model: served[model] for model in self._models if model in served}

    def _one(self, client: "httpx.Client", number: int) -> None:
        import httpx

        model = self._models[number % len(self._models)]
        with self._lock:
            row = self._rows[number // len(self._models) % len(self._rows)]
            traffic, known = self._traffic[model], self._fields.get(model)
        if known is None:
            traffic.others[NO_MODEL] += 1
            return
        begun = time.perf_counter()
        try:
            reply = client.post(f"/v1/models/{model}/predict", json=request_of(row, known))
        except httpx.HTTPError as error:
            self._other(traffic, type(error).__name__, str(error))
            return
        if reply.status_code == 200:
            traffic.answered[str(reply.json()["version"])] += 1
            traffic.seconds.append(time.perf_counter() - begun)
        else:
            self._other(traffic, str(reply.status_code), reply.text[:200])

    def _other(self, traffic: Traffic, what: str, words: str) -> None:
        traffic.others[what] += 1
        traffic.words.setdefault(what, words)


def request_of(row: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """A row as a customer would say it: the request's fields alone, moments as text."""
    return {name: _said(row[name]) for name in fields if row.get(name) is not None}


def _said(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
