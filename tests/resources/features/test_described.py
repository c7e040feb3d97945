"""Feast objects from a description: made, checked, chosen by name, and told without Feast."""

import pydantic
import pytest

from feature_repo.declared.description import Chosen, Declared, Feature, Key, Service, View, chosen
from resources.features.chosen import service_of, with_services
from resources.features.feature_repository import FeatureStoreError, definitions, kind, objects_hash
from resources.features.inputs import TypedField, inputs_by_feast, inputs_without_feast, read, read_by_feast
from resources.features.repository import Repository
from tests.resources.features.repositories import VIEWS, loans, package

SCORE = Service(name="score", features=(Chosen(view="places"), Chosen(view="debts", features=("missed",))))


def repository(*services: Service, package: str = "") -> Repository:
    return with_services(Repository(declared=loans(), project="loans", package=package), services)


def a_view(
    name: str, *features: str, key: str = "zipcode", type: str = "Int64", place: str = "x.yaml:1"
) -> View:
    return View.model_validate(
        {
            "name": name,
            "keys": [{"name": key, "type": type}],
            "features": [{"name": feature, "type": "Float64"} for feature in features],
            "source": f"t/features/{name}/*.parquet",
            "place": place,
        }
    )


def test_objects_are_what_was_described():
    things = {(kind(thing), thing.name): thing for thing in definitions(repository(SCORE))}
    assert set(things) == {
        *(("Entity", "borrower"), ("Entity", "zipcode"), ("FeatureService", "score")),
        *(("FeatureView", "debts"), ("FeatureView", "places")),
    }
    debts = things["FeatureView", "debts"]
    assert debts.join_keys == ["borrower", "zipcode"]
    assert {f.name: str(f.dtype) for f in debts.schema} == {
        "borrower": "String",
        "zipcode": "Int64",
        "owed": "Float64",
        "missed": "Int64",
    }
    assert (debts.ttl.days, debts.batch_source.path) == (30, "loans/features/debts/*.parquet")
    assert debts.batch_source.timestamp_field == "event_timestamp"
    assert [p.name for p in things["FeatureService", "score"].feature_view_projections] == ["places", "debts"]
    assert things["Entity", "zipcode"].description == "Postal code."
    assert things["FeatureView", "places"].features[1].tags == {"unit": "people"}


def test_a_description_reads_the_same_with_and_without_feast():
    described = repository(SCORE)
    assert inputs_without_feast("score", described) == inputs_by_feast("score", described)
    assert read(described).views == read_by_feast(described).views
    assert TypedField("debts", "borrower", "String") in inputs_by_feast("score", described).request_fields


def test_a_description_is_the_same_after_it_was_written_down():
    described = repository(SCORE)
    again = Repository.model_validate_json(described.model_dump_json())
    assert {view.place for view in again.declared.views} == {""}
    assert objects_hash(list(definitions(described))) == objects_hash(list(definitions(again)))


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (
            [a_view("a", "x", place="one.yaml:1"), a_view("A", "x", place="two.yaml:2")],
            r"'a' \(one\.yaml:1\) and feature view 'A' \(two\.yaml:2\) have one name",
        ),
        (
            [a_view("a", "x"), a_view("b", "x", type="String", place="two.yaml:2")],
            r"key 'zipcode' is Int64 in view 'a' \(x\.yaml:1\) and String in view 'b' \(two\.yaml:2\)",
        ),
    ],
)
def test_names_and_types_that_meet_are_refused_with_both_places(views, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        Declared(views=tuple(views))


@pytest.mark.parametrize(
    "column", ["event_timestamp", "created", "content_known_at", "zipcode", "_x", "a__b", "a b"]
)
def test_a_column_that_cannot_be_a_feature_is_refused(column):
    with pytest.raises(pydantic.ValidationError):
        a_view("a", column)
    with pytest.raises(pydantic.ValidationError):
        Key(name="created", type="String")
    with pytest.raises(pydantic.ValidationError):
        Feature.model_validate({"name": "when", "type": "Bytes"})


def test_a_package_and_a_description_stand_beside_each_other(tmp_path, monkeypatch):
    name = package(tmp_path, monkeypatch, "beside", views=VIEWS)
    both = repository(package=name)
    both = with_services(both, [service_of("all", both), service_of("some", both, ["history:age", "places"])])
    assert [inputs.stored for inputs in read(both).services.values()] == [
        ["debts", "history", "places", "streets"],
        ["history", "places"],
    ]
    assert read(both) == read_by_feast(both)


def test_a_package_and_a_description_share_an_entity_of_one_key(tmp_path, monkeypatch):
    name = package(tmp_path, monkeypatch, "sharing", views=VIEWS)
    shared = Repository(
        package=name, declared=Declared(views=(a_view("more", "x", key="city", type="String"),))
    )
    assert [thing.name for thing in definitions(shared) if kind(thing) == "Entity"] == ["city", "customer"]
    assert read(shared) == read_by_feast(shared)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (
            a_view("History", "x"),
            r"feature view 'history' is defined in .* and 'History' \(x\.yaml:1\) is described",
        ),
        (
            a_view("more", "x", key="city"),
            r"entity 'city' is defined in .* type String, and described .* type Int64",
        ),
        (a_view("more", "x", key="customer"), r"entity 'customer' is defined in .* join key 'customer_id'"),
    ],
)
def test_a_package_and_a_description_may_not_meet(tmp_path, monkeypatch, view, message):
    name = package(tmp_path, monkeypatch, "meeting", views=VIEWS)
    meeting = Repository(package=name, declared=Declared(views=(view,)))
    with pytest.raises(FeatureStoreError, match=message):
        read(meeting)
    with pytest.raises(FeatureStoreError, match=message):
        definitions(meeting)


def test_the_place_of_a_packages_object_is_its_line(tmp_path, monkeypatch):
    name = package(tmp_path, monkeypatch, "placed", views=VIEWS)
    with pytest.raises(FeatureStoreError, match=r"views\.py:\d+ and"):
        read(Repository(package=name, declared=Declared(views=(a_view("history", "x"),))))


@pytest.mark.parametrize(
    ("features", "exclude", "expected"),
    [
        (None, [], {"debts": None, "places": None}),
        (None, ["debts"], {"places": None}),
        (None, ["debts:owed"], {"debts": ("missed",), "places": None}),
        (
            ["places:city", "debts", "places:population"],
            [],
            {"places": ("city", "population"), "debts": None},
        ),
        (["places", "debts:owed"], ["places:city"], {"places": ("population",), "debts": ("owed",)}),
    ],
)
def test_features_are_chosen_by_name(features, exclude, expected):
    service = service_of("score", repository(), features, exclude)
    assert {one.view: one.features for one in service.features} == expected


@pytest.mark.parametrize(
    ("features", "exclude", "message"),
    [
        (["nowhere"], [], "there is no feature view 'nowhere'; there are: debts, places"),
        (None, ["places:city", "places:mayor"], "the view 'places' has no mayor; it has city, population"),
        (["places", "places:city"], [], "'places:city' is chosen twice"),
        (["places", "places"], [], "'places' is chosen twice"),
        (["places:city", "places:city"], [], "'places:city' is chosen twice"),
        (["places:city", "places"], [], "'places' is chosen twice"),
        (["places:"], [], "names no feature"),
        (["places"], ["places"], "nothing is left"),
        ([], [], "nothing is left"),
    ],
)
def test_features_that_cannot_be_chosen_are_refused(features, exclude, message):
    with pytest.raises(FeatureStoreError, match=message):
        service_of("score", repository(), features, exclude)


def test_two_services_of_one_name_are_refused():
    with pytest.raises(
        FeatureStoreError, match=r"feature service 'score' \(a\.yaml:2\) and feature service 'score'"
    ):
        repository(SCORE.model_copy(update={"place": "a.yaml:2"}), SCORE)


def test_a_service_of_a_view_that_is_not_there_is_refused_by_feasts_objects_too():
    lacking = Declared(views=loans().views, services=(Service(name="s", features=(Chosen(view="gone"),)),))
    with pytest.raises(FeatureStoreError, match="takes features of the view 'gone', which is not defined"):
        definitions(Repository(declared=lacking, project="loans"))


def test_chosen_keeps_the_order_in_which_views_are_named():
    assert [one.view for one in chosen(["b:x", "a", "b:y"])] == ["b", "a"]
