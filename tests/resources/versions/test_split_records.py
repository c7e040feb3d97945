"""A split draws the same entity for the same version wherever and whenever it is read, also as earlier releases wrote it."""

import hashlib
import json
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.records.reader import RecordError
from resources.records.split import Split, split_in
from resources.serving.splits import split_file, splits_in

TOLD: dict[str, Any] = {"name": "trips", "version": "2", "share": 0.5}


class Trip(pydantic.BaseModel):
    origin: str
    carrier: str | None = None
    distance: float = 1.0


trips = st.builds(
    Trip, origin=st.text(max_size=4), carrier=st.none() | st.text(max_size=3), distance=st.floats(0, 9)
)
fields = st.lists(st.sampled_from(["origin", "carrier", "no_field"]), unique=True)


def drawn_before(split: Split, request: Any) -> bool:
    """As the first release with splits drew."""
    names = split.by or list(type(request).model_fields)
    text = repr([split.salt, *[getattr(request, name, None) for name in names]])
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    return number < split.share * 2**64


@given(trips, fields, st.floats(0.001, 0.999), st.text(max_size=3))
def test_a_request_is_drawn_as_it_always_was(request, by, share, salt):
    split = Split(name="trips", version="2", share=share, by=by, salt=salt)
    assert split.takes(request) == drawn_before(split, request)
    again = Split.of(split.document(), "a split")
    assert again == split and again.takes(request) == split.takes(request)


@given(trips, trips)
def test_an_entity_meets_one_version_whatever_else_its_requests_say(one, other):
    split = Split.model_validate({**TOLD, "by": ["origin"]})
    assert split.takes(one) == split.takes(other.model_copy(update={"origin": one.origin}))


@given(trips, st.floats(0, 1), st.floats(0, 1))
def test_who_was_drawn_stays_drawn_where_the_share_grows(request, one, other):
    small, large = (Split.model_validate({**TOLD, "share": share}) for share in sorted((one, other)))
    assert large.takes(request) or not small.takes(request)


@pytest.mark.parametrize("version", [{}, {"record_version": 1}, {"record_version": 2}])
def test_splits_of_earlier_releases_have_no_shadow(version):
    split = Split.of({**version, **TOLD}, "a split")
    assert (split.share, split.shadow, split.shadows("f" * 32)) == (0.5, 0.0, False)
    assert split.document() == {"record_version": 2, **TOLD}


@pytest.mark.parametrize(
    "wrong", [{"shadow": 1.1}, {"shadow": -0.1}, {"shadow_cpu": 0.0}, {"shadow_cpu": 1.5}]
)
def test_a_share_that_is_none_is_refused_by_its_name(tmp_path, wrong):
    path = tmp_path / "trips.json"
    path.write_text(pydantic.TypeAdapter(dict).dump_json({"record_version": 2, **TOLD, **wrong}).decode())
    with pytest.raises(RecordError, match=next(iter(wrong))):
        split_in(path)


def test_where_a_router_has_drawn_all_requests_that_come_are_of_the_version_that_it_sends_here(tmp_path):
    (tmp_path / "splits").mkdir()
    for name in ("trips", "loans"):
        split_file(tmp_path, name).write_text(json.dumps(Split(**TOLD | {"name": name}).document()))
    shares = {
        sent: {name: one.share for name, one in splits_in(tmp_path, {}, {"trips": sent}).items()}
        for sent in ("1", "2")
    }
    assert shares == {"1": {"trips": 0.0, "loans": 0.5}, "2": {"trips": 1.0, "loans": 0.5}}
    two = splits_in(tmp_path, {}, {"trips": "2"})["trips"]
    assert two.takes(Trip(origin="JFK")) and two.version == "2"
