"""A record of a newer release is refused in a sentence, one of an older is brought forward, and nothing is half read."""

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lake.lake import Lake
from resources.records.attempts import Attempt, Challenger, Timings, digest_of
from resources.records.deployment import Deployment, deployment_in
from resources.records.documents import load_note, load_record, save_note, save_record
from resources.records.moved import MOVED
from resources.records.notes import Making, Reading
from resources.records.progress import OnlineContent, ReplayProgress
from resources.records.reader import Content, Record, RecordError, numbered, read_record
from resources.records.searches import WinningParameters
from resources.records.standing import PlatformStatus
from resources.records.tags import tags_forward, tags_to_write
from tests import record_samples
from tests.standings import unknown

SAMPLES = {
    "challenger": record_samples.challenger(),
    "evaluation": record_samples.attempt(),
    "timings": Timings(contenders=[{"model": "challenger", "bytes": 3}]),
    "reference": record_samples.reference(),
    "search": record_samples.search_result(),
    "deployment": record_samples.deployment(),
    "making": Making(
        sha256="a" * 64, fingerprint={"rows": "b"}, kept={"counts": {"rows": 3}}, at="now", run="r"
    ),
    "reading": Reading(read="a", rows="b"),
    "progress": ReplayProgress(through="2024-01-22"),
    "status": PlatformStatus(asked_at="2024-01-15T06:00:00+00:00", models=(unknown("m", champion=3),)),
}
KINDS = st.sampled_from(sorted(SAMPLES))


def as_bytes(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_written_has_its_version_and_is_read_back(name):
    record = SAMPLES[name]
    document = record.document()
    assert document["record_version"] == record.newest() == (2 if name in ("deployment", "status") else 1)
    assert read_record(type(record), as_bytes(document), "here") == record


@given(KINDS, st.integers(1, 10**6))
def test_a_newer_version_is_refused_with_the_record_both_versions_and_the_fix(name, ahead):
    record = SAMPLES[name]
    newer = record.document() | {"record_version": record.newest() + ahead, "of the future": 1}
    with pytest.raises(RecordError) as refused:
        read_record(type(record), as_bytes(newer), "lake/x.json")
    said = str(refused.value)
    assert said.startswith(f"lake/x.json: {record.CALLED} has version {record.newest() + ahead}, ")
    assert f"reads up to {record.newest()}" in said and "use that one, or restore" in said


@given(
    KINDS, st.one_of(st.integers(max_value=-1), st.text(max_size=3), st.booleans(), st.none(), st.floats())
)
def test_what_is_no_version_is_refused(name, version):
    record = SAMPLES[name]
    with pytest.raises(RecordError, match="is no version of"):
        type(record).of(record.document() | {"record_version": version}, "here")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_document_without_a_version_is_the_first_and_means_the_same(name):
    record = SAMPLES[name]
    assert read_record(type(record), as_bytes(record.content()), "here") == record


@given(KINDS, st.text("xyz_", min_size=4, max_size=9))
def test_a_field_that_a_kind_does_not_know_is_refused_and_named(name, extra):
    record = SAMPLES[name]
    with pytest.raises(RecordError, match=f"here: field {extra}: .*; {record.AGAIN}"):
        type(record).of(record.document() | {extra: 1}, "here")


@given(KINDS, st.sampled_from([b"", b"{", b"[]", b"3", b'"text"', b"null", b"\xff"]))
def test_bytes_that_are_no_document_are_refused_in_words(name, content):
    kind = type(SAMPLES[name])
    with pytest.raises(RecordError, match=f"^here .*: {kind.AGAIN}$"):
        read_record(kind, content, "here")


@pytest.mark.parametrize(
    ("record", "first"),
    [
        (OnlineContent(partitions={"2024-01-22": "a" * 64}), {"2024-01-22": "a" * 64}),
        (WinningParameters(parameters={"eta": 0.2}), {"eta": 0.2}),
    ],
)
def test_what_the_first_releases_wrote_without_a_name_around_it_is_read_as_it_was_meant(record, first):
    kind = type(record)
    assert kind.of(first, "here") == kind.of(record.document(), "here") == record
    assert kind.of({}, "here").content() == {name: {} for name in record.content()}
    with pytest.raises(RecordError, match=f"here: {kind.CALLED} has version 2, this release reads up to 1"):
        kind.of(record.document() | {"record_version": 2}, "here")


def test_a_note_is_read_from_the_lake_as_it_was_kept_and_a_newer_one_is_refused_by_its_table(tmp_path):
    lake, note = Lake(root=str(tmp_path)), SAMPLES["making"]
    assert load_note(lake, Making, "parcels/raw", "2024-01-22") is None
    save_note(lake, "parcels/raw", "2024-01-22", note)
    assert load_note(lake, Making, "parcels/raw", "2024-01-22") == note
    lake.remember("parcels/raw", "2024-01-22", note.document() | {"record_version": 2})
    with pytest.raises(
        RecordError, match=r"parcels/raw@2024-01-22: the note of how content was made has version 2"
    ):
        load_note(lake, Making, "parcels/raw", "2024-01-22")


def with_unit(content: Content) -> Content:
    return content | {"unit": "rows"}


def in_thousands(content: Content) -> Content:
    return content | {"number": content["number"] // 1000, "unit": f"thousand {content['unit']}"}


class Counted(Record):
    """A kind that has lived through three versions."""

    CALLED: ClassVar[str] = "a count"
    AGAIN: ClassVar[str] = "count again"
    number: int
    unit: str

    STEPS: ClassVar = (numbered, with_unit, in_thousands)


@given(st.integers(0, 10**9))
def test_an_older_record_goes_through_every_step_that_came_after_it_and_no_other(number):
    expected = Counted(number=number // 1000, unit="thousand rows")
    for version, document in enumerate(
        [{"number": number}, {"number": number}, {"number": number, "unit": "rows"}, expected.content()]
    ):
        assert Counted.of(document | {"record_version": version}, "here") == expected


@given(
    st.fixed_dictionaries(
        {}, optional={"anchor": st.none(), "shown_better": st.booleans(), "trigger": st.none()}
    )
)
def test_the_hash_by_which_the_log_names_an_evaluation_is_of_what_was_written_whatever_it_left_out(some):
    content = record_samples.attempt().content()
    written = {k: v for k, v in content.items() if k not in ("anchor", "shown_better", "trigger")} | some
    record = Attempt.of(written, "here")
    assert record.digest == digest_of(written) == record.with_version(3).digest
    assert Attempt.of(record.with_version(3).document(), "here").digest == record.digest


def test_a_deployment_of_before_there_was_another_clock_is_asked_by_the_datas():
    document = record_samples.deployment().document()
    older = {name: value for name, value in document.items() if name != "clock"} | {"record_version": 1}
    assert Deployment.of(older, "here").clock == "data"
    assert Deployment.of(document | {"clock": "wall"}, "here").clock == "wall"


@pytest.mark.parametrize("before", MOVED)
def test_code_that_moved_is_named_as_it_is_now_and_other_names_stay_to_be_refused(before):
    document = record_samples.deployment().content()
    assert Deployment.of(document | {"scorer": before}, "here").scorer == MOVED[before]
    assert Deployment.of(document | {"scorer": "os:system"}, "here").scorer == "os:system"


@pytest.mark.parametrize("path", sorted({*MOVED.values()}))
def test_what_moved_lies_where_the_map_says(path):
    from resources.serving.code import imported

    assert callable(imported(path))


def test_a_record_under_another_models_name_is_refused(tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(record_samples.deployment().document()))
    with pytest.raises(RecordError, match="holds model 'pump_stops': name the file"):
        deployment_in(path)


def test_the_lake_keeps_records_and_says_which_file_is_damaged(tmp_path):
    lake = Lake(root=str(tmp_path))
    assert load_record(lake, Challenger, "m/challenger") is None
    save_record(lake, "m/challenger", record_samples.challenger(version=4))
    assert load_record(lake, Challenger, "m/challenger") == record_samples.challenger(version=4)
    (tmp_path / "m" / "challenger.json").write_text("{")
    with pytest.raises(RecordError, match=r"m/challenger\.json is not JSON .*: materialize the model again"):
        load_record(lake, Challenger, "m/challenger")


def test_a_version_says_which_release_tagged_it_and_its_tags_read_without_that(tmp_path):
    assert (
        tags_forward(tags_to_write({"spec": "a"}), "here")
        == {"spec": "a"}
        == tags_forward({"spec": "a"}, "here")
    )


@pytest.mark.parametrize(
    ("given", "said"), [("9", "has version 9, this release reads up to 1"), ("x", "no whole number")]
)
def test_tags_of_a_newer_release_are_refused(given, said):
    with pytest.raises(RecordError, match=f"m version 3 in MLflow: .*{said}"):
        tags_forward({"record_version": given}, "m version 3 in MLflow")
