"""The endpoint with a roll-out under way: one process asked without one, with a shadow, a split, both, and at full traffic of the other version.

The other version has the same booster, and scores in its process. All are one endpoint, told turn by turn what to do, beside FastAPI
around the bare booster. CPU is of the endpoint and the version's process; copies that were dropped because the endpoint was busy, or
beyond their share of a processor, cost nothing but their count.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from benchmarks.report import save
from benchmarks.serving_client import turn
from benchmarks.serving_servers import HOST, Server, endpoint, free_port, running, servers, wait_for
from benchmarks.serving_setup import MODEL, NAME, bodies, prepare
from resources.records.split import Split
from resources.serving.log import ServingLogResource
from resources.serving.ray_serve import Endpoint
from resources.serving.version_counts import Traffic, version_counts
from resources.settings import settings

OTHER = "8"
BY = ["carrier", "flight"]
WAIT_S = 60
SETTLES_S = 2.0
"""So long counts need to be on disk, and records to be followed."""

CASES: dict[str, dict[str, float] | None] = {
    "no roll-out": None,
    "shadow 100%": {"share": 0.0, "shadow": 1.0},
    "split 10%": {"share": 0.1},
    "shadow 100%, split 10%": {"share": 0.1, "shadow": 1.0},
    "full traffic": {"share": 1.0},
}
LOADS = (1, 64)
"""Connections."""


class Rollout:
    """One endpoint that is told what to do."""

    def __init__(self, folder: Path, port: int) -> None:
        home = settings({"MLOPS_HOME": str(folder / "state")})
        self.port, self._address = port, f"http://{HOST}:{port}"
        self._endpoint = Endpoint(folder=str(home.serving))
        self._log = ServingLogResource(folder=str(home.serving_log))
        record = self._endpoint.published(NAME)
        assert record is not None
        path = self._endpoint.keep(NAME, OTHER, (folder / MODEL).read_bytes())
        self._endpoint.offer(record.model_copy(update={"version": OTHER, "model_path": str(path)}))

    def begin(self, case: dict[str, float] | None) -> None:
        """Have it done, the version's process being there."""
        if case is None:
            self._endpoint.undivide(NAME)
        else:
            self._endpoint.divide(Split.model_validate({"name": NAME, "version": OTHER, "by": BY, **case}))
            _until(self._is_loaded)
        time.sleep(SETTLES_S)

    def traffic(self) -> Traffic:
        """What the other version did so far."""
        time.sleep(SETTLES_S)
        return version_counts(self._log, NAME).get(OTHER, Traffic())

    def _is_loaded(self) -> bool:
        return (
            httpx.get(f"{self._address}/v2/models/{NAME}/versions/{OTHER}/ready", timeout=30).status_code
            == 200
        )


def main(options: argparse.Namespace) -> None:
    """Measure and save `benchmarks/results/serving_rollout.json`."""
    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        prepare(folder)
        found = measured(folder, options, stack)
    print(table_of(found))
    print(save("serving_rollout", found, ratios_of(found)))


def measured(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """Each case in turn, a number of times; figures are medians."""
    bare = servers(folder, argparse.Namespace(without_before=True, bentoml_python=None), stack)["fastapi"]
    ours, fastapi = (
        _started(one, name, folder, stack) for one, name in ((endpoint(), "ours"), (bare, "fastapi"))
    )
    rollout, found = Rollout(folder, ours[0]), dict[str, Any]()
    for connections in LOADS:
        each: dict[str, list[dict[str, float]]] = {name: [] for name in ("fastapi", *CASES)}
        for _ in range(options.turns):
            each["fastapi"].append(_turn(bare, *fastapi, connections, options.seconds))
            for name, case in CASES.items():
                rollout.begin(case)
                each[name].append(
                    _with_copies(rollout, partial(_turn, endpoint(), *ours, connections, options.seconds))
                )
        found[f"1 rows, {connections} connections"] = {
            name: {key: median(one[key] for one in some) for key in some[0]} for name, some in each.items()
        }
    return found


def _started(server: Server, name: str, folder: Path, stack: ExitStack) -> tuple[int, psutil.Process]:
    port = free_port()
    process = stack.enter_context(running(server, port, folder))
    wait_for(server, process, port, name)
    return port, process


def _turn(
    server: Server, port: int, process: psutil.Process, connections: int, seconds: float
) -> dict[str, float]:
    return turn([port], [process], server.path, bodies(1), connections, seconds)


def _with_copies(rollout: Rollout, ask: Callable[[], dict[str, float]]) -> dict[str, float]:
    before, began = rollout.traffic(), time.monotonic()
    figures, seconds = ask(), time.monotonic() - began
    did = rollout.traffic() - before
    dropped = sum(did.shadow_dropped.values())
    return figures | {
        "copies_scored_a_second": did.shadow_scored / seconds,
        "copies_dropped": dropped / max(1, dropped + did.shadow_scored),
        "copy_cpu_ms": 1e3 * did.shadow_cpu_s / max(1, did.shadow_scored),
        "asked_a_second": did.requests / seconds,
        "faults": float(sum(did.faults.values())),
    }


def ratios_of(found: dict[str, Any]) -> dict[str, float]:
    """Requests a second of each case over those without a roll-out, and over FastAPI's, by connections."""
    ratios = {}
    for connections in LOADS:
        rates = {
            n: one["requests_a_second"] for n, one in found[f"1 rows, {connections} connections"].items()
        }
        for name in CASES:
            called = name.replace("%", "").replace(",", "").replace(" ", "_").replace("-", "")
            ratios[f"{called}_{connections}_vs_none"] = round(rates[name] / rates["no roll-out"], 2)
            ratios[f"{called}_{connections}_vs_fastapi"] = round(rates[name] / rates["fastapi"], 2)
    return dict(sorted(ratios.items()))


def table_of(found: dict[str, Any]) -> str:
    """What the screen and the page show of the figures."""
    one, many = (found[f"1 rows, {connections} connections"] for connections in LOADS)
    titles = ("answers/s", "p50 ms", "CPU ms", "answers/s", "p99 ms", "CPU ms", "copies/s")
    lines = [f"{'':26}{'one connection':>30}{'64 connections':>30}", f"{'':26}" + _cells(titles)]
    for name in ("fastapi", *CASES):
        numbers = [f"{one[name]['requests_a_second']:,.0f}", f"{one[name]['p50_ms']:.2f}"]
        numbers += [f"{one[name]['cpu_ms']:.2f}", f"{many[name]['requests_a_second']:,.0f}"]
        numbers += [f"{many[name]['p99_ms']:.0f}", f"{many[name]['cpu_ms']:.2f}"]
        copies = [some.get(name, {}).get("copies_scored_a_second", 0.0) for some in (one, many)]
        lines.append(f"{name:26}" + _cells([*numbers, "/".join(f"{n:,.0f}" for n in copies)]))
    return "\n".join(lines)


def _cells(texts: Any) -> str:
    return "".join(f"{text:>10}" for text in texts)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"the other version was not there within {WAIT_S} s")
        time.sleep(0.1)
