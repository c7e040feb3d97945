"""More requests than the endpoint can answer, through real sockets: they come at random at a rate, whatever those before them got.

The capacity is what it answers over 64 connections that always wait for an answer. Then it is offered once, twice, three and five
times that, over a thousand connections that are kept alive; a time counts from the moment at which a request was due. Whoever is
turned away does not come again. The client shares the machine: by how much it was late is told beside the figures.
"""

import argparse
import asyncio
import gc
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import save
from benchmarks.serving_client import turn
from benchmarks.serving_servers import endpoint, free_port, running, wait_for
from benchmarks.serving_setup import bodies, prepare
from benchmarks.wire import Line, lines, request, run

TIMES = (1, 2, 3, 5)
"""Of the capacity."""

CONNECTIONS = 1000
CAPACITY_CONNECTIONS = 64
CROWDED_S = 1.0
"""What is due before is left out: a burst may wait longer than a crowd that stands."""

CALM_S = 2.0
"""Between two loads: a second after the last one was turned away, the endpoint takes bursts again."""

SOON_S = 0.05
TICK_S = 0.001


@dataclass
class Met:
    """Of each request when it was due, by how much later it was sent and answered, and by which status."""

    due: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load")
    parser.add_argument("--turns", type=int, default=3, help="of each load; figures are their medians")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overload-bench-") as folder, ExitStack() as stack:
        prepare(Path(folder))
        found = measured(Path(folder), options.seconds, options.turns, stack)
    print(page_table(found))
    print(save("overload", found, ratios_of(found)))


def measured(folder: Path, seconds: float, turns: int, stack: ExitStack) -> dict[str, Any]:
    """Start the endpoint, and offer it each load in turn."""
    server, port = endpoint(), free_port()
    process = stack.enter_context(running(server, port, folder))
    wait_for(server, process, port, "the endpoint")
    each: dict[int, list[dict[str, float]]] = {times: [] for times in TIMES}
    capacities = []
    for number in range(turns):
        asked = [port], [process], server.path, server.bodies(1), CAPACITY_CONNECTIONS
        capacities.append(turn(*asked, seconds / 2)["requests_a_second"])
        for times in TIMES:
            time.sleep(CALM_S)
            met = run(offered(port, server.path, times * capacities[-1], seconds, seed=number))
            each[times].append(figures_of(met, capacities[-1], seconds))
    loads = {
        str(times): {name: median(one[name] for one in some) for name in some[0]}
        for times, some in each.items()
    }
    return {"capacity": median(capacities), "times": loads}


async def offered(port: int, path: str, rate: float, seconds: float, seed: int) -> Met:
    """Send requests at random moments, so many a second, and wait until all are answered."""
    met, clock = Met(), time.perf_counter
    moments = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds))).tolist()
    asked = [request(path, body) for body in bodies(1)]
    idle: deque[Line] = deque()
    over, sent = asyncio.Event(), 0

    def answered(line: Line, status: int) -> None:
        met.took.append(clock() - began - line.began)
        met.due.append(line.began)
        met.statuses.append(status)
        idle.append(line)
        if len(met.due) == len(moments):
            over.set()

    idle += await lines([port], CONNECTIONS, answered)
    everyone, began = list(idle), clock()
    gc.disable()
    while sent < len(moments):
        now = clock() - began
        while idle and sent < len(moments) and moments[sent] <= now:
            line = idle.popleft()
            line.began = moments[sent]
            met.late.append(now - line.began)
            line.ask(asked[sent % len(asked)])
            sent += 1
        await asyncio.sleep(TICK_S)
    await over.wait()
    gc.enable()
    for line in everyone:
        line.close()
    return met


def figures_of(met: Met, capacity: float, seconds: float) -> dict[str, float]:
    """Shares of the capacity and milliseconds, after the first second."""
    due, took, statuses = np.array(met.due), np.array(met.took), np.array(met.statuses)
    counted = due >= CROWDED_S
    answered, refused = took[counted & (statuses == 200)], took[counted & (statuses == 503)]
    return {
        "answered_of_capacity": len(answered) / (seconds - CROWDED_S) / capacity,
        "refused_share": len(refused) / max(len(refused) + len(answered), 1),
        "accepted_p50_ms": _at(answered, 50),
        "accepted_p99_ms": _at(answered, 99),
        "refused_p50_ms": _at(refused, 50),
        "refused_p99_ms": _at(refused, 99),
        "refused_soon_share": float(np.mean(refused <= SOON_S)) if len(refused) else 1.0,
        "client_late_p99_ms": _at(np.array(met.late), 99),
    }


def _at(times: np.ndarray, share: float) -> float:
    return float(np.percentile(times, share)) * 1e3 if len(times) else 0.0


def ratios_of(found: dict[str, Any]) -> dict[str, float]:
    """By the times of the capacity: the accepted ones' 99% in that at capacity, answers in the capacity, and the share that is refused within 50 ms."""
    ratios, at_capacity = {}, found["times"]["1"]["accepted_p99_ms"]
    for times, one in found["times"].items():
        ratios[f"accepted_p99_{times}"] = one["accepted_p99_ms"] / at_capacity
        ratios[f"answered_{times}"] = one["answered_of_capacity"]
        ratios[f"refused_within_50_ms_{times}"] = one["refused_soon_share"]
    return {name: round(ratio, 3) for name, ratio in ratios.items()}


def page_table(found: dict[str, Any]) -> str:
    """What the screen and the page show of them."""
    titles = ("answered, of", "accepted", "", "503", "", "503 within", "client late")
    units = ("the capacity", "p50 ms", "p99 ms", "p50 ms", "p99 ms", "50 ms", "p99 ms")
    lines = [f"{'requests':>10}{_cells(titles)}", f"{'':>10}{_cells(units)}"]
    for times, one in found["times"].items():
        numbers = [f"{one['answered_of_capacity']:.2f}"]
        numbers += [f"{one[f'accepted_{at}_ms']:.0f}" for at in ("p50", "p99")]
        if one["refused_share"]:
            numbers += [f"{one[f'refused_{at}_ms']:.0f}" for at in ("p50", "p99")]
            numbers += [f"{one['refused_soon_share']:.1%}"]
        else:
            numbers += ["-"] * 3
        numbers.append(f"{one['client_late_p99_ms']:.0f}")
        lines.append(f"{times + ' x':>10}{_cells(numbers)}")
    return "\n".join([*lines, "", f"capacity: {found['capacity']:,.0f} answers a second"])


def _cells(texts: Sequence[str]) -> str:
    return "".join(f"{text:>14}" for text in texts)


if __name__ == "__main__":
    main()
