"""Files that are replaced whole: after the call returns, neither a killed process nor a lost power supply undoes it.

A file is written to a temporary name, flushed, and renamed; then its folder is flushed, which keeps the name.
"""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from resources.living import lives

_numbers = itertools.count()


def write_text(path: Path, text: str) -> None:
    """Replace a small text file whole."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes, flush: bool = True) -> None:
    """Replace a file whole; without `flush` a lost power supply may undo it, a killed process still does not."""
    _place(path, content, rename, flush)


def create_bytes(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet; raises FileExistsError where it is, and then changes nothing."""
    _place(path, content, second_name)


def rename(temporary: Path, path: Path) -> None:
    """Put a temporary file in place of whatever is there."""
    temporary.replace(path)


def second_name(temporary: Path, path: Path) -> None:
    """Put a temporary file where nothing is; raises FileExistsError."""
    path.hardlink_to(temporary)
    temporary.unlink()


def link(source: Path, target: Path) -> None:
    """Give a file a second name, which keeps its content when the first is replaced; one that is there is left."""
    make_folder(target.parent)
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return
    flush_folder(target.parent)


def remove(path: Path) -> bool:
    """Remove a file for good; whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    flush_folder(path.parent)
    return True


def remove_folder(folder: Path) -> None:
    """Remove a folder for good, with all that is in it."""
    if folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        flush_folder(folder.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each kept in the one above."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> int:
    """Remove temporary files that killed processes left behind; a living process keeps its own."""
    left = [path for path in folder.rglob(".*.tmp") if not lives(int(path.name.split(".")[-2]))]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _place(path: Path, content: bytes, place: Callable[[Path, Path], None], flush: bool = True) -> None:
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{next(_numbers)}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            if flush:
                os.fsync(handle.fileno())
        place(temporary, path)
    except Exception:
        temporary.unlink(missing_ok=True)
        raise
    if flush:
        flush_folder(path.parent)
