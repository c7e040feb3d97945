"""The folder of all state, as `MLOPS_HOME` names it: which folders are fit for it, and whether one can be used.

Needs the standard library alone, so that `make clean` works where nothing is installed.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DEFAULT = PROJECT_ROOT / ".mlops"

UNFIT = ("*", "?", "[", "%")
"""Signs that the path of the state folder must not have: Dagster looks for its dagster.yaml by a pattern, and opens its databases by addresses."""


class SettingsError(ValueError):
    """A variable whose value cannot be used: names it, the rule and what to give."""


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder that `MLOPS_HOME` names, by default `.mlops` of the project."""
    return fit_for_state((os.environ if environ is None else environ).get("MLOPS_HOME") or DEFAULT)


def fit_for_state(name: str | Path) -> Path:
    """The folder of that name; raises SettingsError where Dagster would look for its settings elsewhere and find none."""
    try:
        home = Path(name).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise SettingsError(
            f"MLOPS_HOME={str(name)!r} is no path that can be followed ({error}): give another"
        ) from error
    wrong = next((sign for sign in UNFIT if sign in str(home)), None)
    if wrong:
        raise SettingsError(
            f"MLOPS_HOME={str(home)!r} has a {wrong!r} in its path, which Dagster reads as a pattern or an escape: "
            f"give a folder whose path has none of {' '.join(UNFIT)}"
        )
    return home


def working_folder() -> str:
    """Where relative paths begin; "" where that folder was deleted under this process, which then can have absolute paths alone."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""


def refuse_unusable(home: Path, writes: bool = True) -> None:
    """Raise SettingsError where state cannot lie in a folder, or cannot be written there; nothing is made or changed.

    A folder that does not exist yet is asked of the nearest one above it that does.
    """
    try:
        there = next(place for place in (home, *home.parents) if place.exists())
        if not there.is_dir():
            what = "is" if there == home else f"lies below {there}, which is"
            raise SettingsError(
                f"MLOPS_HOME={str(home)!r} {what} no folder: name a folder, or move the file away"
            )
        if writes:
            with tempfile.TemporaryFile(dir=there) as probe:
                probe.write(b"0" * 4096)
                probe.flush()
                os.fsync(probe.fileno())
    except OSError as error:
        raise SettingsError(
            f"MLOPS_HOME={str(home)!r} cannot be used ({error.strerror}): make it writable, free space on its disk, "
            f"or name another folder"
        ) from error


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder (0 where it does not exist)."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
