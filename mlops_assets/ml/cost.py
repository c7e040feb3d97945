"""What a piece of work costs: CPU-seconds, wall time, peak memory and GPU-seconds, ready to be priced.

Peak memory is exact on Linux (the kernel's high-water mark, set back when the work begins); elsewhere it is the
process's peak so far.
"""

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

MEBIBYTE = 2**20


@dataclass
class Cost:
    """CPU-seconds of all processes together, wall seconds, peak memory of the largest process in MiB, GPU-seconds."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    gpu_seconds: float = 0.0

    def beside(self, other: "Cost") -> "Cost":
        """The cost of both, done at the same time."""
        return Cost(
            self.cpu_seconds + other.cpu_seconds,
            max(self.wall_seconds, other.wall_seconds),
            max(self.peak_memory_mib, other.peak_memory_mib),
            self.gpu_seconds + other.gpu_seconds,
        )

    def rounded(self) -> dict[str, float]:
        """By name, to a hundredth."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


class Meter:
    """Reads what was spent since it was made; one that is made while another runs does not hide the other's peak."""

    _running: ClassVar[list["Meter"]] = []

    def __init__(self, gpus: int = 0):
        self.gpus, self.peak = gpus, 0.0
        for other in self._running:
            other.peak = max(other.peak, _peak())
        _forget_peak()
        self._running.append(self)
        self.cpu, self.wall = _cpu(), time.perf_counter()

    def cost(self) -> Cost:
        """The cost up to now, children that have ended included."""
        wall = time.perf_counter() - self.wall
        return Cost(_cpu() - self.cpu, wall, max(self.peak, _peak()), self.gpus * wall)

    def stop(self) -> None:
        """End the measurement, so that later ones leave it alone."""
        self._running.remove(self)


@contextmanager
def measured(gpus: int = 0) -> Iterator[Cost]:
    """A cost that is filled in when the block ends."""
    cost, meter = Cost(), Meter(gpus)
    try:
        yield cost
    finally:
        total = meter.cost()
        meter.stop()
        for name, value in asdict(total).items():
            setattr(cost, name, value)


def _cpu() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _forget_peak() -> None:
    """Set the high-water mark back to what is used now, where the kernel allows it."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists() and os.access(reset, os.W_OK):
        reset.write_text("5")


def _peak() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEBIBYTE
