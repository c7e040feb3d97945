"""Roll-outs of a model `trips` in any place where one can stand."""

from typing import Any

from mlops_assets.spec.rollout import RolloutPlan
from resources.records.rollout import Phase, Promise, Rollout

STEP = {"bake": "1d", "minimum_samples": 20}
CANARY = [STEP | {"share": 0.05}, STEP | {"share": 0.25, "bake": "2d"}]
PLAN: dict[str, Any] = {"answers_influence_labels": False, "shadow": STEP, "canary": CANARY, "full": STEP}


def stands(phase: Phase, step: int, plan: dict[str, Any] | None = None, **more: Any) -> Rollout:
    """The roll-out of version 8 in place of version 7."""
    return Rollout(
        model="trips",
        number=1,
        version=8,
        champion=7,
        plan=RolloutPlan.model_validate(plan or PLAN).model_dump(mode="json"),
        promise=Promise(kind="promoted", by="ada", why="better", evidence={}),
        phase=phase,
        step=step,
        started="2024-01-01T00:00:00+00:00",
        since="2024-01-01T00:00:00+00:00",
        **({"origin": "promotion"} | more),
    )
