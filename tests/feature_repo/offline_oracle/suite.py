"""The suite over generated timelines, for any offline store."""

from pathlib import Path
from typing import Any

from tests.feature_repo.offline_oracle.outcome import found, mismatches
from tests.feature_repo.offline_oracle.timelines import Setting, world_of
from tests.feature_repo.offline_oracle.world import write_source


def told(
    settings: list[Setting], folder: Path, offline: dict[str, Any], stop_at_first: bool = False
) -> list[str]:
    """What the store answers wrongly over the worlds of these settings, readably."""
    texts: list[str] = []
    for setting in settings:
        world, into = world_of(setting), folder / f"world-{setting.seed}"
        for view in world.views:
            write_source(view, into)
        texts += [f"{setting}\n{text}" for text in mismatches(world, found(world, into, offline))]
        if texts and stop_at_first:
            break
    return texts
