"""One reading of a feature repository: what the stand-in tells is what Feast's own objects are, however they are made."""

import logging
import subprocess
import sys

import pytest

from resources.features.feature_repository import FeatureStoreError
from resources.features.inputs import (
    TypedField,
    inputs_by_feast,
    inputs_without_feast,
    read,
    read_by_feast,
    service_inputs,
    service_names,
    service_views,
)
from resources.features.stand_in import ALL
from resources.settings import PROJECT_ROOT
from tests.resources.features.repositories import VIEWS, package

SERVICE = "from feast import FeatureService\n"
KINDS = {
    "imported_with_a_star": {
        "views": VIEWS,
        "services": f"{SERVICE}from .views import *\none = FeatureService(name='one', features=[history])\n",
        "every": "from NAME.services import *\n",
    },
    "in_the_package_itself": {
        "views": VIEWS,
        "__init__": f"{SERVICE}from . import views\nfrom NAME.views import history\n"
        "one = FeatureService(name='one', features=[history[['age']], views.streets])\n",
    },
    "in_modules_below": {
        "stored__views": VIEWS,
        "stored__models__one": f"{SERVICE}from ..views import history\none = FeatureService(name='one', features=[history])\n",
        "two": f"{SERVICE}import NAME.stored.views as v\ntwo = FeatureService(name='two', features=[v.streets])\n",
    },
    "with_a_list_of_names": {
        "__init__": "__all__ = ['views']\n",
        "views": f"{VIEWS}__all__ = ['history']\n",
        "services": f"{SERVICE}from NAME import *\none = FeatureService(name='one', features=[views.history])\n",
    },
    "built_in_loops": {
        "views": VIEWS,
        "services": f"{SERVICE}from .views import history, streets\n"
        "listed = [FeatureService(name=f'listed_{n}', features=[v]) for n, v in enumerate([history, streets])]\n"
        "by_name = {n: FeatureService(name=n, features=[history[[n]]]) for n in ('amount', 'age')}\n"
        "for number in range(2):\n"
        "    globals()[f's{number}'] = FeatureService(name=f's{number}', features=[streets])\n",
    },
    "built_by_functions": {
        "views": VIEWS,
        "made": f"{SERVICE}def service(name, *views):\n    return FeatureService(name=name, features=list(views))\n",
        "services": "from . import views\nfrom .made import service as make\n"
        "one, two = make('one', views.history), make('two', views.streets, views.history[['amount']])\n",
    },
    "computed_on_demand": {
        "views": VIEWS,
        "services": f"{SERVICE}from feast import Field, RequestSource\nfrom feast.types import Array, Float64, Int64\n"
        "from feast.on_demand_feature_view import on_demand_feature_view\nfrom .views import history, streets\n"
        "asked = RequestSource(name='asked', schema=[Field(name='at', dtype=Array(Int64))])\n"
        "@on_demand_feature_view(sources=[asked, streets], schema=[Field(name='wide', dtype=Float64)], mode='pandas')\n"
        "def derived(columns):\n    return columns[['width']]\n"
        "one = FeatureService(name='one', features=[history, derived])\n",
    },
}


@pytest.fixture
def repository(tmp_path, monkeypatch, request):
    """A package of one kind, which is forgotten afterwards."""
    name = f"reading_{request.node.callspec.params['kind']}"
    modules = {
        path: text.replace("NAME", name) for path, text in KINDS[request.node.callspec.params["kind"]].items()
    }
    yield package(tmp_path, monkeypatch, name, **modules)
    for module in [module for module in sys.modules if f"{module}.".startswith(f"{name}.")]:
        del sys.modules[module]


@pytest.mark.parametrize("kind", KINDS)
def test_services_are_found_and_told_as_feast_has_them(repository, kind, caplog):
    found, real = read(repository), read_by_feast(repository)
    assert caplog.records == []
    assert found.services.keys() == real.services.keys() != set()
    for name, inputs in real.services.items():
        assert found.services[name] == inputs
        assert inputs.given and inputs.request_fields
    assert found.views == real.views


@pytest.mark.parametrize("kind", ["built_in_loops"])
def test_names_and_types_are_those_that_were_written(repository, kind):
    assert service_names(repository) == ["age", "amount", "listed_0", "listed_1", "s0", "s1"]
    assert service_views("s1", repository) == ["streets"]
    inputs = service_inputs("age", repository)
    assert inputs.given == [TypedField("history", "age", "Float32")]
    assert inputs.request_fields == [TypedField("history", "customer_id", "Int64")]


@pytest.mark.parametrize("kind", ["computed_on_demand"])
def test_a_request_column_is_typed_and_what_is_behind_is_named(repository, kind):
    inputs = service_inputs("one", repository)
    assert (inputs.requests, inputs.stored) == (["at"], ["history", "streets"])
    assert inputs.behind == {"streets": ["width"]}
    assert TypedField("asked", "at", "Array(Int64)") in inputs.request_fields


@pytest.mark.parametrize("kind", list(KINDS)[:3])
def test_reading_imports_neither_feast_nor_the_package(repository, kind, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from resources.features.inputs import inputs_without_feast as f; "
        f"assert f('one', {repository!r}); "
        f"print(*[m for m in sys.modules if m.split('.')[0] in ('feast', {repository!r})])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


COMPUTING = VIEWS + (
    "from feast import FeatureService\ndays = history.ttl.days\n"
    "one = FeatureService(name='one', features=[history])\n"
)


def test_what_a_stand_in_cannot_tell_is_told_by_feast_and_the_log_says_so(tmp_path, monkeypatch, caplog):
    name = package(tmp_path, monkeypatch, "reading_computed", views=COMPUTING)
    assert inputs_without_feast("one", name) is None
    with caplog.at_level(logging.WARNING):
        assert service_inputs("one", name) == inputs_by_feast("one", name)
        assert service_names(name) == ["one"]
    assert ["reading_computed cannot be read without Feast" in r.getMessage() for r in caplog.records] == [
        True
    ]


def test_objects_that_a_module_outside_of_the_package_makes_are_left_to_feast(tmp_path, monkeypatch, caplog):
    package(tmp_path, monkeypatch, "reading_outside", views=VIEWS)
    name = package(
        tmp_path,
        monkeypatch,
        "reading_inside",
        services=f"{SERVICE}from reading_outside.views import *\none = FeatureService(name='one', features=[history])\n",
    )
    assert service_inputs("one", name).features == {"history": ["amount", "age"]}
    assert caplog.records


def test_a_module_that_fails_is_named_with_its_line(tmp_path, monkeypatch):
    name = package(tmp_path, monkeypatch, "reading_broken", views=VIEWS + "\n\nnothing = 1 / 0\n")
    line = VIEWS.count("\n") + 3
    with pytest.raises(
        FeatureStoreError, match=rf"reading_broken\.views cannot be imported \(.*views\.py:{line}\): Zero"
    ):
        service_names(name)


def test_a_service_that_is_not_there_is_refused_with_those_that_are(tmp_path, monkeypatch):
    with pytest.raises(
        FeatureStoreError, match="defines no feature service 'other'; there are: pump_stops_v1"
    ):
        service_inputs("other", "tests.pumps.repo")
    with pytest.raises(FeatureStoreError, match="'no_such_package'"):
        service_names("no_such_package")


def test_a_change_of_a_file_is_seen(tmp_path, monkeypatch):
    text = f"{VIEWS}from feast import FeatureService\none = FeatureService(name='NAME', features=[history])\n"
    name = package(tmp_path, monkeypatch, "reading_changed", views=text.replace("NAME", "before"))
    assert service_names(name) == ["before"]
    (tmp_path / name / "views.py").write_text(text.replace("NAME", "after_it"))
    assert service_names(name) == ["after_it"]


def test_what_a_star_brings_of_feast_is_there():
    from importlib import import_module

    for module, names in ALL.items():
        assert [name for name in names if not hasattr(import_module(module), name)] == []
