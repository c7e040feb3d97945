"""A replay sees that a model was trained by another spec, and leaves one alone whose rules are the same."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.tuning.trials import with_found
from mlops_assets.replay.job import _changes
from mlops_assets.replay.owed import follows
from mlops_assets.spec.decides import changes, spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.search_results import PARAMETERS
from resources.tracking.versions import Version
from tests.flights.shortened import short_spec
from tests.parcel_weeks import search_spec

SPEC = short_spec()
TWO_WEEKS = {"cool_down_days": 14, "max_age_days": 14}


def trained(spec: ModelSpec, **found: object) -> Version:
    """A version that was fitted by a spec, with the parameters that a search found."""
    rules = with_found(spec, found) if found else spec
    tags = {"spec": spec_digest(rules), "trainer": spec.trainer.kind}
    return Version(spec.name, 1, "", "", "", tags | ({PARAMETERS: json.dumps(found)} if found else {}))


@pytest.mark.parametrize(
    "changed",
    [
        {"trainer": SPEC.trainer.model_dump() | {"rounds": 21}},
        {"label": SPEC.label.model_dump() | {"above": 20}},
        {"window": SPEC.window.model_dump() | {"days": 56}},
        {"window": SPEC.window.model_dump() | {"hold_out_days": 14}, "retrain": TWO_WEEKS},
        {"trainer": {"kind": "lightgbm", "categories": ["carrier"]}},
    ],
)
def test_a_version_does_not_follow_a_spec_of_which_something_changed_that_decides_a_fit(changed):
    assert follows(SPEC, trained(SPEC))
    assert not follows(short_spec(**changed), trained(SPEC))


@pytest.mark.parametrize(
    "changed",
    [
        {"retrain": TWO_WEEKS},
        {"owner": "team:other"},
        {"slices": ["dest"]},
        {"automation": "paused"},
        {"description": "x"},
    ],
)
def test_a_version_follows_a_spec_of_which_only_what_becomes_of_it_changed(changed):
    assert follows(short_spec(**changed), trained(SPEC))


def test_parameters_that_a_search_found_are_no_change_while_the_search_is_in_the_spec():
    spec = search_spec()
    version = trained(spec, max_depth=5)
    assert follows(spec, version) and follows(spec, trained(spec))
    assert not follows(search_spec(apply=False), version)
    assert not follows(search_spec({"rounds": 31}), version)
    other = replace(version, tags=version.tags | {"trainer": "lightgbm"})
    assert not follows(spec, other)


JSON = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
    max_leaves=8,
)
CONTENT = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@settings(max_examples=100)
@given(CONTENT, CONTENT)
def test_two_specs_differ_in_no_field_only_if_they_hold_the_same(one, other):
    assert changes(one, one) == {}
    assert set(changes(one, other)) == set(changes(other, one))
    assert bool(changes(one, other)) == (one != other)


def test_what_follows_from_a_changed_file_is_said_before_the_run_goes_on():
    before, rounds = SPEC.model_dump(mode="json"), {**SPEC.trainer.model_dump(), "rounds": 21}
    said = list(
        _changes(
            {"models": {"a": before, "b": before, "c": before}},
            {
                "a": short_spec(trainer=rounds).model_dump(mode="json"),
                "b": short_spec(owner="team:other").model_dump(mode="json"),
                "c": before,
                "new": before,
            },
        )
    )
    assert [line.partition(" changed ")[0] for line in said] == ["a: trainer.rounds", "b: owner"]
    assert "a training by the spec as it is now is due" in said[0] and "no other model" in said[1]
    assert list(_changes({"models": ["a"]}, {"a": before})) == list(_changes(None, {"a": before})) == []
