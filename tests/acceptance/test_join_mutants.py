"""A test of the test: the suite over generated timelines passes a right store and catches every mutated one."""

from pathlib import Path

import pytest

from tests.feature_repo.offline_oracle import standin
from tests.feature_repo.offline_oracle.mutations import MUTATIONS, RIGHT
from tests.feature_repo.offline_oracle.suite import told
from tests.feature_repo.offline_oracle.timelines import settings

TIMELINES = 60
"""Of each setting: a small part of what the store itself is asked."""


def wrong_under(mutation: str, folder: Path) -> list[str]:
    return told(settings(TIMELINES), folder, {"type": standin.TYPE, "mutation": mutation}, stop_at_first=True)


def test_the_stand_in_is_right_without_a_mutation(tmp_path: Path) -> None:
    assert wrong_under(RIGHT, tmp_path) == []


@pytest.mark.parametrize("mutation", [name for name in MUTATIONS if name != RIGHT])
def test_the_mutation_is_caught(tmp_path: Path, mutation: str) -> None:
    wrong = wrong_under(mutation, tmp_path)
    assert wrong, f"no generated timeline tells a join with '{mutation}' from a right one"
    assert "the store failed" not in wrong[0]
