"""A push that was wrong is taken back, and everything is as if it had never come: files, joins, answers and now."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient

from mlops_assets.cli import main
from resources.audit.log import Audit
from resources.features.push_undo import UndoError, take_back
from resources.features.pushed_moments import PushedMoments
from resources.features.pushed_rows import PushedRows
from resources.features.pushes import pushed_rows, pushes, taken_out
from resources.lake.pushed_files import fold
from resources.storage.addresses import storage_at
from tests.flights.pushing import LATER, NOW, SOURCE, Running, copied, event, prepared_state

STARTED = datetime(2014, 1, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_state(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def running(prepared: Path, tmp_path: Path) -> Running:
    return copied(prepared, tmp_path / "state")


@pytest.fixture
def http(running: Running) -> Iterator[TestClient]:
    with running.client() as client:
        yield client


def folder_of(running: Running) -> Path:
    return running.store.push_sources()[SOURCE].folder


def undo(running: Running, received: datetime):
    moments, audit = (
        PushedMoments(running.folder / "serving" / "pushed"),
        Audit(folder=str(running.folder / "audit")),
    )
    source = running.store.push_sources()[SOURCE]
    return take_back(running.store, moments, audit, source, received, "ada", "wrong sensor")


def seen(running: Running, http: TestClient) -> tuple:
    """What anybody can see of the pushed rows."""
    running.models.look()
    answer = running.predict(http)
    answer.pop("request_id")
    joined = [running.offline(NOW + timedelta(minutes=n)) for n in (0, 10, 20, 40)]
    return answer, joined, pushed_rows(folder_of(running)).drop("created").sort("event_timestamp").rows()


def test_each_of_several_pushes_is_taken_back_and_what_came_before_it_is_seen_again(running, http):
    sent = [event(NOW + timedelta(minutes=10), temp=50.0), event(temp=60.0), event(temp=99.0, dewp=3.0)]
    before = [seen(running, http)]
    for one in sent:
        http.post(f"/push/{SOURCE}", json=one).raise_for_status()
        before.append(seen(running, http))
    assert before[3][0]["value"] == 99.0
    for there in (2, 1, 0):
        newest = pushes(folder_of(running))[-1].received
        undo(running, newest)
        assert seen(running, http) == before[there]
    assert http.post(f"/push/{SOURCE}", json=sent[2]).json()["new"] == 1
    assert running.predict(http)["value"] == 99.0


def test_a_push_before_the_newest_is_taken_back_and_the_newest_stays(running, http):
    for one in (event(temp=60.0), event(NOW + timedelta(minutes=40), temp=70.0)):
        http.post(f"/push/{SOURCE}", json=one).raise_for_status()
    first, _ = pushes(folder_of(running))
    undo(running, first.received)
    running.models.look()
    answer = running.predict(http)
    assert (answer["value"], answer["as_of"]) == (70.0, (NOW + timedelta(minutes=40)).isoformat())
    assert running.offline(LATER)["temp"] != 60.0


@pytest.mark.parametrize("dies_in", ["pushed_rows", "taken_out", "restate", "go_back", "unlink"])
def test_an_undo_that_was_killed_is_completed_by_the_same_command_and_recorded_once(
    running, http, monkeypatch, dies_in
):
    before = seen(running, http)
    http.post(f"/push/{SOURCE}", json=event(temp=99.0)).raise_for_status()
    received = pushes(folder_of(running))[0].received

    def killed(*_, **__):
        raise KeyboardInterrupt

    where = {
        "pushed_rows": "resources.features.push_undo.pushed_rows",
        "taken_out": "resources.features.push_undo.taken_out",
        "restate": "resources.features.push_undo.restate",
        "go_back": "resources.features.pushed_moments.PushedMoments.go_back",
        "unlink": "pathlib.Path.unlink",
    }
    with monkeypatch.context() as patch:
        patch.setattr(where[dies_in], killed)
        with pytest.raises(KeyboardInterrupt):
            undo(running, received)
    entry = undo(running, received)
    assert seen(running, http) == before
    assert undo(running, received) == entry
    assert [*Audit(folder=str(running.folder / "audit")).entries(kinds=("erased",))] == [entry]
    assert (entry.by, entry.why, entry.evidence["rows"]) == ("ada", "wrong sensor", 1)


def test_the_command_lists_pushes_and_takes_one_back_by_what_it_listed(running, http, monkeypatch, capsys):
    http.post(f"/push/{SOURCE}", json=[event(), event(origin="JFK", temp=1.0)]).raise_for_status()
    monkeypatch.setenv("MLOPS_HOME", str(running.folder))
    assert main(["pushes", "list"]) == 0
    line = capsys.readouterr().out
    assert f"{SOURCE}  received " in line and "2 rows" in line and LATER.isoformat() in line
    received = line.split()[2]
    given = ["--by", "ada", "--reason", "wrong sensor"]
    for _ in range(2):
        assert main(["pushes", "undo", SOURCE, received, *given]) == 0
        assert "2 rows of weather_observation are taken back, offline and online" in capsys.readouterr().out
    assert running.pushed_files() == []
    assert main(["pushes", "undo", SOURCE, "2001-01-01T00:00:00Z", *given]) == 1
    assert "nothing was pushed to 'weather_observation' at 2001-01-01" in capsys.readouterr().err
    assert main(["pushes", "undo", "weather", received, *given]) == 1
    assert "no push source 'weather' is defined" in capsys.readouterr().err


def test_nothing_is_taken_back_where_nothing_was_pushed(running):
    with pytest.raises(UndoError, match="`mlops pushes list weather_observation` shows what was"):
        undo(running, NOW)


def test_of_folded_files_too_every_row_of_a_push_goes_and_no_other(tmp_path):
    chance = random.Random(7)
    rows = [
        {
            "key": chance.choice("abc"),
            "event_timestamp": STARTED + timedelta(hours=chance.randrange(9)),
            "value": n,
        }
        for n in range(60)
    ]
    received = [STARTED + timedelta(days=1, microseconds=n // 7) for n in range(60)]
    for moment in dict.fromkeys(received):
        part = [row | {"created": moment} for row, one in zip(rows, received, strict=True) if one == moment]
        pl.DataFrame(part).write_parquet(tmp_path / f"pushed-{moment:%H%M%S%f}.parquet")
        if chance.random() < 0.4:
            fold(storage_at(tmp_path), ["key"])
    there = pushed_rows(storage_at(tmp_path))
    cache = PushedRows(storage_at(tmp_path), ["key"])
    assert cache.has(there.drop("created")).any()
    for moment in chance.sample([*dict.fromkeys(received)], 5):
        taken_out(storage_at(tmp_path), moment)
        taken_out(storage_at(tmp_path), moment)
        there = there.filter(pl.col("created") != moment)
        assert (
            pushed_rows(storage_at(tmp_path)).sort("value").rows()
            == there.select(pushed_rows(storage_at(tmp_path)).columns).sort("value").rows()
        )
        fresh = PushedRows(storage_at(tmp_path), ["key"])
        asked = pl.DataFrame(rows).with_columns(pl.col("event_timestamp").cast(pl.Datetime("us", "UTC")))
        assert cache.has(asked).to_list() == fresh.has(asked).to_list()
