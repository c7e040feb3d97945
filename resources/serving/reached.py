"""How far the data that is online has come: one small file a use case, beside the records, which only say who answers."""

from datetime import datetime
from pathlib import Path

from resources.storage.contained import below
from resources.storage.moment_files import moment_in, move_forward
from resources.use_case_folders import default_use_case

FOLDER = "moments"
SHARED = "moment.txt"
"""The only file of earlier releases, which knew one use case; it counts for that one still."""


def has_shared(folder: Path, use_case: str) -> bool:
    """Whether what earlier releases kept for the only use case there was is this one's: until another has a file of its own."""
    return use_case in ("", default_use_case()) or not (folder / FOLDER).exists()


def reached_file(folder: Path, use_case: str) -> Path:
    """The file of a use case; without one, the shared file."""
    return below(folder / FOLDER, f"{use_case}.txt") if use_case else folder / SHARED


def reached(folder: Path, use_case: str) -> datetime | None:
    """How far a use case's data is online; None before its first ingestion."""
    files = {reached_file(folder, use_case), *([folder / SHARED] if has_shared(folder, use_case) else [])}
    return max((moment for file in files if (moment := moment_in(file))), default=None)


def reach(folder: Path, use_case: str, moment: datetime) -> bool:
    """Say that a use case's data is online up to a moment; whether that is news."""
    before = reached(folder, use_case)
    return (before is None or before < moment) and move_forward(reached_file(folder, use_case), moment)
