"""A folder may have any name: signs that a pattern, an address or YAML would read as something else mean themselves."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import hypothesis
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.offline_store.files import SourceError, files_of, place
from feature_repo.offline_store.reading import read
from feature_repo.offline_store.sources import Source
from feature_repo.offline_store.writes import append
from mlops_assets.local.servers import prepare_dagster_home
from mlops_assets.ml.training.shards import Files
from mlops_assets.use_cases.flights.files import locate
from resources.lake.lake import Lake
from resources.lake.names import PUSHED
from resources.lake.pushed_files import fold
from resources.settings import settings, sqlite_address, sqlite_file
from resources.state_folder import UNFIT
from resources.storage.addresses import storage_at
from resources.tracking.tracking import Tracking
from tests.flights.pushing import LATER, SOURCE, Running, event

FIT = """a b #c it's "x" {y} ${HOME} ü😀 d=e;f&g: \\h -i @j|!~+,"""
NASTY = FIT + " [1] *k?l %20%m [*] [[]"
MOMENT = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state") / NASTY
    folder.mkdir()
    (folder.with_name(FIT + " 1 akbl 20m")).mkdir()
    return folder


def test_features_are_joined_served_pushed_and_logged_in_a_folder_of_any_name(nasty):
    running = Running(nasty / "served")
    running.prepare()
    with running.client() as http:
        before = running.predict(http)
        assert http.post(f"/push/{SOURCE}", json=event()).json()["new"] == 1
        after = running.predict(http)
    assert before["value"] != after["value"] == 71.5
    offline = running.offline(LATER)
    assert {name: offline[name] for name in after["features"]} == after["features"]
    assert len(running.pushed_files()) == 1
    assert sorted(path.name for path in nasty.parent.iterdir() if any(path.rglob("*"))) == [NASTY]


def test_many_files_of_pushed_rows_are_folded_and_a_training_set_is_read_in_a_folder_of_any_name(nasty):
    table = nasty / "flights" / "features" / "weather"
    table.mkdir(parents=True)
    for hour in range(3):
        row = {
            "origin": ["EWR"],
            "event_timestamp": [MOMENT],
            "created": [MOMENT.replace(hour=hour)],
            "temp": [hour],
        }
        pl.DataFrame(row).write_parquet(table / f"{PUSHED}{hour}.parquet")
    fold(storage_at(table), ["origin"], above=1)
    assert len(list(table.glob("*.parquet"))) == 1
    [folded] = table.glob("*.parquet")
    assert Files((str(folded),), MOMENT, None).rows == pl.read_parquet(folded, glob=False).height


def test_a_fit_is_kept_and_read_back_in_a_folder_of_any_name(nasty):
    file = nasty / "mlflow" / "mlflow.db"
    address = str(nasty / "mlflow" / "artifacts").replace("%", "%25")
    tracking = Tracking(uri=sqlite_address(file), artifacts=address)
    run = tracking.log_fit(
        "pumps",
        b"a function's bytes",
        kind="refit",
        identity="fit-1",
        params={},
        history={},
        metrics={},
        tags={},
        example=pl.DataFrame({"bar": [1.0]}),
        artifacts={"card.html": b"card"},
        file="model.bin",
    )
    version = tracking.register("pumps", run, "fit-1", {"trained_until": MOMENT.isoformat()})
    assert tracking.load(version) == b"a function's bytes"
    assert tracking.artifact(version, "card.html") == b"card"
    assert file.exists() and sqlite_file(tracking.uri) == file


def test_dagster_finds_its_settings_and_keeps_its_runs_in_a_folder_of_any_name_that_is_accepted(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DAGSTER_HOME", "")
    home = settings({"MLOPS_HOME": str(tmp_path / FIT)})
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(home))) as instance:
        assert not instance.telemetry_enabled and instance.run_monitoring_enabled
        assert instance.get_runs_count() == 0
    found = {path.name for path in (home.dagster_home / "storage").glob("*.db")}
    assert found == {"runs.db", "event_log.db"}


@pytest.mark.parametrize("sign", UNFIT)
def test_a_state_folder_in_which_dagster_would_not_find_its_settings_is_refused(tmp_path, sign):
    home = tmp_path / f"a{sign}b"
    with pytest.raises(
        ValueError, match=r"MLOPS_HOME=.*Dagster reads as a pattern or an escape: give a folder"
    ):
        settings({"MLOPS_HOME": str(home)})


NAMES = st.text(
    st.one_of(st.sampled_from("*?[]!%#{}'\"=:;&$~\\ ab20"), st.characters(exclude_categories=["Cs", "Cc"])),
    min_size=1,
    max_size=12,
).filter(lambda name: "/" not in name and name not in (".", "..") and len(name.encode()) < 100)


@hypothesis.settings(max_examples=60)
@given(name=NAMES)
def test_the_address_of_a_database_means_its_file(tmp_path_factory, name):
    file = tmp_path_factory.mktemp("db") / name / "x.db"
    file.parent.mkdir()
    engine = sqlalchemy.create_engine(sqlite_address(file))
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("create table t (a int)"))
    engine.dispose()
    assert file.exists() and sqlite_file(sqlite_address(file)) == file


@hypothesis.settings(max_examples=60)
@given(name=NAMES, one_file=st.booleans(), escaped=st.booleans())
def test_rows_are_added_to_a_source_in_a_folder_of_any_name_and_found_there_alone(
    tmp_path_factory, name, one_file, escaped
):
    import glob

    root = tmp_path_factory.mktemp("source")
    folder = root / name / "t"
    folder.mkdir(parents=True)
    (root / "a2" / "t").mkdir(parents=True, exist_ok=True)
    rows = pa.table({"pump": ["a"], "at": pa.array([MOMENT], pa.timestamp("us", "UTC")), "bar": [1.5]})
    file = folder / "x.parquet"
    pl.DataFrame(pl.from_arrow(rows)).write_parquet(file)
    shown = glob.escape(str(folder)) if escaped or not one_file else str(folder)
    source = Source(
        "v", place(f"{shown}/{'x' if one_file else '*'}.parquet", None), "at", None, ("pump",), ("bar",)
    )
    written = append(source, rows.set_column(2, "bar", pa.array([2.5])))
    assert Path(written).parent == folder
    assert {Path(path).parent for path in files_of(source.where)} == {folder}
    assert sorted(read(source)["bar"].to_list()) == [1.5, 2.5]


def test_a_folder_above_the_source_is_never_read_as_a_column(tmp_path):
    folder = tmp_path / "pump=7" / "year=2024"
    folder.mkdir(parents=True)
    pl.DataFrame({"pump": ["a"], "at": [MOMENT], "bar": [1.5]}).write_parquet(folder / "x.parquet")
    plain = Source("v", place(str(folder), None), "at", None, ("pump",), ("bar",))
    assert read(plain).select("pump", "bar").rows() == [("a", 1.5)]
    with pytest.raises(SourceError, match="has pump= above the folder of its source"):
        read(Source("v", place(str(folder.parent), None), "at", None, ("pump",), ("bar", "year")))


def test_raw_files_are_found_in_a_folder_of_any_name(nasty):
    (nasty / "data").mkdir()
    (nasty / "data" / "planes.csv").write_text("tailnum\nN1\n")
    assert locate("planes", nasty / "data") == [nasty / "data" / "planes.csv"]


def test_a_table_is_written_and_read_in_a_lake_of_any_name(nasty):
    lake = Lake(root=str(nasty / "lake"))
    lake.write("pumps/checks", pl.DataFrame({"pump": ["a"]}), "2024-01-01")
    assert lake.read("pumps/checks")["pump"].to_list() == ["a"]
