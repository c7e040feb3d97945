import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.use_cases.flights.request import entity_rows
from mlops_assets.use_cases.flights.schema import FEATURE_KEYS, FEATURES
from resources.features.registered_services import FIX
from resources.features.store import FeatureStoreError, FeatureStoreResource
from resources.settings import PROJECT_ROOT
from tests import forked
from tests.flights import lakes

SERVICE = "flight_delay_v1"
REPOSITORY = "mlops_assets.use_cases.flights.features"
END = lakes.bounds(lakes.MONDAYS[1])[1]
TYPES = {"String": pl.String, "Float32": pl.Float32, "Int64": pl.Int64}


def make(folder: Path, lake_root: Path) -> FeatureStoreResource:
    store = FeatureStoreResource(
        repository="mlops_assets.use_cases.flights.features",
        lake_root=str(lake_root),
        home=str(folder / "feast"),
    )
    store.apply()
    return store


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    return lakes.random_flights(7, 1500)


@pytest.fixture(scope="module")
def rows(flights: pl.DataFrame) -> pl.DataFrame:
    return entity_rows(flights).sample(fraction=1, shuffle=True, seed=1)


@pytest.fixture(scope="module")
def lake_root(tmp_path_factory: pytest.TempPathFactory, flights: pl.DataFrame) -> Path:
    root = tmp_path_factory.mktemp("lake")
    lakes.write(root, flights, lakes.random_weather(7), lakes.some_planes())
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, lake_root: Path) -> FeatureStoreResource:
    return make(tmp_path_factory.mktemp("home"), lake_root)


def newest(
    table: pl.DataFrame, keys: tuple[str, ...], row: dict, now: datetime, ttl: timedelta
) -> dict | None:
    """The row of a feature table that a point-in-time join must choose, by looking at all of them."""
    mine = table.filter([pl.col(key) == row[key] for key in keys]).rows(named=True)
    known = [r for r in mine if r["event_timestamp"] <= now]
    if not known:
        return None
    last = max(known, key=lambda r: r["event_timestamp"])
    return last if not ttl or last["event_timestamp"] >= now - ttl else None


def brute_force(root: Path, rows: pl.DataFrame, moments: list[datetime]) -> pl.DataFrame:
    """The features of the views, row by row."""
    from resources.features.feature_repository import service, views_of

    found: list[dict] = [{} for _ in moments]
    for view in views_of(service(REPOSITORY, SERVICE), REPOSITORY):
        table = pl.read_parquet(root / "flights" / "features" / view.name / "*.parquet").drop(
            "content_known_at", "created", strict=False
        )
        keys = FEATURE_KEYS[view.name]
        for values, row, now in zip(found, rows.iter_rows(named=True), moments, strict=True):
            chosen = newest(table, keys, row, now, view.ttl)
            for column in table.columns:
                if column not in (*keys, "event_timestamp"):
                    values[column] = chosen[column] if chosen else None
    return pl.DataFrame(found, infer_schema_length=None)


def test_the_join_is_what_a_search_through_every_row_finds(
    store: FeatureStoreResource, lake_root: Path, rows: pl.DataFrame
) -> None:
    sample = rows.head(80)
    joined = store.historical(SERVICE, sample, "prediction_time")
    expected = brute_force(lake_root, sample, sample["prediction_time"].to_list())
    shared = [name for name in store.feature_columns(SERVICE) if name in expected.columns]
    assert len(shared) == len(store.feature_columns(SERVICE)) - 7
    assert_frame_equal(joined.select(shared), expected.select(shared), check_dtypes=False, check_exact=True)


def test_rows_keep_their_number_order_and_columns(store: FeatureStoreResource, rows: pl.DataFrame) -> None:
    odd = pl.concat([rows.head(30), rows.head(30), rows.head(2).with_columns(tailnum=pl.lit("no such"))])
    joined = store.historical(SERVICE, odd, "prediction_time")
    assert_frame_equal(joined.select(odd.columns), odd)
    assert joined.columns == [*odd.columns, *store.feature_columns(SERVICE)]
    assert {joined.schema[name] for name in store.feature_columns(SERVICE)} == {pl.Float32()}
    assert joined[:30].equals(joined[30:60])


def test_a_join_of_no_rows_has_the_columns_all_the_same(
    store: FeatureStoreResource, rows: pl.DataFrame
) -> None:
    some = store.historical(SERVICE, rows.head(3), "prediction_time")
    assert store.historical(SERVICE, rows.clear(), "prediction_time").schema == some.schema
    assert store.online(SERVICE, rows.clear(), END).schema == some.schema


def test_on_demand_features_are_new_york_time(store: FeatureStoreResource, rows: pl.DataFrame) -> None:
    joined = store.historical(SERVICE, rows, "prediction_time")
    local = pl.col("scheduled_departure").dt.convert_time_zone("America/New_York")
    minute = local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute()
    assert joined.select((minute == pl.col("trip_minute_of_day")).all()).item()
    assert joined.select((local.dt.weekday() - 1 == pl.col("trip_weekday")).all()).item()
    one = joined.filter(tailnum="N1")
    assert one["aircraft_years"].unique().to_list() == [12.0]
    assert joined.filter(pl.col("tailnum") == "N2")["aircraft_years"].null_count() > 0


@pytest.mark.parametrize("minutes", [0, 20, 45, 200, 26 * 60])
def test_online_answers_what_the_join_gives_at_the_same_moment(
    store: FeatureStoreResource, rows: pl.DataFrame, minutes: int
) -> None:
    store.materialize(store.views(SERVICE), END - timedelta(days=7), END)
    now = END + timedelta(minutes=minutes)
    asked = entity_rows(rows.with_columns(prediction_time=pl.lit(now).cast(pl.Datetime("us", "UTC"))))
    online = store.online(SERVICE, asked, now)
    assert_frame_equal(online, store.historical(SERVICE, asked, "prediction_time"), check_exact=True)


@pytest.mark.parametrize("back", [timedelta(hours=11, minutes=7), timedelta(days=5, hours=8)])
def test_online_answers_what_the_join_gives_in_the_middle_of_a_day(
    lake_root: Path, rows: pl.DataFrame, tmp_path: Path, back: timedelta
) -> None:
    store, now = make(tmp_path, lake_root), END - back
    store.materialize(store.views(SERVICE), now - timedelta(days=7), now)
    asked = entity_rows(rows.with_columns(prediction_time=pl.lit(now).cast(pl.Datetime("us", "UTC"))))
    online = store.online(SERVICE, asked, now)
    assert_frame_equal(online, store.historical(SERVICE, asked, "prediction_time"), check_exact=True)
    for column in store.feature_columns(SERVICE):
        assert online[column].count() > 0, f"{column} is never known, so that nothing was compared"


def test_weather_is_not_served_once_it_has_expired(store: FeatureStoreResource, rows: pl.DataFrame) -> None:
    store.materialize(store.views(SERVICE), END - timedelta(days=7), END)
    nulls = [
        store.online(SERVICE, rows, END + timedelta(hours=h))["temp"].null_count() == rows.height
        for h in (0, 4)
    ]
    assert nulls == [False, True]


def test_every_online_value_comes_with_its_event_time_and_status(
    store: FeatureStoreResource, lake_root: Path, rows: pl.DataFrame
) -> None:
    store.materialize(store.views(SERVICE), END - timedelta(days=7), END)
    unknown = rows.head(1).with_columns(tailnum=pl.lit("no such"))
    vectors = store.online_vectors(SERVICE, pl.concat([rows.head(40), unknown]), END)
    features = store.feature_columns(SERVICE)
    assert vectors.event_times.columns == vectors.statuses.columns == features
    assert set(vectors.event_times.schema.values()) == {pl.Datetime("us", "UTC")}
    assert vectors.statuses["plane_seats"][-1] == "NOT_FOUND"
    assert vectors.event_times["plane_seats"][-1] is None
    for name in features:
        present = vectors.statuses[name] == "PRESENT"
        assert (present == vectors.frame[name].is_not_null()).all(), name
    weather = pl.read_parquet(lake_root / "flights/features/weather/*.parquet").filter(
        pl.col("event_timestamp") <= END
    )
    newest = dict(weather.group_by("origin").agg(pl.col("event_timestamp").max()).iter_rows())
    for origin, moment in zip(vectors.frame["origin"], vectors.event_times["temp"], strict=True):
        assert moment == newest[origin]


def test_an_older_week_does_not_set_serving_back(store: FeatureStoreResource, rows: pl.DataFrame) -> None:
    store.materialize(store.views(SERVICE), END - timedelta(days=7), END)
    before = store.online(SERVICE, rows, END)
    store.materialize(store.views(SERVICE), END - timedelta(days=14), END - timedelta(days=7))
    assert_frame_equal(store.online(SERVICE, rows, END), before)


def test_a_row_that_a_corrected_week_no_longer_has_is_not_served(
    tmp_path: Path, flights: pl.DataFrame, rows: pl.DataFrame
) -> None:
    weather, planes = lakes.random_weather(7), lakes.some_planes()
    lakes.write(tmp_path / "lake", flights, weather, planes)
    store = make(tmp_path, tmp_path / "lake")
    store.materialize(store.views(SERVICE), END - timedelta(days=7), END)
    late = END - timedelta(hours=20)
    corrected = flights.filter(~((pl.col("scheduled_departure") > late) & (pl.col("tailnum") == "N1")))
    lakes.write(tmp_path / "lake", corrected, weather, planes)
    store.materialize(store.views(SERVICE), END - timedelta(days=7), END)
    asked = entity_rows(rows.with_columns(prediction_time=pl.lit(END).cast(pl.Datetime("us", "UTC"))))
    expected = store.historical(SERVICE, asked, "prediction_time")
    assert_frame_equal(store.online(SERVICE, asked, END), expected, check_exact=True)


def test_doing_it_twice_changes_nothing(store: FeatureStoreResource, rows: pl.DataFrame) -> None:
    assert store.apply() == store.apply()
    first = store.historical(SERVICE, rows, "prediction_time")
    store.materialize(store.views(SERVICE), END - timedelta(days=7), END)
    contents = online_contents(store)
    store.materialize(store.views(SERVICE), END - timedelta(days=7), END)
    assert online_contents(store) == contents
    assert store.historical(SERVICE, rows, "prediction_time").equals(first)


def test_the_hash_of_the_definitions_is_the_same_after_they_were_registered_and_in_another_process(
    store: FeatureStoreResource,
) -> None:
    registered = store.definitions_hash()
    assert store.holds(registered)
    code = (
        "import sys; from resources.features.store import FeatureStoreResource as Store; "
        "print(Store(lake_root=sys.argv[1], home=sys.argv[2], repository=sys.argv[3]).definitions_hash())"
    )
    command = ["-c", code, store.lake_root, store.home, str(store.repository)]
    done = forked.run(command, os.environ, PROJECT_ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, registered), done.stderr


def online_contents(store: FeatureStoreResource) -> dict[str, list]:
    import sqlite3

    with sqlite3.connect(Path(store.home) / "online.db") as connection:
        tables = [r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        query = "SELECT entity_key, feature_name, value, CAST(event_ts AS INTEGER) FROM {} ORDER BY 1, 2"
        return {name: connection.execute(query.format(name)).fetchall() for name in tables}


def test_the_views_have_the_columns_of_the_feature_tables() -> None:
    from resources.features.feature_repository import service, views_of

    views = views_of(service(REPOSITORY, SERVICE), REPOSITORY)
    assert {view.name for view in views} == set(FEATURES)
    for view in views:
        declared = {f.name: TYPES[str(f.dtype)] for f in view.schema}
        table = {
            k: v
            for k, v in FEATURES[view.name].items()
            if k not in ("event_timestamp", "content_known_at", "created")
        }
        integers = {k: pl.Int64 if v == pl.Int32 else v for k, v in table.items()}
        assert declared == integers, view.name
        assert sorted(view.join_keys) == sorted(FEATURE_KEYS[view.name])


def test_a_service_has_at_least_25_features_in_at_least_7_views(store: FeatureStoreResource) -> None:
    assert len(store.feature_columns(SERVICE)) >= 25
    assert len(store.views(SERVICE)) >= 7


def test_what_is_missing_is_named(store: FeatureStoreResource, rows: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(FeatureStoreError, match="the rows lack tailnum"):
        store.historical(SERVICE, rows.drop("tailnum"), "prediction_time")
    with pytest.raises(FeatureStoreError, match="defines no feature service 'flight_delay_v9'; there are: "):
        store.feature_columns("flight_delay_v9")
    empty = FeatureStoreResource(
        repository="mlops_assets.use_cases.flights.features", lake_root=str(tmp_path), home=store.home
    )
    with pytest.raises(FeatureStoreError, match="flights/features/weather has no partition"):
        empty.historical(SERVICE, rows, "prediction_time")
    fresh = FeatureStoreResource(
        repository="mlops_assets.use_cases.flights.features",
        lake_root=store.lake_root,
        home=str(tmp_path / "feast"),
    )
    with pytest.raises(FeatureStoreError, match="is defined but not registered"):
        fresh.historical(SERVICE, rows, "prediction_time")


def copied(store: FeatureStoreResource, folder: Path) -> FeatureStoreResource:
    """The state in another place, as `cp -r` leaves it."""
    shutil.copytree(store.lake_root, folder / "lake")
    shutil.copytree(store.home, folder / "feast")
    return store.model_copy(update={"lake_root": str(folder / "lake"), "home": str(folder / "feast")})


def test_a_copied_state_joins_its_own_files(
    store: FeatureStoreResource, rows: pl.DataFrame, tmp_path: Path
) -> None:
    moved, view = copied(store, tmp_path), store.view_tables(SERVICE)[0]
    asked = rows.head(20).with_columns(pl.lit(END).alias("as_of"))
    here, there = moved.historical(SERVICE, asked, "as_of"), store.historical(SERVICE, asked, "as_of")
    assert here.equals(there)
    for path in (tmp_path / "lake" / view.table).glob("*.parquet"):
        path.unlink()
    with pytest.raises(FeatureStoreError, match=f"{view.table} has no partition"):
        moved.historical(SERVICE, asked, "as_of")


def test_a_copied_state_brings_its_own_files_online(store: FeatureStoreResource, tmp_path: Path) -> None:
    moved = copied(store, tmp_path)
    view = next(one for one in moved.view_tables(SERVICE) if one.ttl is None)
    for path in (tmp_path / "lake" / view.table).glob("*.parquet"):
        pl.read_parquet(path).clear().write_parquet(path)
    (brought,) = moved.materialize([view.name], END - timedelta(days=7), END)
    assert brought.rows == 0


def test_a_copied_state_whose_code_changed_since_is_refused(
    store: FeatureStoreResource, rows: pl.DataFrame, tmp_path: Path
) -> None:
    moved, applied = copied(store, tmp_path), tmp_path / "feast" / "applied.json"
    hashes = json.loads(applied.read_text())
    applied.write_text(json.dumps(hashes | {f"feature service {SERVICE}": "another"}))
    with pytest.raises(FeatureStoreError, match=f"names the files of {store.lake_root}, .*{FIX}"):
        moved.historical(SERVICE, rows.head(5).with_columns(pl.lit(END).alias("as_of")), "as_of")
    with pytest.raises(FeatureStoreError, match=f"names the files of {store.lake_root}, .*{FIX}"):
        moved.materialize(moved.views(SERVICE), END - timedelta(days=7), END)


def test_the_same_lake_by_another_spelling_is_the_same_lake(
    store: FeatureStoreResource, rows: pl.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "also").symlink_to(store.lake_root)
    also = store.model_copy(update={"lake_root": str(tmp_path / "also")})
    asked = rows.head(5).with_columns(pl.lit(END).alias("as_of"))
    assert also.historical(SERVICE, asked, "as_of").equals(store.historical(SERVICE, asked, "as_of"))


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


def test_service_names_are_known_without_importing_feast() -> None:
    code = f"import sys; from resources.features.inputs import service_names as n; print(n({REPOSITORY!r}), 'feast' in sys.modules)"
    assert python(code) == f"{[SERVICE]} False"


def test_the_definition_version_is_the_same_in_every_process(store: FeatureStoreResource) -> None:
    code = (
        "from resources.features.store import FeatureStoreResource as F; "
        f"print(F(lake_root='x', home='y', repository='mlops_assets.use_cases.flights.features').definition_version({SERVICE!r}))"
    )
    assert python(code, PYTHONHASHSEED="12") == store.definition_version(SERVICE)


def test_the_definition_version_changes_with_a_time_to_live(
    store: FeatureStoreResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops_assets.use_cases.flights.features.views import weather

    before = store.definition_version(SERVICE)
    monkeypatch.setattr(weather, "ttl", timedelta(hours=5))
    assert store.definition_version(SERVICE) != before
