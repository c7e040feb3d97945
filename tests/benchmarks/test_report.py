"""What a benchmark leaves says what it measured."""

import json
import re

import pytest

from benchmarks import report

FILES = sorted(report.RESULTS.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_results_file_names_machine_versions_and_the_revision_it_was_made_at(file):
    kept = json.loads(file.read_text())
    assert {"machine", "versions", "git", "figures", "ratios"} == set(kept)
    assert re.fullmatch("[0-9a-f]{40}", kept["git"]["revision"])
    assert isinstance(kept["git"]["clean"], bool)
    assert all(isinstance(ratio, int | float) for ratio in kept["ratios"].values())


def test_what_is_saved_carries_the_revision_of_now(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "revision", lambda *_: ("f" * 40, True))
    kept = json.loads(report.save("one", {"seconds": 1.0}, {"vs_peer": 2.0}).read_text())
    assert kept["git"] == {"revision": "f" * 40, "clean": True}
