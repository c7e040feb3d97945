"""Specs that contradict themselves are refused with the value, the rule and the fix."""

import copy
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.commands.train import VariantError, varied
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.use_case import UseCase, reading
from tests.pumps.project import SPEC

NEW_YORK = Calendar(
    cadence="weekly", start=date(2012, 12, 31), end=date(2014, 1, 6), timezone="America/New_York"
)


def changed(**parts) -> ModelSpec:
    content = SPEC.model_dump()
    for name, value in parts.items():
        content[name] = content[name] | value if isinstance(value, dict) else value
    return ModelSpec.model_validate(content)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"window": {"days": 7}}, "window.days=7 leaves nothing to train on beside window.hold_out_days=7"),
        (
            {"window": {"minimum_days": 700}},
            "window.minimum_days=700 is longer than the 63 days of the calendar",
        ),
        (
            {"retrain": {"cool_down_days": 3}},
            "retrain.cool_down_days=3 is shorter than window.hold_out_days=7",
        ),
        (
            {"gate": {"metric": "mae"}},
            "gate metric 'mae' does not exist for task classification: choose from auc",
        ),
        ({"gate": {"tolerance": 0.1}}, "gate.tolerance=0.1 has no meaning for evidence superiority"),
        (
            {"gate": {"evidence": "non_inferiority"}},
            "gate.evidence=non_inferiority needs gate.tolerance above 0: how much worse, in units of log_loss",
        ),
        (
            {"task": "regression", "gate": {"metric": "mae", "floors": {}}},
            "label.above=0 does not fit task regression: it cuts a label into positive and negative",
        ),
        ({"task": "regression"}, "does not exist for task regression"),
        (
            {"promotion": {"mode": "approval"}},
            "promotion.mode=approval and promotion.approvers names nobody",
        ),
        ({"calendar": {"end": date(2024, 3, 5)}}, "are 64 days: give a whole number of weeks"),
        ({"gaet": 1}, "Extra inputs are not permitted"),
        (
            {"trainer": {"kind": "lightgbn"}},
            "kind 'lightgbn' does not exist: choose from xgboost, function, lightgbm",
        ),
        ({"trainer": {"rounds": 0}}, "trainer.rounds\n  Input should be greater than or equal to 1"),
        ({"trainer": {"kind": "torch_tabular"}}, "trainer.parameters\n  Extra inputs are not permitted"),
    ],
)
def test_a_spec_that_contradicts_itself_says_what_and_how_to_mend_it(parts, message):
    content = SPEC.model_dump()
    for name, value in parts.items():
        content[name] = content.get(name, {}) | value if isinstance(value, dict) else value
    with pytest.raises(pydantic.ValidationError) as caught:
        ModelSpec.model_validate(content)
    assert message in str(caught.value)


BAD_NUMBERS = st.sampled_from([math.nan, math.inf, -math.inf])


def numbers_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every fraction that a spec holds."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        if isinstance(part, float):
            yield (*path, name)
        yield from numbers_in(part, (*path, name))


EVERY_NUMBER = {
    "label": {"column": "reading", "known_at": "read_at", "above": 15.0},
    "gate": {
        "metric": "log_loss",
        "floors": {"auc": 0.6, "log_loss": 0.7},
        "evidence": "non_inferiority",
        "tolerance": 0.01,
        "alpha": 0.05,
        "power": 0.8,
        "guards": {
            "slice_tolerance": 0.0,
            "calibration_tolerance": 0.0,
            "latency_ms": 5.0,
            "size_mb": 9.0,
        },
    },
    "drift": {"psi": 0.25},
    "retrain": {"metric_worse_by": 0.1, "prediction_psi_above": 0.2, "drift_share_above": 0.5},
    "trainer": {
        "kind": "xgboost",
        "validation_share": 0.2,
        "resources_per_worker": {"CPU": 1.0},
        "parameters": {"eta": 0.3, "monotone": [0.0, {"deep": 1.0}]},
    },
    "search": {
        "minutes": 3.0,
        "space": {
            "gamma": {"low": 0.0, "high": 1.0},
            "eta": {"choices": [0.1, 0.2]},
        },
        "asha": {"reduction": 3.0},
    },
}
NETWORK = {"kind": "torch_tabular", "dropout": 0.1, "learning_rate": 0.001, "weight_decay": 0.0001}
OWN = {"kind": "function", "loop": "a:b", "scorer": "a:c", "parameters": {"rates": [0.1, {"slow": 0.2}]}}


def everywhere() -> Iterator[tuple[dict[str, Any], tuple[Any, ...]]]:
    whole = SPEC.model_dump() | EVERY_NUMBER
    for content in (whole, *(whole | {"search": None, "trainer": trainer} for trainer in (NETWORK, OWN))):
        ModelSpec.model_validate(content)
        yield from ((content, path) for path in numbers_in(content))


@given(st.sampled_from(list(everywhere())), BAD_NUMBERS)
def test_no_number_of_a_spec_may_be_nan_or_infinite_and_the_field_is_named(place, bad):
    content, path = copy.deepcopy(place[0]), place[1]
    part = content
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = bad
    with pytest.raises(pydantic.ValidationError) as caught:
        ModelSpec.model_validate(content)
    said = str(caught.value)
    assert "finite number" in said
    assert all(str(name) in said for name in path if isinstance(name, str))


@pytest.mark.parametrize("text", ["nan", "NaN", "-inf", "Infinity"])
def test_a_text_that_a_library_reads_as_nan_or_infinite_is_refused_too(text):
    with pytest.raises(pydantic.ValidationError, match=r"eta is '.*', which is no finite number"):
        changed(trainer={"parameters": {"eta": text}})
    with pytest.raises(VariantError, match=r"eta is .*, which is no finite number"):
        varied(SPEC, [f"eta={text}"])


def test_yaml_reads_on_as_true_and_the_spec_takes_it_back():
    assert changed(automation=True).automation == "on"


@given(days=st.integers(0, 370), hours=st.integers(0, 23))
def test_days_before_and_days_between_agree_over_both_clock_changes(days, hours):
    moment = datetime(2014, 1, 6, hours, tzinfo=UTC)
    earlier = NEW_YORK.days_before(moment, days)
    assert NEW_YORK.days_between(earlier, moment) == pytest.approx(days, abs=1 / 24 + 1e-9)


def test_four_weeks_from_midnight_to_midnight_are_28_days_though_a_clock_changes_between():
    start, end = NEW_YORK.partition("2013-02-25").end, NEW_YORK.partition("2013-03-25").end
    assert (end - start).total_seconds() / 86_400 < 28
    assert NEW_YORK.days_between(start, end) == 28
    assert NEW_YORK.days_before(end, 28) == start


def test_a_variant_changes_fields_of_the_trainer_or_parameters_of_xgboost():
    trainer = varied(SPEC, ["max_depth=8", "rounds=10", "eta=0.3"]).trainer
    assert (trainer.rounds, trainer.parameters) == (10, {"max_depth": 8, "eta": 0.3})


@pytest.mark.parametrize(("change", "message"), [("max_depth", "is not NAME=VALUE"), ("rounds=0", "rounds")])
def test_a_variant_that_cannot_be_tried_is_refused(change, message):
    with pytest.raises(VariantError, match=message):
        varied(SPEC, [change])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["max_depth=8", "max_depth=9"], "max_depth is set twice, to 8 and to 9: keep one"),
        (["max_depth=12:30"], "--set max_depth:1: the document: 12:30 is 750 in YAML 1.1"),
        (["max_depth={a: 1, a: 2}"], "--set max_depth:1: a is given twice"),
        (["max_depth=["], "--set max_depth:1: not YAML that can be read"),
        (["gpu=off"], "off is false in YAML 1.1"),
        (["rounds=true"], "true is not a number"),
    ],
)
def test_a_variant_that_says_two_things_is_refused(changes, message):
    with pytest.raises(VariantError) as caught:
        varied(SPEC, changes)
    assert message in str(caught.value)


def test_a_small_number_is_a_number_in_a_variant_too():
    assert varied(SPEC, ["eta=1e-3"]).trainer.parameters["eta"] == 0.001


@given(st.integers() | st.floats() | st.booleans() | st.text(max_size=12) | st.none())
def test_a_first_day_is_a_day_that_is_written_as_one_or_refused(value):
    content = {"start": value, "end": date(2014, 1, 6)}
    with pytest.raises(pydantic.ValidationError) as caught:
        Calendar.model_validate({"cadence": "weekly", **content})
    assert caught.value.errors()[0]["loc"] == ("start",)


@given(
    st.text(max_size=20)
    | st.sampled_from(["America", "right/UTC", "posixrules", "../UTC", "", "UTC\0", "a" * 300])
)
def test_a_time_zone_exists_or_is_refused_by_name(name):
    try:
        found = Calendar.model_validate(
            {"cadence": "weekly", "start": "2012-12-31", "end": "2014-01-06", "timezone": name}
        )
    except pydantic.ValidationError as error:
        assert error.errors()[0]["loc"] == ("timezone",)
    else:
        assert (ZoneInfo(found.timezone).key, "/" in name and name.startswith("right")) == (name, False)


OLD_WEEKS = {"start": "2024-01-01", "end": "2024-03-04", "timezone": "Europe/Berlin"}


def test_weeks_of_an_earlier_release_are_a_calendar_of_weeks():
    content = {name: value for name, value in SPEC.model_dump().items() if name != "calendar"}
    found = ModelSpec.model_validate(content | {"weeks": OLD_WEEKS}).calendar
    assert found == Calendar.model_validate({"cadence": "weekly", **OLD_WEEKS})


def test_a_model_inherits_the_calendar_of_its_use_case_and_needs_one():
    content = {name: value for name, value in SPEC.model_dump().items() if name != "calendar"}
    daily = Calendar(cadence="daily", start=date(2024, 1, 1))
    use_case = UseCase(name="pumps", owner="team:water", calendar=daily)
    with reading(use_case):
        assert ModelSpec.model_validate(content).calendar == daily
        assert ModelSpec.model_validate(content | {"weeks": OLD_WEEKS}).calendar.cadence == "weekly"
    with pytest.raises(
        pydantic.ValidationError, match=r"there is no calendar: give one in the use case's use_case\.yaml"
    ):
        ModelSpec.model_validate(content)


def test_a_calendar_without_an_end_has_room_for_any_history():
    endless = {"cadence": "daily", "start": date(2024, 1, 1)}
    found = ModelSpec.model_validate(
        SPEC.model_dump() | {"calendar": endless, "window": {"minimum_days": 700}}
    )
    assert found.window.minimum_days == 700
