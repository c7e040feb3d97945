"""A model lives by the clock of its use case; one that is read on its own, by the data's."""

import pytest

from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.use_case import UseCase, reading
from tests.pumps.project import SPEC

WRITTEN = {name: value for name, value in SPEC.model_dump().items() if name != "clock"}


@pytest.mark.parametrize("clock", ["data", "wall"])
def test_it_is_inherited(clock):
    calendar = Calendar.model_validate({"cadence": "daily", "start": "2024-01-01"})
    with reading(UseCase(name="pumps", owner="team:water", calendar=calendar, clock=clock)):
        assert ModelSpec.model_validate(WRITTEN).clock == clock
    assert ModelSpec.model_validate(WRITTEN).clock == "data"
