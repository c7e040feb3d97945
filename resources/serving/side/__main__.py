"""`python -m resources.serving.side SOCKET`: the side process, until its standard input closes."""

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from resources.clock import Clock
from resources.features.planned_stores import PlannedStores
from resources.features.push import Pusher
from resources.features.pushed_moments import PushedMoments
from resources.features.store import FeatureStoreResource
from resources.features.stores import FeatureStores
from resources.serving.code import imported
from resources.serving.hosting import GRACE_S, log_to_file
from resources.serving.http.features import Question, mount
from resources.serving.http.predict import application
from resources.serving.keeper import with_parent
from resources.serving.side.watched import Looking, WatchedModels
from resources.settings import Settings, settings, silence_usage_reports

if TYPE_CHECKING:
    import uvicorn


def built(home: Settings) -> Looking:
    """The application over one state folder, with Feast."""
    features = FeatureStores.at(home)
    clock = Clock.of(home)
    models = WatchedModels(home.serving, PlannedStores(features), imported(home.declared), None, clock)
    if home.shared_address:
        models.pushed = PushedMoments(home.serving / "pushed", home.shared("serving/pushed"))
    reach = (models.pushed, models.now_of_view, models.ingested, models.asked_by_the_wall_clock)
    pusher = Pusher(features, *reach, clock)
    app = application(models, home.serve_address, None, pusher)
    app.user_middleware.clear()  # the process in front has let in what comes, and counts it

    def store_for(request: Question) -> FeatureStoreResource:
        return features.store_for(request.use_case, request.feature_service, request.views)

    return Looking(mount(app, store_for, models.moment), models)


def main(socket: str) -> int:
    """Answer on a socket; what is being answered when the standard input closes is answered still."""
    import uvicorn

    home = settings()
    silence_usage_reports()
    log_to_file(home.home / "logs" / "pushes.log")
    logging.getLogger("resources").setLevel(logging.INFO)
    config = uvicorn.Config(
        built(home), uds=socket, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S
    )
    server = uvicorn.Server(config)
    with_parent(socket, lambda: _end(server))
    server.run()
    return 0


def _end(server: "uvicorn.Server") -> None:
    server.should_exit = True
    time.sleep(GRACE_S + 5)
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
