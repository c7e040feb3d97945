"""The audit log at its largest: how long a million entries take to verify, to append to and to be asked.

Beside it stands the least that any verification must do: reading the file and hashing its bytes once.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import save
from resources.audit.chain import LOG_FILE, Head, event_identity, sealed, write_head
from resources.audit.log import Audit, Entry

APPENDS = 200
CONTENT = {
    "at": "2026-01-01T00:00:00.000000+00:00",
    "by": "sensor retrain_flight_delay_on_evidence",
    "evidence": {"run": "a" * 32, "training_set": "b" * 64, "sha256": "c" * 64},
    "kind": "trained",
    "model": "flight_delay",
    "moment": "2013-07-01T04:00:00+00:00",
    "why": "last training 28 days ago, reached the limit of 28",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="entries in the log")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="audit-bench-") as folder:
        audit = written(Path(folder), rows)
        figures = measured(audit, rows)
    print(f"{'':<44}{'CPU s':>10}{'wall s':>10}")
    for name, (cpu, wall) in figures.items():
        print(f"{name:<44}{cpu:>10.3f}{wall:>10.3f}")
    ratio = figures["verify"][0] / figures["read and hash the file once"][0]
    print(f"verify against one hash of the file: {ratio:.1f}")
    content = {name: {"cpu_seconds": cpu, "wall_seconds": wall} for name, (cpu, wall) in figures.items()}
    print(save("audit", {"entries": rows, **content}, {"verify_vs_one_hash": round(ratio, 2)}))


def written(folder: Path, rows: int) -> Audit:
    """A log of so many entries, in the format in which they are appended."""
    head = Head()
    with (folder / LOG_FILE).open("wb") as handle:
        for number in range(rows):
            event = event_identity("trained", "flight_delay", {"version": number})
            line, head = sealed(head, event, CONTENT | {"version": number})
            handle.write(line)
    write_head(folder, head)
    return Audit(folder=str(folder))


def measured(audit: Audit, rows: int) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds by what was done."""

    def verify() -> None:
        report = audit.verify()
        assert report.problem is None and report.head.seq == rows

    def hash_once() -> None:
        with Path(audit.folder, LOG_FILE).open("rb") as handle:
            hashlib.file_digest(handle, "sha256")

    figures = {"read and hash the file once": timed(hash_once), "verify": timed(verify)}
    figures["newest entry of a model"] = timed(lambda: audit.latest("flight_delay", ("trained",)))
    figures["append to it"] = timed(lambda: append(audit, "large"))
    with tempfile.TemporaryDirectory(prefix="audit-bench-") as folder:
        small = Audit(folder=folder)
        cpu, wall = timed(lambda: [append(small, str(number)) for number in range(APPENDS)])
        figures["append to a small one, each"] = (cpu / APPENDS, wall / APPENDS)
    return figures


def append(audit: Audit, identity: str) -> Entry:
    """One more entry, durable on return."""
    return audit.record(
        "trained",
        "flight_delay",
        identity={"version": identity},
        by="benchmark",
        why="measured",
        moment=None,
        evidence={},
    )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
