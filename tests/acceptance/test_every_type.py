"""Every type that Feast has works from the training set to the skew report, or is refused with view, feature and type."""

import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import polars as pl
import pydantic
import pytest
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.components.model import DeclaredModel
from mlops_assets.ml.dataset import Encoding
from mlops_assets.ml.monitoring.drift import column_drift, reference_profile, report_html
from mlops_assets.ml.skew.brute_force import ViewTable, cells_that_differ
from mlops_assets.stages.skew_replay import replay
from resources.features.push import Pusher
from resources.features.pushed_moments import PushedMoments
from resources.features.store import FeatureStoreError, FeatureStoreResource
from resources.features.types import FEATURES, is_known
from resources.serving.http.bodies import validated
from resources.serving.http.forms import default_request, example, request_frame
from resources.serving.http.predict import application
from resources.serving.http.push import take
from resources.serving.live_models import LiveModels
from resources.serving.log import ServedBatch, ServingLogResource
from resources.serving.log_writer import ServingLog
from tests.every_type.kinds import INSTANT, NOON, every_type, stored
from tests.pumps.project import SPEC

REPOSITORY = "tests.every_type.repo"
SERVICE = "pump_stops_v1"
KINDS = [str(kind) for kind in every_type()]
NOW = NOON + timedelta(hours=1)
READINGS = {
    "pump": pl.String,
    "event_timestamp": INSTANT,
    "created": INSTANT,
    "running": pl.Boolean,
    "starts": pl.Int32,
    "litres": pl.Int64,
    "bar": pl.Float32,
    "hertz": pl.Float64,
    "maker": pl.String,
    "serviced": INSTANT,
    "spectrum": pl.List(pl.Float64),
}
SEEN = [
    ("a", NOON, NOON, True, 3, 2**40, 1.5, 49.9, "Ærø", NOON - timedelta(days=3), [0.5, 2.0]),
    ("b", NOON, NOON, False, None, -1, None, 0.1, None, None, []),
    ("c", NOON, NOON, None, 0, None, -0.25, None, "B", NOON, None),
]
QUESTION = {
    "pump": "a",
    "at": NOW.isoformat(),
    "alarms": [(NOON - timedelta(days=1)).isoformat(), "2023-12-01T10:00:00+02:00"],
    "heard": [0.25, 7.5],
    "urgent": True,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStoreResource:
    """The repository applied, with three pumps' readings offline and online."""
    root = tmp_path_factory.mktemp("types")
    table = root / "lake" / "features" / "readings"
    table.mkdir(parents=True)
    pl.DataFrame(SEEN, schema=READINGS, orient="row").write_parquet(table / "2024-01-01.parquet")
    (table.parent / "photos").mkdir()
    found = FeatureStoreResource(
        lake_root=str(root / "lake"), home=str(root / "feast"), repository=REPOSITORY
    )
    found.apply()
    found.materialize(["readings"], NOON - timedelta(days=1), NOW)
    return found


def request_of(store: FeatureStoreResource, folder: Path, service: str = SERVICE) -> type[pydantic.BaseModel]:
    record: Any = SimpleNamespace(name="pump_stops", feature_service=service, time="asked_at", columns={})
    return default_request(record, store)


def questions(store: FeatureStoreResource, folder: Path) -> pl.DataFrame:
    request = request_of(store, folder)
    asked = [request.model_validate(QUESTION | {"pump": pump}) for pump in "abcz"]
    return request_frame(asked, "asked_at", NOW)


def test_somebody_has_decided_what_becomes_of_every_type_that_feast_has():
    assert [kind for kind in KINDS if not is_known(kind)] == []
    assert not is_known("Quaternion")


def written(kind: str) -> str:
    return kind.replace("{a: String}", '{"a": String}')


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A spec over a repository whose one view has a feature and a request column of some types."""

    def declare(kind: str, asked: str = "Int64", **spec: Any) -> DeclaredModel:
        (tmp_path / "written_repo").mkdir()
        (tmp_path / "written_repo" / "__init__.py").write_text("")
        (tmp_path / "written_repo" / "services.py").write_text(
            "from feast import *\nfrom feast import types as T\nfrom feast.types import *\n"
            "from feast.on_demand_feature_view import on_demand_feature_view\n"
            'pump = Entity(name="pump")\n'
            'view = FeatureView(name="pump_state", entities=[pump], schema=[Field(name="pump", dtype=String), '
            f'Field(name="reading", dtype={written(kind)}), Field(name="unused", dtype=Bytes)], source=None)\n'
            f'asked = RequestSource(name="asked", schema=[Field(name="at", dtype={written(asked)})])\n'
            '@on_demand_feature_view(sources=[view, asked], schema=[Field(name="hours", dtype=Float64)])\n'
            "def derived(columns): ...\n"
            'service = FeatureService(name="pump_stops_v1", features=[view[["reading"]], derived])\n'
        )
        return DeclaredModel.model_validate(SPEC.model_dump() | spec)

    monkeypatch.setenv("MLOPS_FEATURE_REPO", "written_repo")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield declare
    sys.modules.pop("written_repo", None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_type_is_taken_or_refused_when_the_model_is_loaded_and_again_when_it_is_joined(
    store, declared, kind
):
    service = f"service_{KINDS.index(kind)}"
    if kind in FEATURES:
        trainer = SPEC.trainer.model_dump() | {"categories": ["reading"]}
        assert declared(kind, trainer=trainer).feature_service == SERVICE
        assert store.feature_columns(service) == ["reading"]
        return
    with pytest.raises(pydantic.ValidationError) as at_load:
        declared(kind)
    with pytest.raises(FeatureStoreError) as at_join:
        store.feature_columns(service)
    said = f"feature 'reading' of view 'pump_state' is {kind.split('{')[0]}"
    assert said in str(at_load.value)
    view = f"view_{KINDS.index(kind)}"
    assert str(at_join.value).startswith(f"feature 'reading' of view '{view}' is {kind}, and a model takes ")


@pytest.mark.parametrize("written_as", ["T.UnixTimestamp", "UnixTimestamp", "Array(T.Bytes)"])
def test_a_type_is_recognised_however_it_is_imported(declared, written_as):
    with pytest.raises(
        pydantic.ValidationError, match=r"'pump_state' is (UnixTimestamp|Array\(Bytes\)), and"
    ):
        declared(written_as)


def test_text_that_is_no_category_is_refused_when_the_model_is_loaded(declared):
    with pytest.raises(
        pydantic.ValidationError, match=r"'reading' of view 'pump_state' is String.*categories"
    ):
        declared("String")


def test_a_type_that_a_later_feast_may_add_is_left_to_the_first_join(declared):
    assert declared("T.Quaternion").feature_service == SERVICE


@pytest.mark.parametrize("kind", ["Bytes", "Map", "Array(Bytes)", "Set(Int64)", "Uuid"])
def test_a_request_column_that_json_cannot_hold_is_refused_unless_the_model_has_its_own_request(
    declared, kind, tmp_path
):
    with pytest.raises(
        pydantic.ValidationError, match=r"column 'at', by which feature service 'pump_stops_v1'"
    ):
        declared("Bool", kind)


def test_a_training_set_has_a_column_of_every_type_that_a_model_takes(store, tmp_path):
    joined = store.historical(SERVICE, questions(store, tmp_path), "asked_at")
    assert dict(joined.select(list(READINGS)[3:9]).schema) == {
        name: FEATURES[str(kind)]
        for name, kind in zip(
            list(READINGS)[3:9], ["Bool", "Int32", "Int64", "Float32", "Float64", "String"], strict=True
        )
    }
    rows = joined.select(
        "running", "days_since_service", "loudest", "alarms_since_service", "urgent_and_running"
    )
    assert rows.rows() == [
        (True, 3 + 1 / 24, 7.5, 1, True),
        (False, None, 7.5, 0, False),
        (None, 1 / 24, 7.5, 0, None),
        (None, None, 7.5, 0, None),
    ]


def test_a_cell_that_was_not_known_in_time_is_counted_whatever_its_type(store, tmp_path):
    asked = questions(store, tmp_path)
    joined = store.historical(SERVICE, asked, "asked_at")
    names = list(READINGS)[3:9]
    rows = pl.DataFrame(SEEN, schema=READINGS, orient="row")
    table = ViewTable("readings", rows, ["pump"], names, timedelta(days=2))
    assert cells_that_differ(asked, joined, "asked_at", table) == {}
    leaked = joined.with_columns(
        running=~pl.col("running"), starts=pl.col("starts") + 1, maker=pl.lit("of tomorrow")
    )
    assert cells_that_differ(asked, leaked, "asked_at", table) == {"running": 2, "starts": 2, "maker": 4}


def test_a_flag_is_a_number_or_a_category_to_the_model_and_to_drift(store, tmp_path):
    joined = store.historical(SERVICE, questions(store, tmp_path), "asked_at")
    features = store.feature_columns(SERVICE)
    for frame in (joined, pl.concat([joined] * 3)):
        number = Encoding.fit(frame, features, ["maker"]).matrix(frame)[:, features.index("running")]
        code = Encoding.fit(frame, features, ["maker", "running"]).matrix(frame)[:, features.index("running")]
        np.testing.assert_array_equal(number[:4], [1, 0, np.nan, np.nan])
        np.testing.assert_array_equal(code[:4], [1, 0, np.nan, np.nan])
    joined = pl.concat([joined] * 100)
    for categories in (["maker"], ["maker", "running"]):
        drift = column_drift(reference_profile(joined, features, categories), joined)
        assert drift["psi"].to_list() == [0.0] * len(features)
        assert column_drift(
            reference_profile(joined, features, categories), joined.with_columns(running=~pl.col("running"))
        ).filter(pl.col("column") == "running")["nulls_current"].to_list() == [0.5]


def test_evidently_reports_on_a_flag(store, tmp_path):
    joined = pl.concat([store.historical(SERVICE, questions(store, tmp_path), "asked_at")] * 10)
    assert "running" in report_html(joined, joined, ["running", "bar"], seed=0, rows=40)


def test_a_request_made_from_the_service_has_moments_and_lists(store, tmp_path):
    request = request_of(store, tmp_path)
    fields = {n: f.get("anyOf", [f])[0] for n, f in request.model_json_schema()["properties"].items()}
    assert fields["at"]["format"] == "date-time"
    assert fields["alarms"]["items"]["format"] == "date-time"
    assert fields["heard"]["items"]["type"] == "number"
    assert fields["urgent"]["type"] == "boolean"
    request.model_validate(example(request))
    with pytest.raises(pydantic.ValidationError, match="heard"):
        request.model_validate(QUESTION | {"heard": 1.0})


def test_what_is_served_online_and_logged_is_what_the_replay_finds(store, tmp_path):
    asked = questions(store, tmp_path)
    vectors = store.online_vectors(SERVICE, asked, NOW)
    joined = store.historical(SERVICE, asked, "asked_at")
    assert vectors.frame.select(store.feature_columns(SERVICE)).equals(
        joined.select(store.feature_columns(SERVICE))
    )
    log = ServingLog(tmp_path / "log")
    names, scores = [f"request {i}" for i in range(4)], np.zeros(4)
    service = store.describe(SERVICE)
    log.append(ServedBatch("pump_stops", "1", service, NOW, datetime.now(UTC), names, vectors, scores))
    log.close()
    kept = ServingLogResource(folder=str(log.folder))
    found = replay(kept.read("pump_stops", 10), kept.definitions("pump_stops"), store, Path(store.lake_root))
    assert found.refused == {} and found.cells.is_empty()
    assert found.compared.total() == 4 * len(store.feature_columns(SERVICE))


LOAD = QUESTION | {"parts": 4, "weight": 2.5, "blend": "B7"}
OPTIONAL = sorted(LOAD.keys() - {"pump"})


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcz"), st.sets(st.sampled_from(OPTIONAL))), min_size=1, max_size=4)
)
@hypothesis.example([("a", set(OPTIONAL))])
@hypothesis.example([("z", set(OPTIONAL)), ("z", set(OPTIONAL))])
@hypothesis.example([("z", set())])
def test_what_is_null_or_left_out_of_a_request_is_served_as_it_is_replayed(store, asked):
    folder = Path(store.lake_root)
    request = request_of(store, folder, "pump_loads_v1")
    left_out = [{k: v for k, v in LOAD.items() if k not in gone} | {"pump": pump} for pump, gone in asked]
    null = [LOAD | dict.fromkeys(gone) | {"pump": pump} for pump, gone in asked]
    rows = request_frame(validated(request, left_out, batch=True), "asked_at", NOW)
    assert rows.equals(request_frame(validated(request, null, batch=True), "asked_at", NOW))
    vectors, features = (
        store.online_vectors("pump_loads_v1", rows, NOW),
        store.feature_columns("pump_loads_v1"),
    )
    joined = store.historical("pump_loads_v1", rows, "asked_at")
    assert vectors.frame.select(features).to_dicts() == joined.select(features).to_dicts()
    with tempfile.TemporaryDirectory() as kept_in:
        log = ServingLog(Path(kept_in))
        names, scores, service = (
            [f"{i}" for i in range(len(asked))],
            np.zeros(len(asked)),
            store.describe("pump_loads_v1"),
        )
        log.append(ServedBatch("pump_loads", "1", service, NOW, datetime.now(UTC), names, vectors, scores))
        log.close()
        kept = ServingLogResource(folder=kept_in)
        found = replay(kept.read("pump_loads", 10), kept.definitions("pump_loads"), store, folder)
    assert found.refused == {} and found.cells.is_empty()
    assert found.compared.total() == len(asked) * len(features)


@pytest.mark.parametrize("key", [{}, {"pump": None}])
def test_a_join_key_must_be_in_a_request_made_from_the_service(store, tmp_path, key):
    request = request_of(store, tmp_path, "pump_loads_v1")
    with pytest.raises(RequestValidationError) as refused:
        validated(request, [{k: v for k, v in LOAD.items() if k != "pump"} | key], batch=False)
    problem = refused.value.errors()[0]
    assert tuple(problem["loc"]) == ("body", "pump")
    assert problem["type"] == "missing" if not key else "null is no key" in problem["msg"]


def test_the_example_of_a_request_made_from_the_service_shows_every_column(store, tmp_path):
    request = request_of(store, tmp_path, "pump_loads_v1")
    assert example(request).keys() == LOAD.keys()
    assert None not in example(request).values()
    request.model_validate(example(request))


@pytest.fixture
def pusher(store, tmp_path) -> Pusher:
    return Pusher(store, PushedMoments(tmp_path / "pushed"), lambda *_: NOW, lambda _: NOW)


def test_an_event_with_moments_and_lists_reaches_both_stores(store, pusher, tmp_path):
    later = NOW + timedelta(minutes=5)
    event = {
        "pump": "pushed",
        "event_timestamp": later.isoformat(),
        "running": True,
        "starts": 1,
        "maker": "A",
        "serviced": NOON.isoformat(),
        "spectrum": [9.5],
    }
    assert take(pusher, "pump_reading", [event, event], "both")["new"] == 1
    assert take(pusher, "pump_reading", event, "both")["new"] == 0
    rows = questions(store, tmp_path).head(1).with_columns(pl.lit("pushed").alias("pump"), asked_at=later)
    features = store.feature_columns(SERVICE)
    offline = store.historical(SERVICE, rows, "asked_at").select(features)
    assert offline.equals(store.online(SERVICE, rows, later).select(features))
    assert offline.row(0, named=True)["loudest"] == 9.5


def test_a_push_source_that_json_cannot_fill_is_refused_and_named_on_the_page(store, pusher, tmp_path):
    with pytest.raises(RequestValidationError) as refused:
        take(pusher, "pump_photo", {"pump": "a", "event_timestamp": NOW.isoformat()}, "both")
    said = "push source 'pump_photo': the column 'photo' is Bytes, and a JSON event holds"
    assert said in json.dumps(refused.value.errors())
    app = application(LiveModels(tmp_path, store, lambda _: None), "http://here", None, pusher)
    with TestClient(app, base_url="http://localhost") as http:
        page = http.get("/").text
    assert "the column &#x27;photo&#x27; is Bytes" in page
    assert "&quot;running&quot;: false" in page


def test_values_of_every_type_are_kept_online(store):
    folder, views = Path(store.lake_root) / "features", {}
    for kind, (column, value) in {kind: made for kind in KINDS if (made := stored(kind))}.items():
        view = f"view_{KINDS.index(kind)}"
        (folder / view).mkdir(exist_ok=True)
        schema = {"pump": pl.String, "event_timestamp": INSTANT, "created": INSTANT, "reading": column}
        rows = [("a", NOON, NOON, value), ("b", NOON, NOON, None)]
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / view / "2024-01-01.parquet")
        views[kind] = view
    brought = store.materialize(list(views.values()), NOON - timedelta(days=1), NOW)
    assert [one.rows for one in brought] == [2] * len(views)
