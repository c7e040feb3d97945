"""Two fingerprints differ by the names of what changed, came or went."""

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.provenance.digest import differences

NAMES = st.sampled_from(["code", "rules", "gate", "rows"])
FINGERPRINTS = st.dictionaries(NAMES, st.sampled_from(["a", "b"]))


@given(before=FINGERPRINTS, now=FINGERPRINTS)
def test_whatever_changed_came_or_went_is_a_difference_and_nothing_else(before, now):
    alike = {name for name, digest in before.items() if now.get(name) == digest}
    assert differences(before, now) == sorted((before.keys() | now.keys()) - alike)
