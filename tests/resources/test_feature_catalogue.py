"""Feast's registry and the catalogue in Dagster say the same of every feature, because both are told by one list."""

import pytest

from mlops_assets.use_cases.flights.columns import feature_columns
from mlops_assets.use_cases.flights.features.catalogue import TRIP, VIEWS
from mlops_assets.use_cases.flights.features.described import KEYS, REQUEST
from resources.features.catalogue import described_features
from resources.features.configuration import configuration
from resources.features.feature_repository import FeatureStoreError
from resources.features.store import FeatureStoreResource

SERVICE = "flight_delay_v1"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory):
    """What is read back from Feast's registry after the definitions were applied."""
    from feast import FeatureStore

    home = tmp_path_factory.mktemp("feast")
    FeatureStoreResource(
        repository="mlops_assets.use_cases.flights.features", lake_root=str(home / "lake"), home=str(home)
    ).apply()
    return FeatureStore(config=configuration("mlops_assets.use_cases.flights.features", str(home)))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_in_the_registry_is_described_as_its_table_is(registry, name):
    view, columns = registry.get_feature_view(name), feature_columns(name)
    assert (view.description, view.owner) == (VIEWS[name].description, "team:flights")
    assert view.tags == VIEWS[name].tags()
    assert view.ttl == VIEWS[name].ttl
    for field in view.features:
        column = columns[field.name]
        assert (field.description, field.tags["unit"]) == (column.description, column.unit)
        assert tuple((field.tags["source"], n) for n in field.tags["inputs"].split()) == column.made_of
    assert {c.name: c.description for c in view.entity_columns} == {
        k: KEYS[k].description for k in VIEWS[name].keys
    }


def test_what_is_computed_on_demand_is_described_in_the_registry_too(registry):
    view = registry.get_on_demand_feature_view("trip")
    assert (view.description, view.owner) == (TRIP.description, "team:flights")
    for feature in TRIP.features:
        assert view.tags[f"{feature.name}.description"] == feature.description
        assert view.tags[f"{feature.name}.inputs"] == feature.inputs
    [request] = view.source_request_sources.values()
    assert {field.name: field.description for field in request.schema} == REQUEST


def test_entities_and_services_have_an_owner_and_a_description(registry):
    things = [*registry.list_entities(), *registry.list_feature_services()]
    ours = [thing for thing in things if thing.name != "__dummy"]
    assert {e.name for e in ours} == {*KEYS, SERVICE}
    assert all((thing.owner, thing.tags) == ("team:flights", {"domain": "flights"}) for thing in ours)
    assert all(thing.description for thing in ours)


def test_an_on_demand_feature_knows_its_inputs_and_a_stored_one_its_keys():
    features = described_features(SERVICE, "mlops_assets.use_cases.flights.features")
    assert features["aircraft_years"].inputs == ("departs_at", "plane_year")
    assert features["carrier_delay"].keys == ("carrier", "origin")
    assert features["plane_year"].description == "Year in which the aircraft was made."


def test_without_a_tag_an_on_demand_feature_is_made_of_all_that_its_view_reads(monkeypatch):
    from mlops_assets.use_cases.flights.features.on_demand import trip

    monkeypatch.setattr(trip, "tags", {})
    found = described_features(SERVICE, "mlops_assets.use_cases.flights.features")["trip_weekday"]
    assert set(found.inputs) == {
        *REQUEST,
        *("aircraft_free_at", "aircraft_leg_minutes", "aircraft_seen_at", "plane_year"),
    }
    assert found.description == ""


def test_an_input_that_the_view_does_not_read_is_refused(monkeypatch):
    from mlops_assets.use_cases.flights.features.on_demand import trip

    monkeypatch.setattr(trip, "tags", {"trip_weekday.inputs": "departs_at temp"})
    with pytest.raises(
        FeatureStoreError, match=r"'trip'.*inputs of 'trip_weekday'.*temp; it reads departs_at"
    ):
        described_features(SERVICE, "mlops_assets.use_cases.flights.features")


def test_features_that_the_catalogue_does_not_list_are_refused():
    from dataclasses import replace

    from mlops_assets.use_cases.flights.features.on_demand import trip
    from mlops_assets.use_cases.flights.features.views import describe

    with pytest.raises(ValueError, match=r"'trip' has .*trip_weekday.*the catalogue lists"):
        describe(trip, replace(TRIP, features=TRIP.features[1:]))


def test_a_repository_that_says_nothing_is_shown_with_its_names_alone():
    found = described_features("pump_stops_v1", "tests.pumps.repo")
    assert {name: (f.description, f.keys) for name, f in found.items()} == {
        "vibration": ("", ("pump",)),
        "score": ("", ("pump",)),
    }
