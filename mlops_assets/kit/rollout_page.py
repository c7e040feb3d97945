"""What the pages of `<model>/rollout` and `<model>/deployment` show of a roll-out."""

from typing import Any

import dagster as dg

from mlops_assets.kit.metadata import markdown_table, picture
from mlops_assets.promotion.rollout_states import in_words, newest
from mlops_assets.stages.rollout_page import (
    evidence_table,
    picture_of,
    steps_table,
    transitions_table,
    waits_for,
)
from resources.lake.lake import Lake
from resources.records.rollout import Rollout

JUDGES = {
    "paired_shadow": "labels of the rows since its start, which both versions score",
    "split": "labels of the entities that each version answered",
}
"""What decides about the metric, by the plan's `judge`."""


def rollout_metadata(state: Rollout) -> dict[str, Any]:
    """What the page of a roll-out says."""
    return {
        "roll-out": in_words(state),
        "waits for": waits_for(state),
        "time line": picture(picture_of(state), "time line"),
        "evidence": markdown_table(evidence_table(state)),
        "steps": markdown_table(steps_table(state)),
        "transitions": markdown_table(transitions_table(state)),
        "judged by": JUDGES[state.plan["judge"]],
        "version": state.version,
        "champion at its start": state.champion,
    }


def on_the_deployment(lake: Lake, model: str) -> dict[str, Any]:
    """What the page of `<model>/deployment` shows of the newest roll-out; nothing where there never was one."""
    state = newest(lake, model)
    if state is None:
        return {}
    return {
        "roll-out": in_words(state),
        "the roll-out waits for": waits_for(state),
        "time line": picture(picture_of(state), "time line"),
    }


def rollout_event(state: Rollout) -> dg.AssetMaterialization:
    """The same where no run makes the asset: the sensor's look, or what somebody asked for."""
    tags = {"dagster/data_version": state_version(state)}
    return dg.AssetMaterialization(
        asset_key=[state.model, "rollout"], metadata=rollout_metadata(state), tags=tags
    )


def state_version(state: Rollout | None) -> str:
    """The data version of a state: another one after each transition."""
    return f"{state.id}@{len(state.transitions)} {state.phase}" if state else "none"
