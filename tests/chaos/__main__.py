"""`make chaos`: a seeded walk over all faults on a cluster at work, whose logs and tables are checked after each.

Each round takes every fault once, in an order of its own. SEED repeats a walk; MINUTES is how long new faults are begun.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from resources.ports import free
from tests.chaos.checker import breaches
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.life import Life, lived


def main(seed: int, minutes: float) -> int:
    """Walk, print a line for each fault, and return 1 where a rule was broken or something did not go on by itself."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        print(f"SEED={seed} MINUTES={minutes:g}, state in {folder}", flush=True)
        with lived(Path(folder) / "life", lambda: free(1)[0]) as life:
            return walk(life, walk_of(seed), minutes)


def walk_of(seed: int) -> Iterator[Fault]:
    """Every fault once, in an order that the seed draws, and again in another."""
    drawn = random.Random(seed)
    while True:
        yield from drawn.sample(list(FAULTS.values()), len(FAULTS))


def walk(life: Life, faults: Iterator[Fault], minutes: float) -> int:
    """Do one fault after another while there is time; how it ended, as an exit status."""
    until, said, broken = time.monotonic() + 60 * minutes, 0, 0
    for fault in faults:
        if time.monotonic() > until:
            break
        said += 1
        problems = outcome(life, fault)
        broken += bool(problems)
    rows = len(life.weeks)
    print(f"{said} faults in {rows} weeks, {broken} of them with a breach", flush=True)
    return 1 if broken else 0


def outcome(life: Life, fault: Fault) -> list[str]:
    """Do a fault to a week's work, wait until all is settled, and say what is broken then."""
    week = life.arrive()
    began = time.monotonic()
    try:
        fault.do(life)
        life.settle()
        problems = breaches(life.seen())
    except AssertionError as error:
        problems = [f"it did not go on by itself: {error}"]
    print(
        f"{time.monotonic() - began:6.0f} s  {week}  {fault.name}: {'; '.join(problems) or 'whole'}",
        flush=True,
    )
    return problems


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    sys.exit(main(options.seed, options.minutes))
