"""Every type that Feast has comes out of a compiled service as it comes out of frames, whatever wrote it and however it is read."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from feature_repo.forms import Form
from resources.features import feature_repository
from resources.features.store import FeatureStoreResource
from tests.acceptance import test_every_type
from tests.acceptance.test_every_type import NOW, QUESTION, SERVICE, questions
from tests.every_type.kinds import NOON

store = test_every_type.store
MOMENTS = (NOON - timedelta(hours=1), NOW, NOW + timedelta(days=3))


def derived_of(
    serviced: Any, at: Any, spectrum: Any, heard: Any, alarms: Any, running: Any, urgent: Any
) -> dict[str, Any]:
    """The view `derived` for one row."""
    both = [*(spectrum or []), *(heard or [])]
    away = None if serviced is None or at is None else at - serviced
    return {
        "days_since_service": None if away is None else away.total_seconds() / 86_400,
        "loudest": max(both, default=None),
        "alarms_since_service": None
        if alarms is None
        else 0
        if serviced is None
        else sum(one > serviced for one in alarms),
        "urgent_and_running": None if running is None or urgent is None else running and urgent,
    }


@pytest.fixture(params=["by its form", "by Feast"])
def compiled(request: pytest.FixtureRequest, store: FeatureStoreResource, monkeypatch, tmp_path) -> Any:
    if request.param == "by its form":
        forms = {"derived": Form("derived", scalar=derived_of)}
        monkeypatch.setattr(feature_repository, "forms", lambda _: forms)
    rows = questions(store, tmp_path)
    return store.compiled(SERVICE, rows.schema), rows


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("pumps", ["a", "b", "c", "z", "ab", "abcz", "abczabczabcz"])
def test_values_times_and_statuses_are_those_by_frames(compiled, store, pumps, moment):
    service, rows = compiled
    asked = pl.concat([rows.filter(pl.col("pump") == pump) for pump in pumps])
    wanted = store.online_vectors(SERVICE, asked, moment)
    found = service.columns(asked.to_dict(as_series=False), asked.height, moment)
    assert found.frame.equals(wanted.frame) and found.frame.schema == wanted.frame.schema
    assert found.event_times.equals(wanted.event_times)
    assert found.statuses.equals(wanted.statuses)


def test_a_row_that_stock_feast_wrote_is_read_too(compiled, store):
    from feast.infra.online_stores.sqlite import SqliteOnlineStore

    service, rows = compiled
    whole = store.feast()
    view = whole.get_feature_view("readings")
    written = {"pump": ["s"], "starts": [5], "bar": [2.5], "maker": ["Z"]}
    data = _rows(view, written)
    SqliteOnlineStore().online_write_batch(whole.config, view, data, None)
    asked = rows.head(1).with_columns(pump=pl.lit("s"))
    wanted = store.online_vectors(SERVICE, asked, NOW)
    for height in (1, 6):
        found = service.columns(pl.concat([asked] * height).to_dict(as_series=False), height, NOW)
        assert found.frame.head(1).equals(wanted.frame)
        assert found.statuses.head(1).equals(wanted.statuses)
        assert found.event_times.head(1).equals(wanted.event_times)
    assert wanted.frame["starts"].to_list() == [5]
    assert "NOT_FOUND" in wanted.statuses.row(0) and "PRESENT" in wanted.statuses.row(0)


def _rows(view: Any, written: dict[str, list[Any]]) -> Any:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.type_map import python_values_to_proto_values

    kinds = {field.name: field.dtype.to_value_type() for field in view.features}
    key = EntityKey(join_keys=["pump"], entity_values=[Value(string_val=written["pump"][0])])
    values = {n: python_values_to_proto_values(v, kinds[n])[0] for n, v in written.items() if n in kinds}
    return [(key, values, NOON, NOON)]


def test_a_key_that_is_missing_or_of_another_type_is_what_it_is_for_frames(compiled, store):
    service, rows = compiled
    asked = rows.head(1).with_columns(pump=pl.lit(None, pl.String))
    found = service.columns(asked.to_dict(as_series=False), 1, NOW)
    assert found.frame.equals(store.online_vectors(SERVICE, asked, NOW).frame)
    assert QUESTION["pump"] == "a"


def test_of_types_that_no_sample_is_drawn_of_nothing_is_told(store, monkeypatch, tmp_path):
    def loaded_of(weight: Any, parts: Any, starts: Any, blend: Any, bar: Any) -> dict[str, Any]:
        return {"weight_per_part": 1.0, "parts_and_starts": 1, "letters": 1.0}

    forms = {
        "derived": Form("derived", scalar=derived_of),
        "loaded": Form("loaded", scalar=loaded_of),
    }
    monkeypatch.setattr(feature_repository, "forms", lambda _: forms)
    service = store.compiled("pump_loads_v1", questions(store, tmp_path).schema)
    assert service.differing_form() is None  # lists are asked for, of which no sample is drawn
