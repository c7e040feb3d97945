"""Where rows come from while a use case lives: its own source, held back until their time has come."""

from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Protocol

import polars as pl

from mlops_assets.live.declared import DeclaredSource
from mlops_assets.live.order import LiveError
from mlops_assets.spec.files import read_use_case
from resources.settings import PROJECT_ROOT, Settings
from resources.use_case_folders import UseCaseFolder


class HeldBack(Protocol):
    """Rows that come partition by partition, into files of their own; `lateness` is how long after its end one is complete."""

    lateness: timedelta

    @property
    def variables(self) -> Mapping[str, str]:
        """Environment variables by which the platform's processes read these files and no others."""
        ...

    def open(self) -> None:
        """Put in what is known all along."""
        ...

    def names(self) -> list[str]:
        """The partitions of which there are rows, in order."""
        ...

    def rows(self, name: str) -> pl.DataFrame:
        """What customers will ask about in a partition: rows with the columns of the prediction table."""
        ...

    def bring(self, name: str, change: str = "") -> int:
        """Put in a partition's rows, with `drift` or `bad-labels` done to them; how many there are."""
        ...

    def spoil(self, name: str) -> str:
        """Put in a partition's rows, with one file that cannot be read; which one. `bring` mends it."""
        ...


def held_back(folder: UseCaseFolder, where: Settings, state: Path) -> HeldBack:
    """The source of a use case, of which nothing has come yet. Raises LiveError where its rows cannot be held back."""
    use_case, files = read_use_case(folder), state / "source"
    if use_case.live:
        module, _, name = use_case.live.partition(":")
        return getattr(import_module(module), name)(where, files)
    if use_case.tables:
        raise LiveError(
            f"the use case {folder.name!r} has tables made by Python ({use_case.tables}), whose rows nothing holds back: name a "
            "class that does in use_case.yaml, `live: module:class`"
        )
    if folder.path.is_relative_to(PROJECT_ROOT / "mlops_assets"):
        raise LiveError(
            f"the use case {folder.name!r} lies in the project, and its sources cannot be exchanged for ones that are held back: "
            "copy its folder, name copy and models otherwise, and name it in MLOPS_USE_CASES"
        )
    return DeclaredSource(folder, use_case, state)
