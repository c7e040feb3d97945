"""The suite catches the polars store itself with one operator, one unit or one line changed."""

from pathlib import Path

import pytest

from tests.feature_repo.offline_oracle.kernel_mutations import CHANGES, install
from tests.feature_repo.offline_oracle.suite import told
from tests.feature_repo.offline_oracle.timelines import settings
from tests.feature_repo.offline_oracle.world import OURS

TIMELINES = 300


@pytest.mark.parametrize("name", CHANGES)
def test_the_changed_store_is_caught(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(CHANGES[name], monkeypatch)
    wrong = told(settings(TIMELINES), tmp_path, {"type": OURS}, stop_at_first=True)
    assert wrong, f"no generated timeline tells a store with '{name}' from the right one"
    assert "the store failed" not in wrong[0]


def test_the_store_as_it_is_passes(tmp_path: Path) -> None:
    assert told(settings(TIMELINES), tmp_path, {"type": OURS}) == []
