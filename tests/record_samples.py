"""Whole records of each kind, made up; a test names what it is about."""

from typing import Any

from resources.records.attempts import Attempt, Challenger
from resources.records.deployment import Deployment
from resources.records.references import Reference
from resources.records.searches import SearchResult

PROFILE = {"rows": 3, "columns": {"score": {"kind": "number", "counts": [1, 2]}}}
RULE = {"metric": "auc", "alpha": 0.05}
EVIDENCE = {"rule": RULE, "criteria": [], "skipped_slices": [], "clusters": [], "detectable_gain": None}


def challenger(**changes: Any) -> Challenger:
    """A challenger of the week of 2024-01-22."""
    facts = {"week": "2024-01-22", "now": "2024-01-29T00:00:00+00:00", "version": 1, "rounds": 7, "rows": 100}
    return Challenger.model_validate(
        facts | {"training_set": "a" * 64, "importance": {"vibration": 1.0}} | changes
    )


def attempt(version: int = 1, **changes: Any) -> Attempt:
    """A first challenger that passed."""
    facts = {
        "week": "2024-01-22",
        "now": "2024-01-29T00:00:00+00:00",
        "reason": "no model was trained yet",
        "trigger": "first_model",
        "challenger": {
            "version": version,
            "rounds": 7,
            "metrics": {"auc": 0.8},
            "intervals": {"auc": [0.7, 0.9]},
        },
        "champion": None,
        "anchor": None,
        "shown_better": False,
        "hold_out": {"rows": 3, "from": "2024-01-22 00:00:00+00:00", "to": "2024-01-28 00:00:00+00:00"},
        "promote": True,
        "verdict": "Promoted as the first champion",
        "slices": [],
        "evidence": EVIDENCE,
        "hold_out_scores": PROFILE,
        "final": None,
    }
    return Attempt.model_validate(facts | changes)


def search_result(**changes: Any) -> SearchResult:
    """A search of two trials that the second won."""
    texts = (
        "model_sha256",
        "training_set",
        "feature_definitions",
        "spec",
        "code_version",
        "identity",
        "mlflow_run",
    )
    numbers = {"trial": 1, "trials": 2, "finished": 2, "stopped": 0, "failed": 0, "rounds": 7, "seed": 0}
    moments = {"now": "2024-01-29T00:00:00+00:00", "known_by": "2024-01-22T00:00:00+00:00"}
    found = {"parameters": {"eta": 0.2}, "spec_parameters": {"eta": 0.1}, "importance": {"eta": 1.0}}
    rest = {"week": "2024-01-22", "trainer": "xgboost", "metric": "log_loss", "score": 0.4, "spec_score": 0.5}
    whole = {**dict.fromkeys(texts, "a" * 64), "sha256": "b" * 64, **numbers, **moments, **found, **rest}
    return SearchResult.model_validate(whole | changes)


def deployment(**changes: Any) -> Deployment:
    """The deployment record of a version."""
    facts = {
        "name": "pump_stops",
        "version": "1",
        "task": "classification",
        "model_path": "models/pump_stops-1.model",
    }
    served = {
        "feature_service": "pump_stops_v1",
        "key": ["check_id"],
        "time": "checked_at",
        "owner": "team:water",
    }
    code = {"scorer": "mlops_assets.ml.training.fit:Scorer"}
    return Deployment.model_validate({**facts, "model_sha256": "a" * 64, **served, **code} | changes)


def reference(**changes: Any) -> Reference:
    """The reference profile of a version."""
    facts = {"features": PROFILE, "scores": PROFILE, "metrics": {"auc": 0.8}, "columns": ["vibration"]}
    return Reference.model_validate(facts | changes)
