"""`mlops parity` ends with 0 where only listed differences are seen, and with 1 and their places where there are others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.commands import parity
from mlops_assets.local.cluster import Up
from mlops_assets.local.running import DevError, Stop
from mlops_assets.verify.expected import EXPECTED
from mlops_assets.verify.unfinished import UP, Comparison, servers_up
from resources.settings import PROJECT_ROOT, settings


@pytest.fixture
def replays(monkeypatch, mlops_home):
    """As if both replays had been made, each with one entry of the audit log."""

    def made(first: dict, second: dict) -> int:
        monkeypatch.setattr(parity, "_on_laptop", left(first))
        monkeypatch.setattr(parity, "_on_cluster", left(second))
        return parity.compare_replays(settings(), "flights", "2013-01-22")

    return made


Replay = Callable[[Path, str, str], None]


def left(entry: dict) -> Replay:
    def replay(home: Path, use_case: str, last: str) -> None:
        (home / "snapshot").mkdir(parents=True)
        (home / "snapshot" / "documents.json").write_text(json.dumps({"decisions/audit/000001": entry}))

    return replay


def broken_off(home: Path, use_case: str, last: str) -> None:
    (home / "snapshot" / "tables").mkdir(parents=True, exist_ok=True)
    raise KeyboardInterrupt


def test_what_is_listed_may_differ(replays, capsys):
    assert replays({"version": 2, "at": "10:00"}, {"version": 2, "at": "11:00"}) == 0
    told = capsys.readouterr().out
    assert "expected: 1 of decisions/audit/*#at: the wall clock at which it was written" in told
    assert told.endswith("no other difference\n")


def test_what_is_not_listed_may_not_and_is_named(replays, capsys):
    assert replays({"version": 2, "at": "10:00"}, {"version": 3, "at": "11:00"}) == 1
    assert "not expected: 1\n  decisions/audit/000001#version: 2 and 3\n" in capsys.readouterr().out


def again(through: str = "2013-01-22") -> int:
    return parity.compare_replays(settings(), "flights", through)


@pytest.fixture
def broken(monkeypatch, mlops_home) -> None:
    """The laptop's replay is done, and the cluster's was broken off."""
    monkeypatch.setattr(parity, "_on_laptop", left({"version": 2}))
    monkeypatch.setattr(parity, "_on_cluster", broken_off)
    with pytest.raises(KeyboardInterrupt):
        again()
    monkeypatch.setattr(parity, "_on_laptop", left({"version": 3}))
    monkeypatch.setattr(parity, "_on_cluster", left({"version": 3}))


def test_one_that_was_broken_off_goes_on_with_what_is_done(broken, capsys):
    assert again() == 1
    told = capsys.readouterr().out
    assert "a comparison of the same was broken off: going on with it" in told
    assert "on a laptop's parts, is done; state in" in told
    assert "decisions/audit/000001#version: 2 and 3" in told


@pytest.mark.parametrize("other", ["partition", "code", "finished"])
def test_another_comparison_or_a_finished_one_begins_anew(broken, other, monkeypatch, capsys):
    if other == "code":
        monkeypatch.setattr(parity, "_code", lambda use_case: "other")
    if other == "finished":
        again()
    capsys.readouterr()
    assert again("2013-01-29" if other == "partition" else "2013-01-22") == 0
    assert "going on" not in capsys.readouterr().out


def test_what_was_not_taken_down_in_order_is_made_anew_and_what_was_is_gone_on_with(tmp_path):
    def down_by(error: type[Exception] | None) -> bool:
        whole = Comparison(tmp_path / str(error), {"through": "x"})
        whole.begin()
        try:
            with servers_up(whole.home(1)):
                (whole.home(1) / "state").touch()
                if error:
                    raise error
        except DevError:
            pass
        assert whole.begin()
        return (whole.home(1) / "state").exists()

    assert (down_by(None), down_by(DevError)) == (True, False)


def test_ctrl_c_while_the_cluster_is_up_is_told_as_such(tmp_path, monkeypatch):
    def stopped(where: object, stopping: Stop, work: Callable[[Up], None]) -> None:
        stopping.due = True
        raise DevError("stopped before python had ended")

    monkeypatch.setattr("mlops_assets.local.cluster.while_up", stopped)
    with pytest.raises(KeyboardInterrupt):
        parity._on_cluster(tmp_path / "1", "flights", "2013-01-22")
    assert not (tmp_path / "1" / UP).exists()


def test_no_expectation_is_of_a_table_or_of_a_score():
    assert [one for one in EXPECTED if one.places.startswith(("tables/", "scores/", "*"))] == []
    assert [one for one in EXPECTED if one.places.endswith(("#version", "#kind", "#event", "#model"))] == []


def test_the_list_is_the_one_that_the_page_shows():
    page = (PROJECT_ROOT / "docs" / "production.md").read_text()
    shown = page.partition("<!-- expected -->\n")[2].partition("\n<!-- /expected -->")[0]
    assert shown.splitlines() == parity.listed()
