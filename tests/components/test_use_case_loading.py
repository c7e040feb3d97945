"""Loading a use case costs what its models cost: nothing is made for each of them that none of them needs."""

import pytest

from mlops_assets.components.use_case import load_use_case
from resources.use_case_folders import use_case_folders


def test_no_schemas_of_installed_components_are_made_for_each_model(monkeypatch):
    import dagster.components.core.load_defs as loading

    monkeypatch.setattr(
        loading, "get_library_json_enriched_defs", lambda tree: pytest.fail("schemas were made")
    )
    (flights,) = (folder for folder in use_case_folders() if folder.name == "flights")
    found = load_use_case(flights)
    assert {"flight_delay", "arrival_minutes"} <= set(found.specs)
    assert len(list(found.defs.assets or [])) > 20
