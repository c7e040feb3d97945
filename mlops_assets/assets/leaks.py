"""What the check `leaks` of a model shows: how much single features tell of the label, and the limit."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.ml.judging.leaks import SingleFeature
from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.model import ModelSpec

LEAKS, SHOWN_LEAKS = "leaks", 5


def leak_check_spec(spec: ModelSpec) -> dg.AssetCheckSpec:
    """The claim of `<model>/model`, which blocks what follows."""
    claim = "No single feature tells the label nearly perfectly."
    return check_spec([spec.name, "model"], LEAKS, True, claim)


def leak_check(holds: bool, numbers: dict[str, Any]) -> dg.AssetCheckResult:
    """The outcome, with what `leak_numbers` gave."""
    return check_result(LEAKS, holds, True, numbers)


def leak_rule(spec: ModelSpec) -> dict[str, str]:
    """What decides the outcome beside rows and features."""
    return {LEAKS: digest(spec.leaks.model_dump(mode="json"))}


def leak_numbers(spec: ModelSpec, tells: Sequence[SingleFeature]) -> dict[str, Any]:
    """What the check shows: the rule, and the features that tell the most by themselves."""
    shown = {one.feature: round(one.figure, 4) for one in tells[:SHOWN_LEAKS]}
    kind = "AUC" if spec.task == "classification" else "correlation of ranks"
    rule = {"limit": spec.leaks.above, "allowed": list(spec.leaks.allowed)}
    return {f"{kind} of single features": shown, **rule}
