"""The roll-out: where the newest one of a model stands, and one look at its evidence with what follows from it."""

from collections.abc import Iterator

import dagster as dg

from mlops_assets.kit.rollout_page import rollout_metadata, state_version
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.promotion.rollout_states import newest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.rolling_out import advance

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
        yield dg.MaterializeResult(data_version=dg.DataVersion(state_version(state)), metadata=shown)

    return rollout_
