"""Logs to try things on: how an entry is recorded, copied to another place, and changed by a stranger."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from resources.audit.chain import ENTRIES, HEAD
from resources.audit.log import Audit, Entry

ENTRIES_OF_A_LOG = 7
MOMENT = datetime(2013, 7, 1, 4, tzinfo=UTC)
EARLIER = Path(__file__).parent / "earlier_log"
"""A log of seven entries as the release before sealed entries wrote it."""


def record(audit: Audit, number: int, kind: str = "trained", model: str | None = "flight_delay") -> Entry:
    """One more decision, like those of any other number but for it."""
    return audit.record(
        kind,  # type: ignore[arg-type]
        model,
        identity={"number": number},
        by='sensor "retrain"',
        why="ältere Daten\nand a line break",
        moment=MOMENT,
        evidence={"run": f"run-{number}", "event": "x", "kind": "promoted", "gain": 0.25},
        version=number,
    )


def log_in(home: Path, entries: int = ENTRIES_OF_A_LOG) -> Audit:
    """A log of so many entries, its key beside it."""
    audit = Audit(folder=str(home / "audit"))
    for number in range(1, entries + 1):
        record(audit, number)
    return audit


def copy_of(audit: Audit, home: Path) -> Audit:
    """The same log and key in another place, in which it may be changed."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(Path(audit.folder).parent, home)
    return Audit(folder=str(home / "audit"))


def entry_file(audit: Audit, number: int) -> Path:
    """Where an entry lies."""
    return Path(audit.folder, ENTRIES, f"{number:010}.json")


def head_file(audit: Audit) -> Path:
    """Where the head lies."""
    return Path(audit.folder, HEAD)


def key_path(audit: Audit) -> Path:
    """Where the keys lie."""
    return Path(audit.folder).parent / "keys" / "audit.key"


def fault(audit: Audit, anchors: dict[str, tuple[int, str]] | None = None) -> str:
    """Entry and words of the problem that a verification names; there must be one."""
    problem = audit.verify(anchors).problem
    assert problem is not None
    return f"{problem.entry}: {problem.what}"
