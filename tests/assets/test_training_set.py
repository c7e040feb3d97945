"""What the training set refuses."""

import pytest

from mlops_assets.spec.prediction import computed_from
from mlops_assets.stages.entity_rows import inputs_made_of_the_label
from mlops_assets.stages.training_set import MixedFeatureDefinitionsError, refuse_mixed_definitions
from resources.lake.lake import Manifest
from tests.pumps.project import SPEC


def manifest(week: str, definitions: str) -> Manifest:
    return Manifest("m/training_set", week, 1, "0" * 64, {}, notes={"feature definitions": definitions})


def test_weeks_of_one_feature_definition_may_train_together():
    refuse_mixed_definitions("m", {w: manifest(w, "a" * 16) for w in ("2013-01-07", "2013-01-14")})


def test_a_mix_of_feature_definitions_is_refused_and_the_weeks_are_named():
    mixed = {
        "2013-01-07": manifest("2013-01-07", "a" * 16),
        "2013-01-14": manifest("2013-01-14", "b" * 16),
        "2013-01-21": manifest("2013-01-21", "b" * 16),
    }
    with pytest.raises(MixedFeatureDefinitionsError) as caught:
        refuse_mixed_definitions("m", mixed)
    assert "aaaaaaaaaaaa: 2013-01-07; bbbbbbbbbbbb: 2013-01-14, 2013-01-21" in str(caught.value)


@computed_from(load="weight stopped_minutes")
def rows_with_a_leak(rows):
    return rows


def test_an_input_that_is_said_to_be_computed_from_the_label_is_refused():
    path = f"{__name__}:rows_with_a_leak"
    spec = SPEC.model_copy(update={"prediction": SPEC.prediction.model_copy(update={"rows": path})})
    (said,) = inputs_made_of_the_label(spec, ["pump", "load"])
    assert f"{path} computes 'load' from 'stopped_minutes'" in said
    assert list(inputs_made_of_the_label(spec, ["pump"])) == []
