"""A model that misbehaves as its file says, for a process that has little else to import."""

import json
import os
import time
from typing import Any

import numpy as np
import polars as pl

from resources.serving.code import Code
from resources.serving.versions.wire import ContributionsOfRows

HERE = "tests.resources.versions.misbehaving"
COMMAND = (
    "-c",
    f"import sys; from resources.serving.versions.__main__ import main; from {HERE} import declared; "
    "raise SystemExit(main(*sys.argv[1:4], declared))",
)
ONE_IN = 50
SHORT, LONG = 10, 99.0
SLOW_S = 0.02
LEAK = 100 * 2**20
HELD: list[Any] = []


class Misbehaving:
    """Reads `{"slope": ..., "does": ...}`; multiplies, after it did what its file says."""

    def __init__(self, model: bytes) -> None:
        said = json.loads(model)
        self.slope, self.does = float(said["slope"]), said["does"]
        if self.does == "hangs at load":
            time.sleep(1000)
        if self.does == "breaks at load":
            raise ValueError("the file is damaged")
        if self.does == "explains":
            self.features, self.contributions = ("distance_squared",), self.told

    def told(self, frame: pl.DataFrame) -> Any:
        base = np.ones(frame.height)
        return ContributionsOfRows("identity", base, (self.predict(frame) - base).reshape(-1, 1))

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        scores = frame["distance_squared"].to_numpy() * self.slope
        match self.does:
            case "sleeps":
                time.sleep(10)
            case "exits":
                os._exit(3)
            case "raises":
                raise ValueError("the model is broken")
            case "takes ten times as long":
                time.sleep(SLOW_S)
            case "takes two seconds for a long trip" if any(frame["distance"] == LONG):
                time.sleep(2.0)
            case "says one thing":
                return np.full(len(scores), 7.0)
            case "is wrong for short trips":
                return np.where(frame["distance"] < SHORT, scores + 1000.0, scores)
            case "raises for one row in fifty" if any(frame["distance"] % ONE_IN == 0):
                raise KeyError("no such carrier")
            case "leaks":
                HELD.append(np.ones(LEAK, np.uint8))
            case "gives nan":
                return scores * np.nan
            case "gives another shape":
                return np.append(scores, scores)
            case "gives no numbers":
                return np.array([{"a": 1}] * len(scores))
            case "prints":
                print("hello" * 1000, flush=True)
        return scores


def read_alone(model: bytes, *, code: Any, kind: str | None, name: str) -> Misbehaving:
    """The same as a judge reads it, in a process of its own."""
    return Misbehaving(model)


def declared(name: str) -> Code:
    """What a repository with this scorer would say of every model."""
    paths = {
        "scorer": frozenset({f"{HERE}:Misbehaving"}),
        "rows": frozenset[str](),
        "request": frozenset[str](),
    }
    return Code(names=paths, scorer=Misbehaving)
