"""How far the data that is online has come: one small file a use case, beside the records, which only say who answers."""

from datetime import datetime
from pathlib import Path

from resources.storage.contained import below
from resources.storage.mirror import Mirror
from resources.storage.moment_files import forward_for_all, moment_in

FOLDER = "moments"
SHARED = "moment.txt"
"""The only file of earlier releases, which knew one use case; `mlops migrate` gives it to that one."""


def reached_file(folder: Path, use_case: str) -> Path:
    """The file of a use case; without one, the shared file."""
    return below(folder / FOLDER, f"{use_case}.txt") if use_case else folder / SHARED


def reached(folder: Path, use_case: str) -> datetime | None:
    """How far a use case's data is online; None before its first ingestion."""
    return moment_in(reached_file(folder, use_case))


def reach(records: Mirror, use_case: str, moment: datetime) -> bool:
    """Say that a use case's data is online up to a moment; whether that is news."""
    before, file = reached(records.folder, use_case), reached_file(records.folder, use_case)
    name = file.relative_to(records.folder).as_posix()
    return (before is None or before < moment) and forward_for_all(records, name, moment)
