"""How busy the GPU is while a model trains, from a cheap sampler; without a GPU it says so instead of a number."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NOT_MEASURED = "not measured"
EVERY_S = 0.5
Sample = tuple[float, float]
"""Busy share (0 to 1) and memory used in MiB, of the first GPU that this process may use."""


def gpu_here() -> bool:
    """Whether this machine has a GPU with a working driver."""
    return bool(_by_command())


@contextmanager
def watched(gpu: bool, read: Callable[[], Sample | None] | None = None) -> Iterator[dict[str, float | str]]:
    """Figures that are there when the block ends: mean busy share and highest memory of the GPU."""
    figures: dict[str, float | str] = {"GPU busy share": NOT_MEASURED, "GPU memory MiB": NOT_MEASURED}
    read = read or (_reader() if gpu else None)
    if read is None:
        yield figures
        return
    samples: list[Sample] = []
    done = threading.Event()
    thread = threading.Thread(target=_sample, args=(read, samples, done), name="watch-gpu", daemon=True)
    thread.start()
    try:
        yield figures
    finally:
        done.set()
        thread.join()
        if samples:
            figures["GPU busy share"] = sum(busy for busy, _ in samples) / len(samples)
            figures["GPU memory MiB"] = max(memory for _, memory in samples)


def _sample(read: Callable[[], Sample | None], samples: list[Sample], done: threading.Event) -> None:
    while not done.wait(EVERY_S if samples else 0):
        sample = read()
        if sample is None:
            return
        samples.append(sample)


def _reader() -> Callable[[], Sample | None] | None:
    """The library where it is installed, else the driver's command, else nothing."""
    try:
        import pynvml  # type: ignore[import-not-found]
    except ImportError:
        return _by_command if shutil.which("nvidia-smi") else None
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)

    def read() -> Sample:
        rates, memory = pynvml.nvmlDeviceGetUtilizationRates(handle), pynvml.nvmlDeviceGetMemoryInfo(handle)
        return rates.gpu / 100, memory.used / 2**20

    return read


def _by_command() -> Sample | None:
    """One sample from `nvidia-smi`, or None where there is no such command or no GPU behind it."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        return None
    busy, memory = done.stdout.splitlines()[0].split(",")
    return float(busy) / 100, float(memory)
