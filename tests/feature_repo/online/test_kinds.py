"""The types that are known without Feast are Feast's: names, numbers, and places in a dictionary."""

from feast.type_map import NULL_TIMESTAMP_INT_VALUE
from feast.value_type import ValueType

from feature_repo.online_store.codec import kinds


def test_every_type_is_there_and_stands_for_feasts_own():
    assert {kind.name: kind.value for kind in kinds.ValueType} == {k.name: k.value for k in ValueType}
    for theirs in ValueType:
        ours = kinds.of(theirs)
        assert ours == theirs and theirs == ours and {ours: 1}[theirs] == {theirs: 1}[ours] == 1
        assert kinds.feasts(ours) is theirs
    assert kinds.ValueType.FLOAT != ValueType.DOUBLE


def test_a_missing_moment_is_stored_as_feast_stores_it():
    assert kinds.NULL_TIMESTAMP_INT_VALUE == NULL_TIMESTAMP_INT_VALUE
