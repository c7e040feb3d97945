"""A client that keeps connections alive and asks one after the other, and what a server spends meanwhile."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil

HOST = "127.0.0.1"


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
    walls, refused, wall = asyncio.run(_asked(ports, path, bodies, connections, seconds))
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
    walls: list[float] = []
    started = time.perf_counter()
    until = started + seconds
    requests = [request(path, body) for body in bodies]
    refused = await asyncio.gather(
        *[
            _connection(ports[n % len(ports)], requests[n:] + requests[:n], until, walls)
            for n in range(connections)
        ]
    )
    return walls, sum(refused), time.perf_counter() - started


def request(path: str, body: Any) -> bytes:
    """A request as it goes over the wire."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def _connection(port: int, requests: list[bytes], until: float, walls: list[float]) -> int:
    """Ask over one connection; how many requests were refused because too much waited."""
    reader, writer = await asyncio.open_connection(HOST, port)
    place = refused = 0
    while (began := time.perf_counter()) < until:
        writer.write(requests[place % len(requests)])
        place += 1
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503")):
            raise SystemExit(f"{head!r}")
        await reader.readexactly(_length(head))
        if head.startswith(b"HTTP/1.1 503"):
            refused += 1
        else:
            walls.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()
    return refused


def _length(head: bytes) -> int:
    return int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])


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
