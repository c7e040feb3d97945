"""A label has one meaning, what clashes is refused with value, rule and fix, and a spec from before keeps its content."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic
import pytest

from mlops_assets.spec.decides import of_a_fit, spec_digest
from mlops_assets.spec.label import Label
from mlops_assets.spec.maturity import days_of_waiting, held_out_from, judged_age, matured_until
from mlops_assets.spec.model import ModelSpec
from tests.ml.conftest import parcel_spec

NOW = datetime(2020, 6, 1, tzinfo=UTC)


LATE: dict[str, dict[str, Any]] = {
    "at once": {"known_at": "seen"},
    "with a horizon": {"known_at": "seen", "horizon": "30d"},
    "delayed": {"delay": "30d"},
    "an event": {"within": "30d"},
    "an event that is known early": {"within": "30d", "known_at": "seen"},
    "in a table of its own": {"table": "parcels/outcomes", "known_at": "seen", "horizon": "30d"},
}


@pytest.mark.parametrize("label", LATE.values(), ids=LATE.keys())
def test_a_label_means_one_thing_and_survives_being_written_down(label):
    spec = parcel_spec(label={"column": "delay", "above": 15, **label})
    assert ModelSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert spec_digest(ModelSpec.model_validate_json(spec.model_dump_json())) == spec_digest(spec)
    assert judged_age(spec) == (timedelta(0) if label == LATE["at once"] else timedelta(days=30))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            {},
            "nothing says when the label is known: give label.known_at (a column), label.delay or label.within",
        ),
        (
            {"delay": "30d", "known_at": "seen"},
            "label.delay=30d and label.known_at=seen say twice when the label",
        ),
        (
            {"delay": "30d", "within": "2d"},
            "label.delay=30d and label.within=2d say twice when a row counts: keep one",
        ),
        (
            {"within": "30d", "horizon": "30d", "known_at": "seen"},
            "label.within=30d and label.horizon=30d say twice",
        ),
        (
            {"horizon": "30d"},
            "label.horizon=30d says by when labels are known and no label.known_at says when each",
        ),
        ({"table": "parcels/"}, "String should match pattern"),
        ({"table": "parcels/outcomes"}, "nothing says when the label is known"),
        ({"delay": 30}, "30 is not a duration"),
        ({"delay": "0d"}, "label.delay=0s is no span: give one above 0s"),
    ],
)
def test_what_clashes_is_refused_with_value_rule_and_fix(label, message):
    with pytest.raises(pydantic.ValidationError) as caught:
        Label.model_validate({"column": "delay", **label})
    assert message in str(caught.value)


def test_a_spec_from_before_has_the_content_that_it_had():
    label = parcel_spec().model_dump(mode="json")["label"]
    assert label == {"column": "delay", "known_at": "seen", "above": 15.0}
    assert of_a_fit(parcel_spec().model_dump(mode="json"))["label"] == label


def test_a_classification_needs_no_threshold_and_a_regression_has_none():
    assert parcel_spec(label={"column": "late", "known_at": "seen"}).label.above is None
    with pytest.raises(pydantic.ValidationError, match="it cuts a label into positive and negative"):
        parcel_spec(task="regression", gate={"metric": "mae", "floors": {"mae": 50}})


def test_a_spec_that_cannot_work_is_refused_with_the_arithmetic():
    with pytest.raises(pydantic.ValidationError) as caught:
        parcel_spec(label={"column": "late", "delay": "160d"})
    said = "window.minimum_days=28 and the 160d that labels take are longer than the 182 days"
    assert said in str(caught.value)
    with pytest.raises(pydantic.ValidationError) as caught:
        parcel_spec(window={"hold_out_days": 5}, retrain={"cool_down_days": 5})
    assert "window.hold_out_days=5 is shorter than a partition of 7 days" in str(caught.value)
    assert parcel_spec(label={"column": "late", "delay": "150d"})


def test_the_hold_out_is_of_the_days_whose_horizon_has_passed():
    spec = parcel_spec(label={"column": "late", "delay": "30d"})
    assert matured_until(spec, NOW) == datetime(2020, 5, 2, tzinfo=UTC)
    assert held_out_from(spec, NOW) == datetime(2020, 4, 18, tzinfo=UTC)
    assert days_of_waiting(spec) == 30
    assert days_of_waiting(parcel_spec(label={"column": "late", "delay": "36h"})) == 2
    assert held_out_from(parcel_spec(), NOW) == datetime(2020, 5, 18, tzinfo=UTC)
