"""Feast is imported without what nobody asked for yet, and tells a definition with a wrong type as it always does."""

import inspect
import subprocess
import sys

import pytest
from typeguard import TypeCheckError, typechecked

from resources.settings import PROJECT_ROOT

DECLARED = {
    *("Entity", "FeatureView", "FeatureService", "Field", "FileSource", "PushSource", "RequestSource"),
    "on_demand_feature_view.OnDemandFeatureView",
}


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_definition_with_a_wrong_type_is_told_by_its_constructor(name):
    import feast

    module, _, last = name.rpartition(".")
    kind = getattr(getattr(feast, module) if module else feast, last)
    parameters = inspect.signature(kind).parameters.values()
    required = {one.name for one in parameters if one.default is one.empty}
    with pytest.raises(
        TypeCheckError, match=r'argument "(name|path)" \((int|None)\) is not an instance of str'
    ):
        kind(**dict.fromkeys(required) | {"name": 3})


@typechecked
class Later:
    def grow(self, by: int) -> int:
        return by


def test_what_others_decorate_is_checked_in_every_method():
    with pytest.raises(TypeCheckError, match='argument "by"'):
        Later().grow("much")  # type: ignore[arg-type]


def test_torch_is_imported_by_who_asks_for_it():
    program = "import sys, resources.features, feast; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    torch = pytest.importorskip("torch")
    from feast.infra.offline_stores import offline_store

    assert offline_store.get_torch() is torch
