"""How a command ends that could not do its work: one sentence and an exit status, the traceback in a file or on request."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from resources.addresses import shown
from resources.state_folder import state_folder

LOG = "mlops-error.log"
OURS = ("mlops_assets", "resources", "feature_repo")
FIXES = {
    errno.ENOSPC: "free some space, or set MLOPS_HOME to a folder on another disk",
    errno.EDQUOT: "free some space, or set MLOPS_HOME to a folder on another disk",
    errno.EROFS: "set MLOPS_HOME to a folder that can be written to",
    errno.EACCES: "allow this user to use it, or set MLOPS_HOME to a folder of its own",
    errno.EPERM: "allow this user to use it, or set MLOPS_HOME to a folder of its own",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
}
"""What to do about an error of the operating system."""


def in_words(act: Callable[[], int], *, debug: bool = False, status: int = 1) -> int:
    """Do it and return its exit status; an error ends in one sentence on stderr and `status`, with `debug` in its traceback too."""
    try:
        return act()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in words
        trace = shown("".join(traceback.format_exception(error)))
        if debug:
            print(trace, end="", file=sys.stderr)
        print(f"error: {shown(sentence(error))}", file=sys.stderr)
        if not (debug or is_expected(error)):
            print(f"       {_write_trace(trace)}; `--debug` prints it", file=sys.stderr)
        return status


def is_expected(error: Exception) -> bool:
    """Whether the error's own words say all: one of this project's classes, or the operating system's with a file or a known fix."""
    if isinstance(error, OSError) and type(error).__module__ == "builtins":
        return error.filename is not None or error.errno in FIXES
    return type(error).__module__.partition(".")[0] in OURS


def sentence(error: Exception) -> str:
    """The error in words: its own, with the file and the fix where the operating system raised it, else with its type."""
    if not is_expected(error):
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if not isinstance(error, OSError) or type(error).__module__ != "builtins":
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    fix = FIXES.get(error.errno or 0)
    return f"{where}{error.strerror or type(error).__name__}{f': {fix}' if fix else ''}"


def _write_trace(trace: str) -> str:
    """Write a traceback where the last ones lie, and say where; a state folder that is not there is not made for it."""
    try:
        log = state_folder() / "logs" / LOG
        if not log.parent.parent.is_dir():
            return "the traceback was not kept, because there is no state folder"
        _append(log, trace)
    except (OSError, ValueError) as error:
        return f"the traceback could not be kept ({error})"
    return f"the traceback is in {log}"


def _append(log: Path, text: str) -> None:
    log.parent.mkdir(exist_ok=True)
    with log.open("a") as file:
        file.write(f"{datetime.now(UTC).isoformat()} {' '.join(sys.argv[:2])}\n{text}\n")
