"""Which code runs is decided by the specs in the repository, not by what a record, a lineage or a file names."""

from typing import Any, cast

import pytest

from mlops_assets.spec import files
from mlops_assets.spec.model import ModelSpec
from mlops_assets.verify.rebuild import Rebuild
from mlops_assets.verify.verdict import verify
from tests.ml.conftest import parcel_spec
from tests.ml.provenance.test_lineage_document import lineage
from tests.models_folder import models_folder, specs

OS = "os:system"


class Untouched:
    """A rebuild that nobody may begin."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


def spec_naming(path: str, where: str) -> ModelSpec:
    if where == "rows":
        given = parcel_spec()
        return given.model_copy(update={"prediction": given.prediction.model_copy(update={"rows": path})})
    trainer = {
        "kind": "function",
        "loop": "tests.ml.training.trainers.loops:depot_rates",
        "scorer": "tests.ml.training.trainers.loops:Rates",
    }
    return parcel_spec(trainer=trainer | {where: path})


@pytest.mark.parametrize("where", ["rows", "loop", "scorer"])
@pytest.mark.parametrize("declared", [parcel_spec(), None])
def test_a_lineage_that_names_code_which_no_spec_does_is_not_rebuilt(where, declared):
    forged = lineage(spec=spec_naming(OS, where).model_dump(mode="json"))
    verdict = verify(forged, cast(Rebuild, Untouched()), declared)
    assert verdict.outcome == "DIFFERENT"
    assert f"code {OS}" in {difference.node for difference in verdict.differences}
    assert "earlier_code" in str(verdict)


def test_code_that_the_spec_lists_as_earlier_is_rebuilt(monkeypatch):
    forged = lineage(
        spec=spec_naming("tests.ml.training.trainers.loops:Bytes", "rows").model_dump(mode="json")
    )
    declared = parcel_spec().model_copy(update={"earlier_code": ["tests.ml.training.trainers.loops:Bytes"]})
    with pytest.raises(AssertionError, match="sources was asked for"):
        verify(forged, cast(Rebuild, Untouched()), declared)


def test_the_specs_read_without_dagster_are_those_of_the_components(tmp_path):
    built = specs(models_folder(tmp_path))
    read = {name: spec for name, spec in files.declared_specs().items() if spec.use_case == "flights"}
    assert {name: spec.model_dump() for name, spec in read.items()} == {
        n: s.model_dump() for n, s in built.items()
    }
    assert "mlops_assets.use_cases.flights.request:entity_rows" in files.declared_code()
