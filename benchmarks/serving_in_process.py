"""One prediction from the bytes of its body to the bytes of its answer, without a server: CPU milliseconds of the thread."""

import asyncio
import json
import os
import sys
import time
from statistics import median
from typing import Any

ROUNDS = 5


def main() -> None:
    from benchmarks.serving_setup import bodies
    from resources.serving.hosting import http_application
    from resources.settings import settings

    app = http_application(settings())
    found = {
        str(rows): asyncio.run(_took(app, [json.dumps(one).encode() for one in bodies(rows)]))
        for rows in (1, 100)
    }
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # its log and its threads are of no interest any more


async def _took(app: Any, contents: list[bytes]) -> float:
    """Of each request the fastest of some rounds, and of these the median."""
    rounds = [[await _asked(app, content) for content in contents] for _ in range(ROUNDS)]
    return median(min(took) for took in zip(*rounds, strict=True)) * 1e3


async def _asked(app: Any, content: bytes) -> float:
    from benchmarks.serving_setup import NAME

    statuses: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 200))

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/predict/{NAME}",
        "query_string": b"",
        "headers": headers,
    }
    began = time.thread_time()
    await app(scope, receive, send)
    took = time.thread_time() - began
    assert statuses == [200, 200], statuses
    return took


if __name__ == "__main__":
    main()
