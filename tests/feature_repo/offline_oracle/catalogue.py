"""All cases, and what it takes to ask a store one of them."""

from pathlib import Path
from typing import Any

from tests.feature_repo.offline_oracle import cases_keys, cases_time, cases_values
from tests.feature_repo.offline_oracle.cases import CASES, Case
from tests.feature_repo.offline_oracle.outcome import Failed, Line, expected, found, verdict
from tests.feature_repo.offline_oracle.world import write_source

__all__ = ["CASES", "answers", "cases_keys", "cases_time", "cases_values", "judged"]


def answers(case: Case, folder: Path, offline: dict[str, Any]) -> list[Line] | Failed:
    """What the store answers in the case's world."""
    for view in case.world.views:
        write_source(view, folder)
    return found(case.world, folder, offline)


def judged(case: Case, folder: Path, offline: dict[str, Any]) -> str:
    """How one of Feast's stores does in the case; the order of rows counts only where it is the point."""
    return verdict(expected(case.world), answers(case, folder, offline), case.ordered)
