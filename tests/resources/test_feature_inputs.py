"""The names of a feature service, read without Feast, are those that Feast gives."""

import subprocess
import sys

import pytest

from mlops_assets.stages.entity_rows import refuse_names_that_meet
from mlops_assets.stages.training_set import join_partition
from resources.features.inputs import inputs_by_feast, inputs_without_feast
from resources.features.store import FeatureStoreError, FeatureStoreResource
from resources.lake.lake import Lake
from resources.settings import PROJECT_ROOT
from tests.pumps.project import SPEC


@pytest.mark.parametrize(
    ("service", "repository"),
    [("flight_delay_v1", "mlops_assets.use_cases.flights.features"), ("pump_stops_v1", "tests.pumps.repo")],
)
def test_a_repository_reads_the_same_with_and_without_feast(service, repository):
    assert inputs_without_feast(service, repository) == inputs_by_feast(service, repository)


def test_feast_is_neither_imported_nor_replaced_by_reading():
    code = (
        "import sys; from resources.features.inputs import inputs_without_feast as read; "
        "assert read('flight_delay_v1', 'mlops_assets.use_cases.flights.features'); "
        "print(*[n for n in sys.modules if n.split('.')[0] in ('feast', 'pandas') or n == 'mlops_assets.use_cases.flights.features.views'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_a_repository_that_computes_with_feasts_objects_is_left_to_feast(tmp_path, monkeypatch):
    package = tmp_path / "computing_repo"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "views.py").write_text(
        "from feast import FeatureService, FeatureView\nx = FeatureView(name='x').ttl.days\n"
        "s = FeatureService(name='s', features=[])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert inputs_without_feast("s", "computing_repo") is None


def test_what_the_source_could_not_tell_is_refused_before_the_first_join(tmp_path):
    store = FeatureStoreResource(
        lake_root=str(tmp_path / "lake"), home=str(tmp_path / "feast"), repository="tests.pumps.repo"
    )
    refuse_names_that_meet(SPEC, store)
    given = SPEC.model_copy(update={"label": SPEC.label.model_copy(update={"column": "vibration"})})
    with pytest.raises(FeatureStoreError, match=r"feature 'vibration' of view 'pump_state' is label\.column"):
        join_partition(given, Lake(root=str(tmp_path / "lake")), store, "2024-01-01")
