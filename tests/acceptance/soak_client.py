"""Requests that come at a steady rate whatever the answers do, over connections that are kept, and what they met."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

HOST = "127.0.0.1"
VERSION = re.compile(rb'"version": ?"(\d+)"')


@dataclass
class Met:
    """Of each answered request, when it was due (seconds from the start) and how long after that it was answered.

    And how many answers there were of each status and of each version of the model, and when those were due that were none.
    """

    due: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    versions: Counter[bytes] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)


async def ask(port: int, requests: Sequence[bytes], rate: float, seconds: float, connections: int) -> Met:
    """Send `rate` requests a second in their turn; one that no connection is free for waits, and its time counts."""
    met, due, began = Met(), asyncio.Queue[float](), time.perf_counter()
    workers = [
        asyncio.create_task(_connection(port, [*requests[n:], *requests[:n]], due, began, met))
        for n in range(connections)
    ]
    sent = 0
    while (now := time.perf_counter() - began) < seconds:
        while sent < now * rate:
            due.put_nowait(sent / rate)
            sent += 1
        await asyncio.sleep(min(0.005, 1 / rate))
    await due.join()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return met


async def _connection(
    port: int, requests: Sequence[bytes], due: asyncio.Queue[float], began: float, met: Met
) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        for n in range(1 << 62):
            moment = await due.get()
            try:
                writer.write(requests[n % len(requests)])
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                met.versions.update(VERSION.findall(await reader.readexactly(length)))
                status = head.split(b" ", 2)[1].decode()
            except (OSError, EOFError) as error:
                status = type(error).__name__
                reader, writer = await asyncio.open_connection(HOST, port)
            met.statuses[status] += 1
            if status != "200":
                met.refused.append(moment)
            met.due.append(moment)
            met.took.append(time.perf_counter() - began - moment)
            due.task_done()
    finally:
        writer.close()
