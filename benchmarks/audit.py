"""A long audit log: how long its entries take to verify, to be read by a new process, to be asked and to be added to.

Beside it stands the least that any verification must do: reading every object and hashing its bytes once.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import save
from resources.audit.chain import (
    ENTRIES,
    HEAD,
    Place,
    entry_line,
    entry_name,
    event_identity,
    follow,
    head_text,
)
from resources.audit.journal import journal_of
from resources.audit.log import Audit, Entry

APPENDS = 200
AT = "2026-01-01T00:00:00.000000+00:00"
CONTENT = {
    "by": "sensor retrain_flight_delay_on_evidence",
    "evidence": {"run": "a" * 32, "training_set": "b" * 64, "sha256": "c" * 64},
    "kind": "trained",
    "model": "flight_delay",
    "moment": "2013-07-01T04:00:00+00:00",
    "why": "last training 28 days ago, reached the limit of 28",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="entries in the log")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="audit-bench-") as folder:
        audit = written(Path(folder), rows)
        figures = measured(audit, rows)
    print(f"{'':<44}{'CPU s':>10}{'wall s':>10}")
    for name, (cpu, wall) in figures.items():
        print(f"{name:<44}{cpu:>10.3f}{wall:>10.3f}")
    ratio = figures["verify"][0] / figures["read and hash each object once"][0]
    print(f"verify against one hash of each object: {ratio:.1f}")
    content = {name: {"cpu_seconds": cpu, "wall_seconds": wall} for name, (cpu, wall) in figures.items()}
    print(save("audit", {"entries": rows, **content}, {"verify_vs_one_hash": round(ratio, 2)}))


def written(folder: Path, rows: int) -> Audit:
    """A log of so many entries, in the format in which they are added."""
    audit, place = Audit(folder=str(folder / "audit")), Place()
    keys = audit.journal.key_file.create()
    (key,) = keys.values()
    Path(audit.folder, ENTRIES).mkdir(parents=True)
    for number in range(rows):
        event = event_identity("trained", "flight_delay", {"version": number})
        line = entry_line(place, key, event, AT, CONTENT | {"version": number})
        Path(audit.folder, entry_name(number + 1)).write_bytes(line)
        place = follow(place, line, keys)
    Path(audit.folder, HEAD).write_bytes(head_text(place, key))
    return audit


def measured(audit: Audit, rows: int) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds by what was done."""

    def verify() -> None:
        report = audit.verify()
        assert report.problem is None and report.head.seq == rows

    def hash_once() -> None:
        for path in sorted(Path(audit.folder, ENTRIES).iterdir()):
            hashlib.sha256(path.read_bytes())

    def newest() -> None:
        assert audit.latest("flight_delay", ("trained",))

    figures = {"read and hash each object once": timed(hash_once), "verify": timed(verify)}
    journal_of.cache_clear()
    figures["newest entry of a model, in a new process"] = timed(newest)
    figures["newest entry of a model, once read"] = timed(newest)
    figures["append to it"] = timed(lambda: append(audit, "large"))
    with tempfile.TemporaryDirectory(prefix="audit-bench-") as folder:
        small = Audit(folder=f"{folder}/audit")
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
