"""A function of one row, said once, gives the same cells by stock Feast, online and offline, and by the stores of this project."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureService, FeatureStore, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.by_row import view_by_row
from feature_repo.forms import Form
from feature_repo.online_store.called import Called
from tests.feature_repo.online.shop import BULK, ENGINE, NOW, customer, view, write

FLOATS = st.none() | st.floats(-1e6, 1e6, width=32)
STORED: dict[str, tuple[Any, pa.DataType, st.SearchStrategy[Any]]] = {
    "rate": (Float32, pa.float32(), FLOATS),
    "visits": (Int64, pa.int64(), st.none() | st.integers(-(2**53), 2**53)),
    "grade": (String, pa.string(), st.none() | st.sampled_from(["", "A", "ä b"])),
    "loyal": (Bool, pa.bool_(), st.none() | st.booleans()),
    "seen": (
        UnixTimestamp,
        pa.timestamp("us", "UTC"),
        st.none() | st.integers(1, 2**31).map(lambda s: datetime.fromtimestamp(s, UTC)),
    ),
}
ASKED: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "amount": (Float64, st.floats(-1e6, 1e6)),
    "count": (Int64, st.integers(-1000, 1000)),
}
GIVEN = {
    "share": Float32,
    "total": Float64,
    "code": Int64,
    "small": Int32,
    "label": String,
    "often": Bool,
    "age": Float32,
}
KEYS = [1, 2, 3, 4, 9]
"""Of the last nothing is stored."""


def shares(
    amount: float,
    count: int,
    rate: float | None,
    visits: int | None,
    grade: str | None,
    loyal: bool | None,
    seen: datetime | None,
) -> dict[str, Any]:
    """A little of everything, with null where something is missing."""
    assert all(type(one) is kind for one, kind in ((count, int), (amount, float)))
    assert visits is None or type(visits) is int
    return {
        "share": None if rate is None else amount * rate / 3,
        "total": amount + (rate or 0.1),
        "code": None if visits is None else visits * 2 + count,
        "small": count,
        "label": None if grade is None else f"{grade}-{count}",
        "often": None if loyal is None else loyal or count > 0,
        "age": None if seen is None else (seen - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds() / 3600,
    }


FORM = Form("shares", scalar=shares)


def opened(folder: Path, ours: bool) -> FeatureStore:
    """A store over the folder's own registry: stock Feast's offline and online stores, or this project's."""
    folder.mkdir(exist_ok=True)
    online = {"type": BULK["sqlite"]} if ours else {"type": "sqlite"}
    offline = {"type": "feature_repo.offline_store.store.PolarsOfflineStore"} if ours else {"type": "dask"}
    return FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            registry={"registry_type": "file", "path": str(folder / "registry.db")},
            offline_store=offline,
            online_store={**online, "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
            **({"batch_engine": ENGINE} if ours else {}),
        )
    )


def definitions(folder: Path) -> list[Any]:
    stored = view(
        folder, "customers", [customer], {"customer_id": Int64} | {n: t for n, (t, _, _) in STORED.items()}
    )
    request = RequestSource(name="basket", schema=[Field(name=n, dtype=t) for n, (t, _) in ASKED.items()])
    schema = [Field(name=name, dtype=kind) for name, kind in GIVEN.items()]
    computed = view_by_row(
        FORM, on_demand_feature_view, sources=[request, stored], schema=schema, owner="team:shop"
    )
    return [customer, stored, computed, FeatureService(name="shares", features=[stored, computed])]


def cells(table: pa.Table) -> dict[str, list[Any]]:
    """The on-demand features, floats as single precision where they are declared so, NaN as null."""
    import numpy as np

    found = {}
    for name, kind in GIVEN.items():
        values = [None if value is None or value != value else value for value in table[name].to_pylist()]
        if kind in (Float32, Float64):
            values = [v if v is None else float(np.float32(v) if kind is Float32 else v) for v in values]
        found[name] = values
    return found


ROW = st.fixed_dictionaries({name: values for name, (_, _, values) in STORED.items()})
REQUEST = st.fixed_dictionaries({name: values for name, (_, values) in ASKED.items()})


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[FeatureStore]]:
    folder = tmp_path_factory.mktemp("by_row")
    return folder, [opened(folder / way, way == "ours") for way in ("stock", "ours")]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, min_size=4, max_size=4), st.lists(REQUEST, min_size=5, max_size=5))
def test_stock_feast_and_ours_give_the_same_cells_online_and_offline(stores, rows, asked):
    import pandas as pd

    folder, both = stores
    columns = {"customer_id": KEYS[:4]} | {name: [row[name] for row in rows] for name in STORED}
    write(folder, "customers", columns, {name: kind for name, (_, kind, _) in STORED.items()})
    requests = {name: [one[name] for one in asked] for name in ASKED}
    before = {name: [row[name] for row in rows] + [None] for name in STORED}
    kinds = {n: Field(name=n, dtype=k).dtype.to_value_type() for n, k in GIVEN.items()}
    wanted = Called(kinds, FORM.reads, FORM.scalar, None).columns(requests | before, len(KEYS))
    for store in both:
        store.apply(definitions(folder))
        service = store.get_feature_service("shares")
        store.materialize(NOW - timedelta(days=1), NOW)
        online = store.get_online_features(
            service, [{"customer_id": key} | one for key, one in zip(KEYS, asked, strict=True)]
        )
        assert cells(online.to_arrow()) == wanted
        entities = pd.DataFrame({"customer_id": KEYS, "event_timestamp": [NOW] * len(KEYS)} | requests)
        offline = store.get_historical_features(entities, service).to_df().sort_values("customer_id")
        assert cells(pa.Table.from_pandas(offline)) == wanted


def test_the_text_that_feast_keeps_changes_with_the_function_and_not_with_its_words(tmp_path):
    text = definitions(tmp_path)[2].feature_transformation.udf_string
    assert f"from {shares.__module__} import shares as scalar" in text

    def kept(source: str) -> str:
        module = ModuleType("written")
        file = tmp_path / f"written_{len(source)}_{abs(hash(source))}.py"
        file.write_text(source)
        exec(compile(source, str(file), "exec"), module.__dict__)
        view = view_by_row(
            Form("one", scalar=module.one),
            on_demand_feature_view,
            sources=[RequestSource(name="basket", schema=[Field(name="count", dtype=Int64)])],
            schema=[Field(name="next", dtype=Int64)],
        )
        return str(view.feature_transformation.udf_string)

    plain = kept("def one(count):\n    return {'next': count + 1}\n")
    worded = kept('def one(count):\n    """Next."""\n    return {\'next\': count + 1}  # so\n')
    assert plain == worded != kept("def one(count):\n    return {'next': count + 2}\n")


def test_what_a_function_of_one_row_cannot_be_is_refused():
    schema = [Field(name="when", dtype=UnixTimestamp)]
    with pytest.raises(
        ValueError, match="'when' of 'shares' is UnixTimestamp, which a function of one row cannot give"
    ):
        view_by_row(FORM, on_demand_feature_view, sources=[], schema=schema)
    with pytest.raises(ValueError, match="'shares' has no scalar function"):
        view_by_row(Form("shares", numpy=shares), on_demand_feature_view, sources=[], schema=schema)

    def inside(amount: float) -> dict[str, Any]:
        return {"when": amount}

    with pytest.raises(ValueError, match="made inside of another one, and Feast imports it by its name"):
        view_by_row(Form("shares", scalar=inside), on_demand_feature_view, sources=[], schema=schema)
