"""More requests than the endpoint can answer, through real sockets, at a steady rate whatever those before them got.

The capacity is what it answers over 64 connections that always wait for an answer. Then it is offered four fifths of that, once, twice,
three and five times as much, over a thousand connections that are kept alive. Whoever is turned away does not come again. The client is
`h2load` (Debian: nghttp2-client), which needs a tenth of what one in Python would: it shares the machine with the endpoint.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import save
from benchmarks.serving_servers import endpoint, free_port, running, wait_for
from benchmarks.serving_setup import bodies, prepare
from benchmarks.wire import ALLOWED, HOST

TIMES = (0.8, 1, 2, 3, 5)
"""Of the capacity."""

CONNECTIONS = 1000
CAPACITY_CONNECTIONS = 64
CROWDED_S = 1.0
"""What is due before is left out: a burst may wait longer than a crowd that stands."""

CALM_S = 2.0
"""Between two loads: a second after the last one was turned away, the endpoint takes bursts again."""

SOON_S = 0.05
CLIENT = "h2load"


@dataclass(frozen=True)
class Met:
    """Of each request when it was sent (seconds after the first), how long its answer took, and the status of that."""

    sent: np.ndarray
    took: np.ndarray
    status: np.ndarray


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
    client = Client(f"http://{HOST}:{port}{server.path}", bodies(1)[0], folder)
    each: dict[float, list[dict[str, float]]] = {times: [] for times in TIMES}
    capacities = []
    for _ in range(turns):
        capacities.append(capacity_of(client.met(CAPACITY_CONNECTIONS, seconds / 2)))
        for times in TIMES:
            time.sleep(CALM_S)
            met = client.met(CONNECTIONS, seconds, times * capacities[-1])
            each[times].append(figures_of(met, capacities[-1]))
    loads = {
        str(times): {name: median(one[name] for one in some) for name in some[0]}
        for times, some in each.items()
    }
    return {"capacity": median(capacities), "times": loads}


class Client:
    """`h2load` that posts one body to an address."""

    def __init__(self, address: str, body: Any, folder: Path) -> None:
        self._program = shutil.which(CLIENT)
        if self._program is None:
            raise SystemExit(f"{CLIENT} is missing: apt-get install nghttp2-client")
        self._address, self._body, self._log = address, folder / "body.json", folder / "requests.log"
        self._body.write_text(json.dumps(body))

    def met(self, connections: int, seconds: float, rate: float | None = None) -> Met:
        """What so many connections met: each asks so that all send `rate` requests a second, or as soon as it is answered."""
        self._log.unlink(missing_ok=True)
        subprocess.run(
            [
                str(self._program),
                "--h1",
                "--threads=1",
                *self._load(connections, seconds, rate),
                self._address,
            ],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return read_log(self._log)

    def _load(self, connections: int, seconds: float, rate: float | None) -> list[str]:
        """Connections come one after the other within the pause between two requests of one, so that their requests do not come at once."""
        common = [f"--clients={connections}", f"--data={self._body}", f"--log-file={self._log}"]
        common += ["--header=Content-Type: application/json"]
        if rate is None:
            return [*common, f"--duration={max(1, round(seconds))}"]
        each = [f"--requests={int(rate * seconds)}", f"--rps={rate / connections:.4f}"]
        return [*common, *each, f"--rate={max(1, round(rate / 1000))}", "--rate-period=1ms"]


def read_log(path: Path) -> Met:
    """The requests of a log of h2load: microseconds since the epoch, status and microseconds until the answer. Refuses other statuses than 200 and 503."""
    sent, status, took = np.loadtxt(path, ndmin=2).T
    if others := {int(one) for one in status} - set(ALLOWED):
        raise SystemExit(f"requests were answered with {sorted(others)}")
    return Met((sent - sent.min()) / 1e6, took / 1e6, status)


def capacity_of(met: Met) -> float:
    """Answers a second."""
    return float((met.status == 200).sum() / np.ptp(met.sent))


def figures_of(met: Met, capacity: float) -> dict[str, float]:
    """Shares of the capacity and milliseconds, after the first second."""
    counted = met.sent >= CROWDED_S
    seconds = float(np.ptp(met.sent[counted])) if counted.any() else 0.0
    if not seconds:
        raise SystemExit(
            f"no two requests were sent after the first {CROWDED_S:g} s: offer the load for longer"
        )
    answered, refused = (met.took[counted & (met.status == status)] for status in ALLOWED)
    return {
        "offered_of_capacity": int(counted.sum()) / seconds / capacity,
        "answered_of_capacity": len(answered) / seconds / capacity,
        "refused_share": len(refused) / int(counted.sum()),
        "accepted_p50_ms": _at(answered, 50),
        "accepted_p99_ms": _at(answered, 99),
        "refused_p50_ms": _at(refused, 50),
        "refused_p99_ms": _at(refused, 99),
        "refused_soon_share": float(np.mean(refused <= SOON_S)) if len(refused) else 1.0,
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
    titles = ("sent, of", "answered, of", "accepted", "", "503", "", "503 within")
    units = ("the capacity", "the capacity", "p50 ms", "p99 ms", "p50 ms", "p99 ms", "50 ms")
    lines = [f"{'requests':>10}{_cells(titles)}", f"{'':>10}{_cells(units)}"]
    for times, one in found["times"].items():
        numbers = [f"{one[f'{what}_of_capacity']:.2f}" for what in ("offered", "answered")]
        numbers += [f"{one[f'accepted_{at}_ms']:.0f}" for at in ("p50", "p99")]
        if one["refused_share"]:
            numbers += [f"{one[f'refused_{at}_ms']:.0f}" for at in ("p50", "p99")]
            numbers += [f"{one['refused_soon_share']:.1%}"]
        else:
            numbers += ["-"] * 3
        lines.append(f"{times + ' x':>10}{_cells(numbers)}")
    return "\n".join([*lines, "", f"capacity: {found['capacity']:,.0f} answers a second"])


def _cells(texts: Sequence[str]) -> str:
    return "".join(f"{text:>14}" for text in texts)


if __name__ == "__main__":
    main()
