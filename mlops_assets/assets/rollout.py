"""The roll-out: where the newest one of a model stands, and one look at its evidence with what follows from it."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from mlops_assets.kit.metadata import markdown_table, picture
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.promotion.rollout_states import in_words, newest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.rolling_out import advance
from mlops_assets.stages.rollout_page import (
    evidence_table,
    picture_of,
    steps_table,
    transitions_table,
    waits_for,
)
from resources.lake.lake import Lake
from resources.records.rollout import Rollout

USES = ("tracking", "endpoint", "audit", "clock", "serving_log")


def rollout(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/rollout`: the roll-out's state, time line, evidence, and what its next step waits for."""

    @model_stage(
        spec,
        "rollout",
        after=["deployment"],
        uses=list(USES),
        kinds={"ray"},
        tags={"automation": spec.automation},
        description="The newest roll-out of the model: the version takes requests in steps and is rolled back by itself where "
        f"it is shown to be worse. The sensor advance_{spec.name}_rollout looks by itself; materializing looks now.",
    )
    def rollout_(run: Run) -> Iterator[dg.MaterializeResult]:
        advance(spec, run.systems)
        state = newest(run.systems.lake, spec.name)
        shown = rollout_metadata(state) if state else {"roll-out": "none was ever begun"}
        yield dg.MaterializeResult(data_version=dg.DataVersion(_version(state)), metadata=shown)

    return rollout_


def rollout_metadata(state: Rollout) -> dict[str, Any]:
    """What the page of a roll-out says."""
    return {
        "roll-out": in_words(state),
        "waits for": waits_for(state),
        "time line": picture(picture_of(state), "time line"),
        "evidence": markdown_table(evidence_table(state)),
        "steps": markdown_table(steps_table(state)),
        "transitions": markdown_table(transitions_table(state)),
        "judge": str(state.plan["judge"]),
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
    tags = {"dagster/data_version": _version(state)}
    return dg.AssetMaterialization(
        asset_key=[state.model, "rollout"], metadata=rollout_metadata(state), tags=tags
    )


def _version(state: Rollout | None) -> str:
    return f"{state.id}@{len(state.transitions)} {state.phase}" if state else "none"
