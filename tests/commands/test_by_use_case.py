"""What an earlier release kept for its one use case is brought to where each use case has its own, or is refused."""

import json
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from feature_repo.online_store.codec.keys import prefix
from mlops_assets.commands import migrate
from mlops_assets.commands.by_use_case import PlaceTakenError, old_names, outcome_changes, renamed
from mlops_assets.stages.use_case_before import UnknownUseCaseError, use_case_before
from resources.lake.lake import Lake
from resources.lake.versions import kept_versions
from resources.settings import Settings, settings
from resources.storage.addresses import storage_at
from resources.use_case_folders import FILE, VARIABLE, UseCaseFolderError, use_case_folders
from tests.earlier_release.make import THROUGH
from tests.earlier_release.state import KEPT, contents, undeclared, unpack, with_everything
from tests.s3 import BUCKET, served

TABLE = "pumps/features/pump_state"


@pytest.fixture
def earlier(tmp_path: Path) -> Settings:
    """A small state of an earlier release that has one file of each kind."""
    where = undeclared(unpack(tmp_path))
    with_everything(where.home, only=THROUGH)
    return where


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with served():
        yield f"s3://{BUCKET}"


def moved(where: Settings) -> None:
    """Everything brought to its place, nothing else."""
    for change in list(migrate.moves(where)):
        change.apply()


def test_a_feature_table_is_moved_whole_with_what_was_pushed_and_replaced(earlier):
    old = earlier.home / "lake" / "features" / "pump_state"
    parquet = {path.name: path.read_bytes() for path in old.glob("*.parquet")}
    assert len(parquet) == 3, "a partition, pushed rows, and those of an undo that was cut off"
    moved(earlier)
    lake = Lake(root=earlier.lake)
    assert {p.name: p.read_bytes() for p in (earlier.home / "lake" / TABLE).glob("*.parquet")} == parquet
    manifest = lake.manifest(TABLE, THROUGH)
    assert manifest.table == TABLE and lake.holds(TABLE, THROUGH, manifest.sha256)
    assert [version.key for version in kept_versions(lake.storage)] == [(TABLE, THROUGH, KEPT)]
    record = json.loads(lake.storage.read(f"{TABLE}/_kept/{THROUGH}/{KEPT}.json"))
    assert record["manifest"]["table"] == TABLE


def test_whoever_was_made_of_it_names_it_as_it_is_called_now(earlier):
    before = Lake(root=earlier.lake).manifest("pump_stops/training_set", THROUGH)
    moved(earlier)
    lake = Lake(root=earlier.lake)
    after = lake.manifest("pump_stops/training_set", THROUGH)
    named = {f"pumps/{n}" if n.startswith("features/") else n: h for n, h in (before.made_of or {}).items()}
    assert after.made_of == named and any(name.startswith(f"{TABLE}@") for name in named)
    note = lake.remembered("pump_stops/training_set", THROUGH)
    assert note and TABLE in note["fingerprint"] and "features/pump_state" not in note["fingerprint"]


def test_records_and_the_outcome_of_the_replay_are_those_of_the_use_case(earlier):
    records = [
        json.loads((earlier.home / "lake" / name).read_text())
        for name in ("replay/progress.json", "features/online.json")
    ]
    moved(earlier)
    lake = Lake(root=earlier.lake)
    assert lake.read_json("pumps/replay/progress") == {"record_version": 1, **records[0]}
    assert lake.read_json("pumps/features/online") == {"record_version": 1, "partitions": records[1]}
    assert {path.name for path in (earlier.replay / "pumps").iterdir()} == {
        "partitions.csv",
        "report.txt",
        "finished.json",
    }
    assert {path.name for path in earlier.feast.iterdir()} == {"pumps"}
    assert {path.name for path in (earlier.home / migrate.ASIDE / "feast").iterdir()} == {
        "registry.db",
        "applied.sha256",
        "online.db",
    }


@pytest.mark.parametrize("there", [None, b"partition,rows,decision\n2024-01-08,6,kept\n"])
def test_the_table_of_a_replay_is_called_by_its_partitions_where_it_has_its_use_case_already(tmp_path, there):
    where = settings({"MLOPS_HOME": str(tmp_path)})
    table, now = (where.replay / "shop" / name for name in ("weeks.csv", "partitions.csv"))
    table.parent.mkdir(parents=True)
    table.write_bytes(b"week,rows,decision\n2024-01-01,5,kept: a week\n")
    if there:
        now.write_bytes(there)
    for change in outcome_changes(where):
        change.apply()
    assert not table.exists() and list(outcome_changes(where)) == []
    assert now.read_bytes() == (there or b"partition,rows,decision\n2024-01-01,5,kept: a week\n")


def test_what_is_online_in_redis_gets_the_name_of_the_use_case(earlier, redis_port):
    address = f"redis://127.0.0.1:{redis_port}/13"
    where = settings({"MLOPS_HOME": str(earlier.home), "MLOPS_ONLINE_STORE": address})
    with Redis.from_url(address) as client:
        client.flushdb()
        key = prefix(["pump"]) + struct.pack("<II", 2, 7) + b"pump-00"
        client.hset(key + b"mlops", "a field", "a value")
        client.hset("reach:mlops:pump_state", "until", 1)
        (what,) = [change.what for change in migrate.moves(where) if change.what.startswith("feast: ")]
        assert what.endswith("to feast/pumps; the keys of mlops in Redis, to those of pumps")
        moved(where)
        assert {*client.scan_iter()} == {key + b"pumps", b"reach:pumps:pump_state"}
        assert client.hget(key + b"pumps", "a field") == b"a value"
        client.flushdb()


def test_nothing_is_left_where_it_was_and_nothing_to_do(earlier):
    migrate.migrate(earlier, dry_run=False)
    assert list(migrate.moves(earlier)) == [] and old_names(storage_at(earlier.lake)) == []
    assert (
        not (earlier.home / "lake" / "features").exists() and not (earlier.home / "lake" / "replay").exists()
    )


def test_an_object_store_has_the_same_content_under_the_same_names_as_a_folder(earlier, bucket):
    address = f"{bucket}/{uuid.uuid4().hex}"
    lake, home = storage_at(address), earlier.home / "lake"
    (home / "features" / "pump_state" / ".undo-20240220T000000.000000.parquet").unlink()
    for path in home.rglob("[!.]*"):
        if path.is_file() and ".locks" not in path.parts:
            lake.write(path.relative_to(home).as_posix(), path.read_bytes())
    elsewhere = settings({"MLOPS_HOME": str(earlier.home / "other"), "MLOPS_LAKE": address})
    moved(elsewhere)
    moved(earlier)
    folder = storage_at(earlier.lake)
    names = folder.names(deep=True)
    assert lake.names(deep=True) == names
    assert [lake.read(name) for name in names] == [folder.read(name) for name in names]


def test_another_table_in_the_way_is_named_before_anything_is_changed(earlier):
    Lake(root=earlier.lake).write_json("pumps/replay/progress", {"through": "2024-03-04"})
    before = contents(earlier.home)
    for dry_run in (True, False):
        with pytest.raises(PlaceTakenError, match=r"replay/progress\.json belongs at .*, where another lies"):
            migrate.migrate(earlier, dry_run)
    assert {n: h for n, h in contents(earlier.home).items() if n in before} == before


def test_a_state_that_says_of_no_use_case_is_refused_until_somebody_does(tmp_path):
    where = settings({"MLOPS_HOME": str(tmp_path)})
    storage = storage_at(where.lake)
    storage.write("features/pump_state/_manifests/all.json", b'{"table": "features/pump_state"}')
    for begin in (lambda: migrate.migrate(where, dry_run=False), lambda: migrate.tell_what_waits(where)):
        with pytest.raises(
            UnknownUseCaseError, match=r"are of no use case: .* `mlops migrate --use-case NAME`"
        ):
            begin()
    assert storage.names(deep=True) == ["features/pump_state/_manifests/all.json"]
    migrate.migrate(where, dry_run=False, use_case="wells")
    assert storage.names(deep=True) == ["wells/features/pump_state/_manifests/all.json"]
    assert json.loads(storage.read(storage.names(deep=True)[0])) == {"table": "wells/features/pump_state"}


def test_whose_a_state_is_its_training_sets_say_and_else_its_raw_tables(tmp_path):
    storage = storage_at(tmp_path)
    storage.write("wells/levels/_manifests/all.json", b"{}")
    storage.write("dry/predictions/_manifests/all.json", b"{}")
    assert use_case_before(storage) == "wells"
    storage.write("parcels/offers/_manifests/all.json", b"{}")
    with pytest.raises(UnknownUseCaseError, match="are of the use cases parcels, wells: name the one"):
        use_case_before(storage)
    made_of = {"features/depth@all": "1", "view depth": "2", "wells/levels@all": "3"}
    storage.write("dry/training_set/_manifests/all.json", json.dumps({"made_of": made_of}).encode())
    storage.write("late/training_set/_manifests/all.json", b'{"made_of": {"parcels/offers@all": "4"}}')
    assert use_case_before(storage) == "wells"


def test_no_use_case_is_called_as_the_folder_of_an_earlier_releases_tables(tmp_path, monkeypatch):
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / FILE).write_text("")
    monkeypatch.setenv(VARIABLE, str(folder))
    with pytest.raises(UseCaseFolderError, match="a use case cannot be called 'features'"):
        use_case_folders()


TEXTS = st.one_of(
    st.text(),
    st.sampled_from(["features/a", "features/a@all", "features/a pushed-", "features online", "features/"]),
)


@given(
    st.recursive(
        TEXTS | st.none() | st.integers(), lambda part: st.lists(part) | st.dictionaries(TEXTS, part)
    )
)
def test_names_are_changed_once_and_all_else_is_as_it_was(content):
    once = renamed(content, "pumps")
    assert renamed(once, "pumps") == once
    assert json.dumps(once).replace("pumps/features/", "features/") == json.dumps(content).replace(
        "pumps/features/", "features/"
    )
