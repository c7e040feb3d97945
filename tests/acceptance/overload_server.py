"""An endpoint to be overloaded: the real application and process, with a model whose every row takes a quarter of a millisecond."""

import time
from dataclasses import replace
from typing import Any

from resources.serving import process
from resources.serving.http.predict import application
from resources.serving.live_models import LiveModels, Served
from resources.serving_limits import Limits
from tests.resources.fast.test_lane import Short
from tests.resources.serving_fakes import FakeFeatures, declared

ROW_S = 0.00025


class Busy(Short):
    """Works for its rows."""

    def answered(self, requests: Any, now: Any) -> Any:
        until = time.perf_counter() + ROW_S * len(requests)
        while time.perf_counter() < until:
            pass
        return super().answered(requests, now)


class QuickModels(LiveModels):
    """Live models that all answer by the short way."""

    def _warmed(self, model: Served) -> Served:
        return replace(model, fast=Busy())


def build(home):
    """The application over the records of a state folder."""
    models = QuickModels(home.serving, FakeFeatures(), declared)
    models.follow(every_s=0.1)
    limits = Limits(wait_s=home.serve_wait_ms / 1000)
    return application(models, home.serve_address, limits=limits)


if __name__ == "__main__":
    raise SystemExit(process.main(build))
