"""What a tick notes for the next one spares it work and changes no answer, whatever becomes of the note."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from mlops_assets.automation.settled import Look, unsettled
from mlops_assets.automation.unreported import partitions_to_score
from mlops_assets.spec.files import declared_specs
from mlops_assets.stages.online import BASIS, online_content
from resources.lake.lake import Lake
from resources.lake.names import file_name, manifest_name
from resources.storage import local
from tests.sensor_days import REPORTS, Days

WEEKS = 4
AT_ONCE_S = 0.02
"""More than the steps in which file systems count time."""

CONTENTS = ("a" * 64, "b" * 64)


@pytest.fixture(scope="module")
def spec():
    return declared_specs()["flight_delay"]


def record(days: Days) -> Path:
    return Path(days.lake.root) / days.spec.name / "ticks" / "reported.json"


@pytest.fixture(params=["folders change", "no folder is old enough"], autouse=True, scope="module")
def steady(request) -> Iterator[None]:
    """Both ways to know of a change: with folders that soon count as old, and by listing them."""
    before, local.STEADY_S = local.STEADY_S, AT_ONCE_S if request.param == "folders change" else 1e9
    yield
    local.STEADY_S = before


def by_every_manifest(days: Days) -> list[tuple[str, str]]:
    """What waits, told without any note."""
    ready = online_content(days.lake, days.spec.use_case)
    return [(week, basis) for week, basis in sorted(ready.items()) if not _rests(days, week, basis)]


def _rests(days: Days, week: str, basis: str) -> bool:
    tables = [f"{days.spec.name}/{part}" for part in REPORTS]
    return all(
        days.lake.exists(table, week) and (days.lake.manifest(table, week).notes or {})[BASIS] == basis
        for table in tables
    )


ACTIONS = st.tuples(
    st.sampled_from(
        ["ingest", "report", "one report", "lose a report", "lose", "break", "take another's", "tick"]
    ),
    st.integers(0, WEEKS - 1),
    st.sampled_from(CONTENTS),
)


@profile(max_examples=25)
@given(st.lists(ACTIONS, max_size=14))
def test_whatever_happens_what_waits_is_what_the_manifests_say(spec, actions):
    with tempfile.TemporaryDirectory() as folder:
        days = Days.of(spec, Path(folder), WEEKS)
        weeks = days.lake.partitions(spec.prediction.table)
        for action, number, content in actions:
            _act(days, action, weeks[number], content)
            if action == "tick":
                assert partitions_to_score(spec, days.lake) == by_every_manifest(days)
        for _ in range(3):
            time.sleep(2 * AT_ONCE_S if local.STEADY_S == AT_ONCE_S else 0)
            assert partitions_to_score(spec, days.lake) == by_every_manifest(days)


def _act(days: Days, action: str, week: str, content: str) -> None:
    lake, part = days.lake, f"{days.spec.name}/{REPORTS[0]}"
    numbers = pl.DataFrame({"scored": [1]})
    if action == "ingest":
        days.ingest(week, content)
    elif action == "report":
        for table in REPORTS:
            lake.write(f"{days.spec.name}/{table}", numbers, week, notes={BASIS: content})
    elif action == "one report":
        lake.write(part, numbers, week, notes={BASIS: content})
    elif action == "lose a report" and lake.exists(part, week):
        lake.storage.delete(file_name(part, week))
    elif action == "lose":
        shutil.rmtree(record(days).parent, ignore_errors=True)
    elif action == "break":
        record(days).parent.mkdir(parents=True, exist_ok=True)
        record(days).write_text('{"2013')
    elif action == "take another's":
        record(days).parent.mkdir(parents=True, exist_ok=True)
        record(days).write_text(json.dumps(dict.fromkeys([week], content[:32])))


def counted(monkeypatch) -> list[str]:
    """Every partition whose manifest is read from now on."""
    read, whole = list[str](), Lake.manifest

    def manifest(self, table, partition=None):
        read.append(f"{table}@{partition}")
        return whole(self, table, partition)

    monkeypatch.setattr(Lake, "manifest", manifest)
    return read


def test_a_tick_reads_the_manifests_of_what_is_new_alone(spec, tmp_path, monkeypatch):
    days = Days.of(spec, tmp_path, WEEKS)
    weeks = days.lake.partitions(spec.prediction.table)
    for week in weeks[:-1]:
        days.report(week)
    read = counted(monkeypatch)
    assert [week for week, _ in partitions_to_score(spec, days.lake)] == [weeks[-1]]
    assert len(read) == 2 * (WEEKS - 1)
    read.clear()
    assert [week for week, _ in partitions_to_score(spec, days.lake)] == [weeks[-1]]
    assert read == []
    days.report(weeks[-1])
    read.clear()
    assert partitions_to_score(spec, days.lake) == []
    assert sorted(read) == sorted(f"{spec.name}/{part}@{weeks[-1]}" for part in REPORTS)


def all_settled(spec, folder: Path, monkeypatch) -> tuple[Days, list[str]]:
    """Weeks that are all reported on, after a tick that found them so, and their names."""
    days = Days.of(spec, folder, WEEKS)
    weeks = days.lake.partitions(spec.prediction.table)
    for week in weeks:
        days.report(week)
    monkeypatch.setattr(local, "STEADY_S", AT_ONCE_S)
    time.sleep(2 * AT_ONCE_S)
    assert partitions_to_score(spec, days.lake) == []
    return days, weeks


def test_a_tick_after_one_that_found_all_settled_lists_nothing(spec, tmp_path, monkeypatch):
    days, weeks = all_settled(spec, tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(local, "_entries", lambda folder: pytest.fail(f"{folder} is listed"))
        assert partitions_to_score(spec, days.lake) == []
    days.ingest(weeks[1], CONTENTS[1])
    assert partitions_to_score(spec, days.lake) == [(weeks[1], CONTENTS[1])]


def test_a_state_that_was_copied_reads_all_once_and_says_the_same(spec, tmp_path, monkeypatch):
    days = Days.of(spec, tmp_path / "one", WEEKS)
    for week in days.lake.partitions(spec.prediction.table):
        days.report(week)
    assert partitions_to_score(spec, days.lake) == []
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copy)
    read = counted(monkeypatch)
    assert partitions_to_score(spec, Lake(root=str(tmp_path / "two"))) == []
    assert len(read) == 2 * WEEKS


def test_what_may_change_without_a_write_is_looked_at_again(tmp_path):
    lake = Lake(root=str(tmp_path))
    lake.write("m/report", pl.DataFrame({"row": [1]}), "2020-01-01")
    looked = list[str]()

    def look(name: str) -> Look:
        looked.append(name)
        return Look(None, final=False)

    for _ in range(2):
        assert unsettled(lake, "m", lambda: {"2020-01-01": "x"}, "", ["m/report"], look) == []
    assert looked == ["2020-01-01"] * 2


def test_a_manifest_that_is_written_during_the_look_is_looked_at_again(tmp_path):
    lake = Lake(root=str(tmp_path))

    def write(content: str) -> None:
        lake.write("m/report", pl.DataFrame({"row": [1]}), "2020-01-01", notes={BASIS: content})

    def look(name: str) -> Look:
        rests = (lake.manifest("m/report", name).notes or {})[BASIS] == "x"
        write("y")
        return Look(None if rests else "x")

    write("x")
    asked = lambda: unsettled(lake, "m", lambda: {"2020-01-01": "x"}, "", ["m/report"], look)  # noqa: E731
    assert [asked(), asked()] == [[], [("2020-01-01", "x")]]
    assert lake.storage.exists(manifest_name("m/report", "2020-01-01"))


def test_while_a_partition_waits_ticks_list_no_reports(spec, tmp_path, monkeypatch):
    days, weeks = all_settled(spec, tmp_path, monkeypatch)
    days.ingest(weeks[1], CONTENTS[1])
    time.sleep(2 * AT_ONCE_S)
    assert partitions_to_score(spec, days.lake) == [(weeks[1], CONTENTS[1])]
    entries, listed = local._entries, list[Path]()
    with monkeypatch.context() as patch:
        patch.setattr(local, "_entries", lambda folder: (listed.append(folder), entries(folder))[1])
        assert partitions_to_score(spec, days.lake) == [(weeks[1], CONTENTS[1])]
    assert not [folder for folder in listed if spec.name in folder.parts]
    days.report(weeks[1])
    assert partitions_to_score(spec, days.lake) == by_every_manifest(days) == []


def test_a_record_of_another_shape_is_none(spec, tmp_path):
    days = Days.of(spec, tmp_path, WEEKS)
    weeks = days.lake.partitions(spec.prediction.table)
    for content in (
        [],
        {"folders": None},
        {"folders": "x", "partitions": {weeks[0]: "ab"}},
        {"partitions": 1},
    ):
        record(days).parent.mkdir(parents=True, exist_ok=True)
        record(days).write_text(json.dumps(content))
        assert partitions_to_score(spec, days.lake) == by_every_manifest(days)
