"""A comparison of two replays that was broken off: what of it may be gone on with, and what has to be made anew.

`begun.json` says of what a comparison is; it is gone when the comparison is finished. A replay whose snapshot is whole is not
made again. While a cluster is up its folder says so, and one that was not taken down in order is not gone on with: its object
store holds less than its databases know of.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.verify.snapshot import DOCUMENTS
from resources.storage.durable import write_text

BEGUN, UP = "begun.json", ".up"


@dataclass(frozen=True)
class Comparison:
    """Two replays below one folder; `of` says what they are replays of."""

    folder: Path
    of: Mapping[str, str]

    def begin(self) -> bool:
        """Whether a comparison of the same is gone on with; where there is none, whatever lies there goes."""
        file = self.folder / BEGUN
        goes_on = file.exists() and json.loads(file.read_text()) == self.of
        if not goes_on:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_text(file, json.dumps(self.of))
        for number in (0, 1):
            if (self.home(number) / UP).exists():
                shutil.rmtree(self.home(number))
        return goes_on

    def home(self, number: int) -> Path:
        """The state folder of a replay."""
        return self.folder / str(number)

    def snapshot(self, number: int) -> Path:
        """Where what a replay left is written down."""
        return self.home(number) / "snapshot"

    def has(self, number: int) -> bool:
        """Whether a replay is done and written down whole; what is there of a snapshot that is not goes."""
        if (self.snapshot(number) / DOCUMENTS).exists():
            return True
        shutil.rmtree(self.snapshot(number), ignore_errors=True)
        return False

    def finish(self) -> None:
        """The next comparison begins anew."""
        (self.folder / BEGUN).unlink()


@contextmanager
def servers_up(home: Path) -> Iterator[None]:
    """Say that servers work on a state folder, until they are taken down in order: not after an error or a kill."""
    home.mkdir(parents=True, exist_ok=True)
    (home / UP).touch()
    yield
    (home / UP).unlink()
