"""The files of processes that have ended, put together into one of each kind, so that a folder of counts does not grow with every restart.

The sums stay what they were, whenever a process is killed while it does this: the new files count from the moment on at which
a list of what they stand for lies beside them, and until its end is reached whoever reads goes on with it first.
"""

import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from resources.living import lives

FOLDED = "0-folded"
"""What stands in a file's name in the place of a process."""

LIVE = "gauge_live"
LIST, LOCK, NEXT, ALIVE = "folded.json", "folded.lock", ".next", ".alive"
OF_A_FOLDER = ("*.db", f"*{NEXT}", f"*{ALIVE}", LIST)
"""All that processes leave."""


def hold(folder: Path, name: str) -> int:
    """Say that a process writes files of that name, until the descriptor that this returns is closed."""
    held = os.open(folder / f"{name}{ALIVE}", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


@contextmanager
def in_peace(folder: Path) -> Iterator[None]:
    """Within, nobody else puts files together, and none are half put together."""
    held = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        _finish(folder)
        yield
    finally:
        os.close(held)


def fold(folder: Path) -> None:
    """Put the files of ended processes together; gauges of what lives are forgotten."""
    with in_peace(folder):
        ended = [path for path in folder.glob("*_*.db") if _has_ended(folder, _writer(path))]
        kinds: dict[str, list[Path]] = defaultdict(list)
        for path in ended:
            if not path.name.startswith(LIVE):
                kinds[path.stem.rpartition("_")[0]].append(path)
        for kind, some in kinds.items():
            before = folder / f"{kind}_{FOLDED}.db"
            _write(before.with_suffix(NEXT), _together(kind, [*some, *([before] if before.exists() else [])]))
        if ended:
            gone = [path.name for path in ended] + [f"{name}{ALIVE}" for name in {*map(_writer, ended)}]
            (folder / f"{LIST}{NEXT}").write_text(json.dumps(gone))
            (folder / f"{LIST}{NEXT}").replace(folder / LIST)
            _finish(folder)


def _finish(folder: Path) -> None:
    """Do the rest of what a list says; what was begun without one is forgotten."""
    said = folder / LIST
    if said.exists():
        for name in json.loads(said.read_text()):
            (folder / name).unlink(missing_ok=True)
        for path in folder.glob(f"*_{FOLDED}{NEXT}"):
            path.replace(path.with_suffix(".db"))
        said.unlink()
    for path in folder.glob(f"*{NEXT}"):
        path.unlink()


def _writer(path: Path) -> str:
    return path.stem.rpartition("_")[2]


def _has_ended(folder: Path, name: str) -> bool:
    """Whether nobody holds a name; of an earlier release, which held none, whether there is no such process."""
    if name == FOLDED:
        return False
    try:
        held = os.open(folder / f"{name}{ALIVE}", os.O_RDWR)
    except FileNotFoundError:
        return not lives(int(name.partition("-")[0]))
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(held)
    return True


def _together(kind: str, paths: Iterable[Path]) -> dict[str, tuple[float, float]]:
    """Sum and time of each key; of what the newest counts of, the newest."""
    totals: dict[str, tuple[float, float]] = {}
    for path in paths:
        values = MmapedDict.read_all_values_from_file(str(path)) if path.stat().st_size else ()
        for key, value, at, _ in values:
            known, then = totals.get(key, (0.0, 0.0))
            if kind == "gauge_mostrecent":
                totals[key] = (value, at) if at >= then else (known, then)
            else:
                totals[key] = known + value, max(at, then)
    return totals


def _write(path: Path, values: dict[str, tuple[float, float]]) -> None:
    file = MmapedDict(str(path))
    for key, (value, at) in values.items():
        file.write_value(key, value, at)
    file.close()
