"""The variables of a process of a cluster whose runs are pods."""

from pathlib import Path

import pytest

from resources.cluster_settings import NEEDED


def runs_are_pods(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Set them, for the time of a test."""
    given = {
        "MLOPS_ENV": "cluster",
        "MLOPS_RUN_NAMESPACE": "ml",
        "MLOPS_IMAGE": "mlops-assets:1",
        "MLOPS_HOME": str(home),
    }
    for name, value in (NEEDED | given).items():
        monkeypatch.setenv(name, value)
