"""What decides a verdict is in the evaluation's fingerprint: each field of the gate, each model, the rows."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mlops_assets.spec.gate import Gate, Guards
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.fingerprints import of_evaluation
from resources.tracking.tracking import Version
from tests.pumps.project import SPEC

GATE = SPEC.gate.model_dump() | {"evidence": "non_inferiority", "tolerance": 0.01}
OTHER: dict[str, Any] = {
    "metric": "brier",
    "floors": {"auc": 0.7},
    "evidence": "point",
    "tolerance": 0.02,
    "yearly_margin": 0.03,
    "alpha": 0.1,
    "power": 0.9,
    "cluster": "week",
    "minimum_clusters": 7,
}
OTHER_GUARDS: dict[str, Any] = {
    "slice_tolerance": None,
    "calibration_tolerance": 0.1,
    "latency_ms": 50.0,
    "size_mb": 3.0,
}
OTHER_PARTS: dict[str, Any] = {
    "slices": ["pump"],
    "window": {"hold_out_days": 14, "minimum_days": 28},
    "label": {"column": "stopped_minutes", "above": 5, "known_at": "known_at"},
}


def spec(gate: dict[str, Any], **parts: Any) -> ModelSpec:
    return ModelSpec.model_validate(SPEC.model_dump() | {"gate": gate} | parts)


def version(number: int, sha256: str = "abc") -> Version:
    return Version("pump_stops", number, f"id {number}", "run", sha256, {}, datetime(2024, 1, 1, tzinfo=UTC))


def fingerprint(given: ModelSpec | None = None, **changes: Any) -> dict[str, Any]:
    parts = {"challenger": version(3), "champion": version(2), "anchor": "1 abc", "training_set": "rows"}
    return dict(of_evaluation(given or spec(GATE), **parts | changes))


def test_each_field_of_the_gate_decides_a_verdict():
    assert OTHER.keys() == Gate.model_fields.keys() - {"guards"} and OTHER_GUARDS.keys() == {
        *Guards.model_fields
    }
    others = [GATE | {name: value} for name, value in OTHER.items()]
    others += [GATE | {"guards": Guards().model_dump() | {n: value}} for n, value in OTHER_GUARDS.items()]
    found = [fingerprint()["rules"], *(fingerprint(spec(gate))["rules"] for gate in others)]
    assert len(set(found)) == len(others) + 1
    assert fingerprint()["rules"] == fingerprint(spec(GATE))["rules"]


@pytest.mark.parametrize("part", OTHER_PARTS)
def test_each_rule_beside_the_gate_decides_a_verdict(part):
    assert fingerprint(spec(GATE, **{part: OTHER_PARTS[part]})) != fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"challenger": version(4)},
        {"challenger": version(3, "def")},
        {"champion": version(1)},
        {"champion": version(2, "def")},
        {"champion": None},
        {"anchor": "1 def"},
        {"anchor": None},
        {"training_set": "other rows"},
    ],
)
def test_each_model_and_the_rows_decide_a_verdict(change):
    assert fingerprint(**change) != fingerprint()


def test_who_owns_a_model_and_when_it_is_retrained_decide_no_verdict():
    same = spec(GATE, owner="team:fire", retrain={"cool_down_days": 21, "max_age_days": 28})
    assert fingerprint(same) == fingerprint()
