"""`mlops parity` ends with 0 where only listed differences are seen, and with 1 and their places where there are others."""

import json
from pathlib import Path

import pytest

from mlops_assets.commands import parity
from mlops_assets.verify.expected import EXPECTED
from resources.settings import PROJECT_ROOT, settings


@pytest.fixture
def replays(monkeypatch, mlops_home):
    """As if both replays had been made, each with one entry of the audit log."""

    def made(first: dict, second: dict) -> int:
        def left(entry: dict):
            def replay(home: Path, use_case: str, last: str) -> None:
                (home / "snapshot").mkdir(parents=True)
                (home / "snapshot" / "documents.json").write_text(
                    json.dumps({"decisions/audit/000001": entry})
                )

            return replay

        monkeypatch.setattr(parity, "_on_laptop", left(first))
        monkeypatch.setattr(parity, "_on_cluster", left(second))
        return parity.compare_replays(settings(), "loans", "2024-01-22")

    return made


def test_what_is_listed_may_differ(replays, capsys):
    assert replays({"version": 2, "at": "10:00"}, {"version": 2, "at": "11:00"}) == 0
    told = capsys.readouterr().out
    assert "expected: 1 of decisions/audit/*#at: the wall clock at which it was written" in told
    assert told.endswith("no other difference\n")


def test_what_is_not_listed_may_not_and_is_named(replays, capsys):
    assert replays({"version": 2, "at": "10:00"}, {"version": 3, "at": "11:00"}) == 1
    assert "not expected: 1\n  decisions/audit/000001#version: 2 and 3\n" in capsys.readouterr().out


def test_no_expectation_is_of_a_table_or_of_a_score():
    assert [one for one in EXPECTED if one.places.startswith(("tables/", "scores/", "*"))] == []
    assert [one for one in EXPECTED if one.places.endswith(("#version", "#kind", "#event", "#model"))] == []


def test_the_list_is_the_one_that_the_page_shows():
    page = (PROJECT_ROOT / "docs" / "production.md").read_text()
    shown = page.partition("<!-- expected -->\n")[2].partition("\n<!-- /expected -->")[0]
    assert shown.splitlines() == parity.listed()
