"""A lineage is one document with one hash, and whoever changes a part of it is told which part."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.provenance.differences import Difference, differences
from resources.records.lineage import Lineage, LineageError, partitions

SECTIONS = [field.serialization_alias or name for name, field in Lineage.model_fields.items()]
NAMES = st.text("abcxyz", min_size=1, max_size=4)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
TABLES = st.dictionaries(NAMES, st.dictionaries(NAMES, HASHES, max_size=3), max_size=3)


def lineage(**changes):
    given_ = {
        "model": "late_parcel",
        "kind": "refit",
        "week": "2024-01-08",
        "sources": {"parcels/raw": {"2024-01-01": "a" * 64, "2024-01-08": "b" * 64}},
        "pushed": {},
        "definitions": {"depot_load": "1" * 16},
        "spec": {"trainer": {"parameters": {"max_depth": 7, "eta": 0.1}, "seed": 3}},
        "seed": 3,
        "rounds": 12,
        "parameters": None,
        "packages": {"polars": "2.1.0"},
        "lock": "c" * 64,
        "platform": {"system": "Linux", "cpu": ["avx2", "fma"]},
        "code": {"revision": "r1", "clean": True, "digest": "d" * 64, "files": {"a.py": "1", "b.py": "2"}},
        "layout": {"step": "in process", "workers": 1},
        "tables": {"features/depot_load": {"2024-01-01": "e" * 64}},
        "training_set": {"2024-01-01": "f" * 64},
        "result": {"sha256": "9" * 64, "rounds": 12},
    }
    return Lineage(**given_ | changes)


def now(**changes):
    whole = vars(lineage())
    return {
        name: whole[name] for name in ("definitions", "spec", "packages", "lock", "platform", "code")
    } | changes


@given(
    sources=TABLES,
    tables=TABLES,
    definitions=st.dictionaries(NAMES, HASHES),
    rounds=st.none() | st.integers(1),
)
def test_what_is_written_is_read_back_and_has_the_same_bytes_whatever_order_it_was_gathered_in(
    sources, tables, definitions, rounds
):
    whole = lineage(sources=sources, tables=tables, definitions=definitions, rounds=rounds)
    assert Lineage.read(whole.to_bytes(), whole.sha256) == whole
    backwards = {table: dict(reversed(found.items())) for table, found in reversed(sources.items())}
    assert whole.model_copy(update={"sources": backwards}).to_bytes() == whole.to_bytes()


@given(section=st.sampled_from(SECTIONS), value=st.integers() | st.text(max_size=5) | st.just([]))
def test_a_changed_section_is_refused_and_named(section, value):
    document = json.loads(lineage().to_bytes())
    if document[section] == value:
        return
    document[section] = value
    altered = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(LineageError, match=f"changed: {section} "):
        Lineage.read(altered, lineage().sha256)
    with pytest.raises(LineageError, match=f"changed: {section} "):
        Lineage.read(altered)


def test_a_section_whose_hash_was_made_anew_is_still_not_the_registered_lineage():
    forged = lineage(seed=4)
    assert Lineage.read(forged.to_bytes()) == forged
    with pytest.raises(LineageError, match="changed: the hashes themselves"):
        Lineage.read(forged.to_bytes(), lineage().sha256)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is not JSON"),
        (b"[]", "holds a list"),
        (
            lineage().to_bytes().replace(b'"format":2', b'"format":3'),
            "has version 3, this release reads up to 2",
        ),
    ],
)
def test_what_is_no_lineage_is_refused_in_words(content, told):
    with pytest.raises(LineageError, match=told):
        Lineage.read(content)


def test_nothing_differs_from_itself_and_a_new_revision_of_the_same_files_is_no_difference():
    assert differences(lineage(), now()) == []
    moved_on = lineage().code | {"revision": "r2", "clean": False}
    assert differences(lineage(), now(code=moved_on)) == []


def test_each_entry_that_differs_is_named_with_both_values_the_most_specific_first():
    found = differences(
        lineage(),
        {
            "code": lineage().code | {"files": {"a.py": "1", "b.py": "3"}},
            "platform": {"system": "Linux", "cpu": ["avx2"]},
            "packages": {"polars": "2.2.0", "numpy": "2.0"},
            "lock": None,
            "spec": {"trainer": {"parameters": {"max_depth": 6, "eta": 0.1}, "seed": 3}},
            "definitions": {"depot_load": "2" * 16},
        },
    )
    assert found == [
        Difference("feature definition depot_load", "1" * 16, "2" * 16),
        Difference("spec trainer.parameters.max_depth", "7", "6"),
        Difference("package numpy", "none", "2.0"),
        Difference("package polars", "2.1.0", "2.2.0"),
        Difference("lock requirements.lock", "c" * 64, "none"),
        Difference("platform cpu", '["avx2", "fma"]', '["avx2"]'),
        Difference("code b.py", "2", "3"),
    ]
    assert str(found[4]) == "lock requirements.lock: cccccccccccc… then, none now"


def test_what_is_not_given_is_not_compared():
    assert differences(lineage(), {}) == []


def test_partitions_come_table_by_table_oldest_first():
    hashes = {"b": {"2": "x", "1": "y"}, "a": {"all": "z"}}
    assert list(partitions(hashes)) == [("a", "all", "z"), ("b", "1", "y"), ("b", "2", "x")]


@pytest.mark.parametrize(
    "name", ["..", "../../etc", "/etc", "a/../b", "", "a//b", ".hidden", "a\\b", "a\0b", "a b"]
)
@pytest.mark.parametrize(
    "place",
    [
        lambda name: {"model": name},
        lambda name: {"week": name},
        lambda name: {"sources": {name: {"2024-01-01": "a" * 64}}},
        lambda name: {"sources": {"parcels/raw": {name: "a" * 64}}},
        lambda name: {"tables": {name: {"all": "a" * 64}}},
        lambda name: {"tables": {"features/depot_load": {name: "a" * 64}}},
        lambda name: {"training_set": {name: "a" * 64}},
        lambda name: {"pushed": {name: {}}},
        lambda name: {"pushed": {"2024-01-01": {name: {}}}},
    ],
)
def test_a_name_that_leads_out_of_a_folder_is_refused_wherever_it_stands(place, name):
    document = lineage().to_bytes()
    with pytest.raises(LineageError, match="is no name of a model, table or partition"):
        lineage(**place(name))
    assert Lineage.read(document) == lineage()
