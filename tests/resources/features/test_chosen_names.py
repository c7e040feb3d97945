"""A name of a feature means one thing, or is refused with all that it may mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.features.chosen_store import full_name
from resources.features.errors import FeatureStoreError

NAMES = st.sampled_from(["weather", "wind", "rain", "depot", "load", "late"])
VIEWS = st.dictionaries(NAMES, st.lists(NAMES, unique=True, max_size=4), max_size=4)


@given(NAMES, VIEWS)
def test_a_name_is_completed_where_exactly_one_thing_has_it(name, views):
    owners = [view for view, features in views.items() if name in features]
    meanings = [*owners, *([name] if name in views else [])]
    if len(meanings) == 1:
        assert full_name(name, views) == (f"{owners[0]}:{name}" if owners else name)
        return
    with pytest.raises(FeatureStoreError) as refused:
        full_name(name, views)
    assert all(f"{view}:{name}" in str(refused.value) for view in owners)


@given(NAMES, NAMES, VIEWS)
def test_a_name_with_its_view_stays_as_it_is(view, feature, views):
    assert full_name(f"{view}:{feature}", views) == f"{view}:{feature}"
