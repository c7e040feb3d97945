"""An endpoint whose versions misbehave: the real application, processes and records, over a fake store."""

from dataclasses import replace
from typing import Any

from resources.features.push import Pusher
from resources.serving import process
from resources.serving.fast.compiled import by_frames, vectors_by_frames
from resources.serving.http.predict import application
from resources.serving.live_models import LiveModels, Served
from resources.serving.log_writer import ServingLog
from resources.serving.versions.versions import Bounds, Versions
from resources.serving_limits import Limits
from tests.resources.serving_fakes import FakeFeatures
from tests.resources.versions.misbehaving import COMMAND, declared
from tests.resources.versions.readings import Readings


class Quick:
    """Answers in the event loop, as a compiled model does, by the fake store's frames."""

    def __init__(self, model: Served) -> None:
        self._model = model

    def answered(self, requests: Any, now: Any) -> Any:
        return by_frames(self._model, requests, now)

    def vectors(self, requests: Any, now: Any) -> Any:
        return vectors_by_frames(self._model, requests, now)


class QuickModels(LiveModels):
    """Live models that all answer in the event loop."""

    def _warmed(self, model: Served) -> Served:
        return replace(model, fast=Quick(model))  # type: ignore[arg-type]


def build(home):
    """The application over the records of a state folder; a process of a version that hangs is killed soon."""
    log = ServingLog(home.serving_log, every_s=0.2)
    models = QuickModels(home.serving, FakeFeatures(), declared, log, sides=home.serve_versions)
    models.follow(every_s=0.05)
    versions = Versions(models, home, COMMAND, Bounds(loads_s=20.0, hangs_s=0.5, most=16))
    limits = Limits(deadline_s=home.serve_deadline_s)
    reach = (models.pushed, models.now_of_view, models.ingested, models.asked_by_the_wall_clock)
    pusher = Pusher(Readings(home.home), *reach)
    return application(models, home.serve_address, log, pusher, limits=limits, versions=versions)


if __name__ == "__main__":
    raise SystemExit(process.main(build))
