"""Processes that write to one storage at once: `python -m tests.resources.storage.workers WORK ADDRESS SKEW_S ...`.

Each acknowledged write is a line on standard output, printed after the call has returned.
"""

import datetime
import os
import signal
import sys
import time

from resources.storage.addresses import storage_at
from resources.storage.errors import ConflictError
from resources.storage.lease import leased
from resources.storage.storage import Storage

BLOCK = 50_000


def content(number: int, size: int = BLOCK) -> bytes:
    """Content that shows whether it is whole: one number, again and again, and at its end."""
    return (f"{number:08d}" * (size // 8)).encode()


def number_in(whole: bytes, size: int = BLOCK) -> int:
    """The number that content holds; raises ValueError for content that is not whole."""
    number = int(whole[:8])
    if whole != content(number, size):
        raise ValueError(f"content of {number} is not whole: {len(whole)} bytes")
    return number


def create(storage: Storage, me: str, rounds: str) -> None:
    """Race for each name: one alone may create it."""
    for number in range(int(rounds)):
        try:
            storage.put_if_absent(f"race/{number:03d}", me.encode())
        except ConflictError:
            continue
        print(number, flush=True)


def count(storage: Storage, me: str, rounds: str) -> None:
    """Add to one number, each time to what was there."""
    for number in range(int(rounds)):
        storage.update("count", lambda before: str(int(before or b"0") + 1).encode(), tries=10_000)
        print(number, flush=True)


def count_leased(storage: Storage, me: str, rounds: str) -> None:
    """Add to one number with plain writes, under a lease."""
    for number in range(int(rounds)):
        with leased(storage, "lease", me, lasts_s=2.0):
            before = storage.load_or_none("count")
            storage.write("count", str(int(before.content if before else 0) + 1).encode())
        print(number, flush=True)


def overwrite(storage: Storage, me: str, first: str) -> None:
    """Replace one name without end."""
    number = int(first)
    while True:
        storage.write("name", content(number))
        print(number, flush=True)
        number += 1


def killed(storage: Storage, me: str, kills: str) -> None:
    """Have a process that overwrites killed so many times, each at another moment; what it acknowledged is printed.

    Each goes on from the number that is read from standard input.
    """
    for kill in range(int(kills)):
        first = sys.stdin.readline().strip()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writing, 1)
            overwrite(storage_at(storage.address), me, first)
        os.close(writing)
        with os.fdopen(reading) as acknowledged:
            last = acknowledged.readline()
            time.sleep(0.0003 * kill)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lines = [last, *acknowledged.read().split("\n")[:-1]]
        print(lines[-1].strip(), flush=True)


def hold(storage: Storage, me: str, lasts_s: str) -> None:
    """Hold a lease until killed."""
    with leased(storage, "lease", me, float(lasts_s)) as lease:
        print(lease.number, flush=True)
        while True:
            time.sleep(0.1)


WORK = {work.__name__: work for work in (create, count, count_leased, killed, hold)}


def set_clock(skew_s: float) -> None:
    """Have this process's clock of the day go wrong by so many seconds."""
    real, Real = time.time, datetime.datetime  # noqa: N806

    class Skewed(Real):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return Real.now(tz) + datetime.timedelta(seconds=skew_s)

    time.time = lambda: real() + skew_s
    datetime.datetime = Skewed


if __name__ == "__main__":
    work, address, skew_s, *options = sys.argv[1:]
    set_clock(float(skew_s))
    WORK[work](storage_at(address), *options)
