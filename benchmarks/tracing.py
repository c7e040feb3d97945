"""What tracing costs a request of one row, from its bytes to the bytes of its answer, and the making of an asset: CPU of the whole process.

    python -m benchmarks.tracing

Three ways, in turns: nothing is traced; the caller sends a `traceparent`, which goes into the serving log; and spans go to a
collector of this machine, for which every request goes through the application.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from resources.settings import PROJECT_ROOT

REQUESTS, ASSETS, TURNS = 2000, 30, 5
PARENT = "traceparent: 00-{:032x}-00f067aa0ba902b7-01\r\n"
HEAD = (
    "POST /v1/models/{name}/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    "{more}Content-Length: {length}\r\n\r\n"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", action="store_true", help="measure this process, and print what it took")
    if parser.parse_args().child:
        sys.stdout.write(json.dumps(asyncio.run(_requests()) | {"asset": _assets()}))
        sys.stdout.flush()
        os._exit(0)  # its log and its threads are of no interest any more
    from benchmarks.report import save
    from benchmarks.serving_setup import prepare
    from tests.collectors import collector

    with tempfile.TemporaryDirectory(prefix="tracing-bench-") as folder, collector() as collecting:
        prepare(Path(folder))
        plain = [_child(folder, "") for _ in range(TURNS)]
        exported = [_child(folder, collecting.address) for _ in range(TURNS)]
        spans = len(collecting.spans)
    figures = {
        "request, not traced": _milliseconds(plain, "without"),
        "request, with a traceparent": _milliseconds(plain, "with"),
        "request, a span to a collector": _milliseconds(exported, "with"),
        "asset, not traced": _milliseconds(plain, "asset"),
        "asset, a span to a collector": _milliseconds(exported, "asset"),
    }
    for what, took in figures.items():
        print(f"{what:34}{took:8.3f} ms of CPU")
    print(f"{spans} spans came to the collector")
    ratios = {
        "traceparent": figures["request, with a traceparent"] / figures["request, not traced"],
        "span": figures["request, a span to a collector"] / figures["request, not traced"],
    }
    print(save("tracing", figures, {name: round(value, 3) for name, value in ratios.items()}))
    return 0


def _milliseconds(turns: list[dict[str, float]], what: str) -> float:
    return round(median(one[what] for one in turns), 4)


def _child(folder: str, collector: str) -> dict[str, float]:
    """What one process took, which exports to a collector or, where none is named, nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {"MLOPS_HOME": f"{folder}/state"} | (
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector}/v1/traces"} if collector else {}
    )
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.tracing", "--child"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


async def _requests() -> dict[str, float]:
    """CPU milliseconds of a request on its connection, with and without a caller's trace."""
    from benchmarks.serving_setup import NAME, bodies
    from resources.serving.connection import Connection
    from resources.serving.hosting import http_application
    from resources.settings import settings
    from resources.telemetry.requests import traced
    from tests.resources.fast.wire import Wire

    wire = Wire(traced(http_application(settings())), Connection)
    body = json.dumps(bodies(1)[0])

    def request(number: int, with_trace: bool) -> bytes:
        more = PARENT.format(number + 1) if with_trace else ""
        return (HEAD.format(name=NAME, more=more, length=len(body)) + body).encode()

    async def ask(with_trace: bool) -> float:
        some = [request(number, with_trace) for number in range(REQUESTS)]
        wire.socket.pieces.clear()
        began = time.process_time()
        for number, one in enumerate(some, 1):
            wire.bring(one)
            while len(wire.socket.pieces) < number:
                await asyncio.sleep(0)
        took = time.process_time() - began
        assert all(piece.startswith(b"HTTP/1.1 200") for piece in wire.socket.pieces)
        return took / REQUESTS * 1e3

    await ask(False)
    turns = [(await ask(False), await ask(True)) for _ in range(TURNS)]
    without, with_trace = (median(one) for one in zip(*turns, strict=True))
    return {"without": without, "with": with_trace}


def _assets() -> float:
    """CPU milliseconds of a run of one asset that does nothing."""
    import dagster as dg

    from mlops_assets.kit.stage import Run, stage
    from resources.lake.lake import Lake

    @stage(["nothing"], uses=[])
    def nothing(run: Run) -> Any:
        yield run.result("1", {})

    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        parts = {"lake": Lake(root=folder)}
        made: Callable[[], Any] = lambda: dg.materialize([nothing], instance=instance, resources=parts)  # noqa: E731
        made()
        took = []
        for _ in range(ASSETS):
            began = time.process_time()
            made()
            took.append(time.process_time() - began)
    return median(took) * 1e3


if __name__ == "__main__":
    raise SystemExit(main())
