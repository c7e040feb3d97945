"""The suite over generated timelines, for any offline store."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.feature_repo.offline_oracle.outcome import Line, expected, found, mismatches
from tests.feature_repo.offline_oracle.timelines import Setting, world_of
from tests.feature_repo.offline_oracle.world import World, write_source


@lru_cache(maxsize=32)
def answered(setting: Setting) -> tuple[World, list[Line]]:
    """The setting's world and what the oracle answers in it: the same for every store that is asked, so never changed."""
    world = world_of(setting)
    return world, expected(world)


def told(
    settings: list[Setting], folder: Path, offline: dict[str, Any], stop_at_first: bool = False
) -> list[str]:
    """What the store answers wrongly over the worlds of these settings, readably."""
    texts: list[str] = []
    for setting in settings:
        (world, want), into = answered(setting), folder / f"world-{setting.seed}"
        for view in world.views:
            write_source(view, into)
        texts += [f"{setting}\n{text}" for text in mismatches(world, found(world, into, offline), want)]
        if texts and stop_at_first:
            break
    return texts
