"""The files of the code that a process has loaded, and whether they are still what they were."""

import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CODE = (".py", ".yaml", ".yml")
Stamps = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Code:
    """The files of what was loaded that is no library, as they were: a run never works by code that is no longer there."""

    folders: frozenset[str]
    files: frozenset[str]
    stamps: Stamps

    @classmethod
    def loaded(cls) -> "Code":
        """What this process has loaded: whole packages, single modules, and the use cases outside of them."""
        paths = sysconfig.get_paths()
        libraries = tuple(paths[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))
        folders = {p for p in os.environ.get("MLOPS_USE_CASES", "").split(os.pathsep) if p}
        files = set[str]()
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if not file or file.startswith(libraries) or "-packages" in file:
                continue
            top = getattr(sys.modules.get(name.partition(".")[0]), "__path__", None)
            folders.update(top) if top else files.add(file)
        return cls(frozenset(folders), frozenset(files), cls._stamps(folders, files))

    def changed(self) -> bool:
        """Whether a file of it was changed, added or removed since."""
        return self._stamps(self.folders, self.files) != self.stamps

    @staticmethod
    def _stamps(folders: Iterable[str], files: Iterable[str]) -> Stamps:
        """Time and size by file."""
        inside = (
            f"{at}{os.sep}{name}"
            for folder in folders
            for at, _, names in os.walk(folder)
            for name in names
            if name.endswith(CODE)
        )
        return {path: stamp for path in (*files, *inside) if (stamp := _stamp(path))}


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
