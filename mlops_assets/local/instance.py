"""Dagster's instance of a state folder, for commands that work beside its servers; Dagster is imported only where there is one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resources.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance


@contextmanager
def instance_in(where: Settings) -> Iterator["DagsterInstance | None"]:
    """The instance, opened for as long as the block lasts; None where none was made yet."""
    if not (where.dagster_home / "dagster.yaml").exists():
        yield None
        return
    import dagster as dg

    with dg.DagsterInstance.from_config(str(where.dagster_home)) as instance:
        yield instance
