"""The endpoint as one plain process: uvicorn around the application, and nothing else to start.

The records on disk are those that Ray Serve follows too, so that either can be ended and the other started.
"""

import contextlib
import gc
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any

from resources.serving.hosting import GRACE_S, can_serve, http_application, log_to_file
from resources.settings import Settings, settings, silence_usage_reports

if TYPE_CHECKING:
    from fastapi import FastAPI

ALLOCATIONS = 20_000
"""Objects that are made between two rounds of the garbage collector."""


SWITCH_S = 0.001
"""Seconds after which a thread lets another one go on: the event loop, which has to turn requests away, does not wait longer for it."""


def main(build: Any = http_application) -> int:
    """Serve in the foreground until SIGINT or SIGTERM; what was served is on disk then."""
    home = settings()
    if not can_serve(home):
        return 1
    silence_usage_reports()
    log_to_file(home.home / "logs" / "models.log")
    logging.getLogger("resources").setLevel(logging.INFO)
    with contextlib.suppress(KeyboardInterrupt):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        app = build(home)
        _leave_alone_what_stays()
        sys.setswitchinterval(SWITCH_S)
        serve(app, home)
    return 0


def serve(app: "FastAPI", home: Settings) -> None:
    """Answer until a signal comes, which is raised again at the end."""
    import uvicorn

    from resources.serving.connection import Connection
    from resources.telemetry.requests import traced

    class Server(uvicorn.Server):
        """Says when it answers."""

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                print(f"serving on {home.serve_address}", flush=True)

    config = uvicorn.Config(
        traced(app),
        host=home.serve_host,
        port=home.serve_port,
        http=Connection,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing asks who the client is
        timeout_graceful_shutdown=GRACE_S,
    )
    Server(config).run()


def _leave_alone_what_stays() -> None:
    """Keep what was loaded out of the garbage collector's rounds: to walk through all of it costs more than an answer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, *gc.get_threshold()[1:])


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
