"""A client that keeps connections alive and asks one after the other, and what a server spends meanwhile."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil

from benchmarks.wire import Line, lines, request, run


def turn(
    ports: Sequence[int],
    processes: Sequence[psutil.Process],
    path: str,
    bodies: Sequence[Any],
    connections: int,
    seconds: float,
) -> dict[str, float]:
    """Ask a server for some seconds, over its ports in turn: answers a second, CPU milliseconds of each, latencies.

    `refused` is the share of requests that were answered with 503; they count as no answers, and their CPU does.
    """
    began = spent(processes)
    walls, refused, wall = run(_asked(ports, path, bodies, connections, seconds))
    return {
        "refused": refused / (refused + len(walls)),
        "requests_a_second": len(walls) / wall,
        "cpu_ms": (spent(processes) - began) / len(walls) * 1e3,
        "p50_ms": float(np.percentile(walls, 50)) * 1e3,
        "p99_ms": float(np.percentile(walls, 99)) * 1e3,
    }


async def _asked(
    ports: Sequence[int], path: str, bodies: Sequence[Any], connections: int, seconds: float
) -> tuple[list[float], int, float]:
    """Seconds of each answer, how many were refused because too much waited, and the seconds of all."""
    walls: list[float] = []
    requests, clock, refused = [request(path, body) for body in bodies], time.perf_counter, 0
    left, over, places = connections, asyncio.Event(), itertools.count()

    def answered(line: Line, status: int) -> None:
        nonlocal refused, left
        now = clock()
        if status == 200:
            walls.append(now - line.began)
        else:
            refused += 1
        if now < until:
            line.began = clock()
            line.ask(requests[next(places) % len(requests)])
        else:
            line.close()
            left -= 1
            if not left:
                over.set()

    found = await lines(list(ports), connections, answered)
    started = clock()
    until = started + seconds
    for line in found:
        line.began = clock()
        line.ask(requests[next(places) % len(requests)])
    await over.wait()
    return walls, refused, clock() - started


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it started."""
    return [process, *process.children(recursive=True)]


def spent(processes: Sequence[psutil.Process]) -> float:
    """CPU-seconds of a server's processes and all that they started."""
    times = [one.cpu_times() for process in processes for one in family(process)]
    return sum(one.user + one.system for one in times)


def memory(process: psutil.Process) -> float:
    """Megabytes that are its own, shared pages by share."""
    return sum(one.memory_full_info().pss for one in family(process)) / 1e6
