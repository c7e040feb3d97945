"""What every way to serve shares: the HTTP application over one state folder, its port, and its log."""

import contextlib
import importlib
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.middleware import Middleware

from resources import ports
from resources.clock import Clock
from resources.settings import Settings
from resources.state_folder import refuse_unusable

if TYPE_CHECKING:
    from fastapi import FastAPI

    from resources.serving.following import Following
    from resources.serving.keeper import Keeper
    from resources.serving.live_models import LiveModels

HOST = "127.0.0.1"
MEBIBYTE = 2**20
GRACE_S = 20
"""Seconds that requests have to be answered in when a process is told to end."""

SIDE_AFTER_S = 3.0
"""So long after the endpoint answers, the process that takes pushes is started, where some use case has a push source."""


def log_to_file(path: Path) -> None:
    """Keep what a process says about models after it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=MEBIBYTE, backupCount=2)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("resources").addHandler(handler)


def http_application(home: Settings) -> "FastAPI":
    """The HTTP application over the records and the feature stores of one state folder, following them.

    What is deployed already answers from the first request on. Nothing of it imports Feast: pushes and questions for features
    go to a process beside it, and predictions read what was written down when the definitions were applied.
    """
    from resources.features.planned_stores import PlannedStores
    from resources.features.store import FeatureStoreResource
    from resources.features.stores import FeatureStores
    from resources.serving.code import imported
    from resources.serving.following import Following
    from resources.serving.http import reports
    from resources.serving.http.features import Question, mount
    from resources.serving.http.predict import application
    from resources.serving.keeper import Keeper
    from resources.serving.live_models import LiveModels
    from resources.serving.log_writer import ServingLog
    from resources.serving.side import CALLED, COMMAND
    from resources.serving.side.forward import Forward
    from resources.serving.versions.versions import Versions
    from resources.storage.addresses import storage_at

    following = Following(home)
    if home.shared_address:
        following.look()
        following.follow()
    stores = FeatureStores.at(home)
    planned = PlannedStores(stores)
    log = ServingLog(home.serving_log)
    clock = Clock.of(home)
    models = LiveModels(home.serving, planned, imported(home.declared), log, clock, home.serve_versions)
    models.look()
    threading.Thread(
        target=_import_ahead, args=[imported(home.ahead)], name="import-ahead", daemon=True
    ).start()
    models.follow()
    pushes: Any = planned
    app = application(models, home.serve_address, log, pushes, *let_in(home), versions=Versions(models, home))

    def store_for(request: Question) -> FeatureStoreResource:
        return stores.store_for(request.use_case, request.feature_service, request.views)

    keeper = Keeper(home, COMMAND, CALLED)
    app.user_middleware.append(Middleware(Forward, keeper=keeper, models=models))
    _end_with(app, keeper, models, lambda: bool(planned.sources))
    _ship_at_the_end(app, following)
    return mount(reports.mount(app, storage_at(home.lake)), store_for, models.moment)


def let_in(home: Settings) -> tuple[Any, ...]:
    """Who may ask, how much, and by which keys, as the application takes them."""
    from resources.serving_limits import Limits

    waits = home.serve_wait_ms / 1000
    limits = Limits(home.serve_max_bytes, home.serve_max_rows, home.serve_deadline_s, waits)
    return home.serve_names, limits, home.serve_keys


def _end_with(app: "FastAPI", keeper: "Keeper", models: "LiveModels", is_needed: Callable[[], bool]) -> None:
    """Have the side process start after the application, where it is needed, and end with it, as following the records does."""
    around = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(given: "FastAPI") -> AsyncIterator[None]:
        async with around(given):
            keeper.start_soon(SIDE_AFTER_S, is_needed)
            try:
                yield
            finally:
                models.close()
                await to_thread.run_sync(keeper.close)

    app.router.lifespan_context = lifespan


def _ship_at_the_end(app: "FastAPI", following: "Following") -> None:
    """Have what was served reach the others before the process is gone, after the log was closed."""
    around = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(given: "FastAPI") -> AsyncIterator[None]:
        async with around(given):
            yield
        await to_thread.run_sync(following.close)

    app.router.lifespan_context = lifespan


def _import_ahead(libraries: Callable[[], Sequence[str]]) -> None:
    for name in libraries():
        importlib.import_module(name)


def can_serve(home: Settings) -> bool:
    """Whether the endpoint's port is free, and nobody is let in without a key; what is wrong is told. Refuses a state folder that cannot be one."""
    refuse_unusable(home.home)
    if home.exposed and not home.serve_keys:
        print(
            f"error: MLOPS_SERVE_HOST={home.serve_host} opens the endpoint to others, and no key is set: make one by "
            "`mlops key new NAME` and put its hash into MLOPS_SERVE_KEYS, or listen on 127.0.0.1",
            file=sys.stderr,
        )
        return False
    if ports.is_free(home.serve_port):
        return True
    held = ports.holder(home.serve_port) or "another process"
    print(
        f"error: port {home.serve_port} is taken by {held}: set MLOPS_SERVE_PORT to another port",
        file=sys.stderr,
    )
    return False
