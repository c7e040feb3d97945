"""A name that comes from a record never becomes a path outside of its folder."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lake.lake import Lake
from resources.storage.contained import OutsideError, below

OUTSIDE = ("..", "../x", "a/../../x", "/etc", "a//b", ".", "a/./b", "", "a\\..\\..\\x", "a\0b", "a/", "/")
NASTY = st.text(st.sampled_from("./\\\0ab-"), max_size=12) | st.sampled_from(OUTSIDE) | st.text(max_size=20)


@given(NASTY)
def test_a_name_is_refused_or_lies_below_its_folder(name):
    root = Path("/state/lake")
    try:
        path = below(root, name)
    except OutsideError:
        return
    assert root in path.parents
    assert ".." not in path.parts
    assert path == Path(f"{root}/{name}")


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_door_of_the_lake_leads_out_of_it(name, tmp_path):
    lake, frame = Lake(root=str(tmp_path / "state" / "lake")), pl.DataFrame({"a": [1]})
    doors = [
        lambda: lake.write(name, frame),
        lambda: lake.read(name),
        lambda: lake.partitions(name),
        lambda: lake.manifest(name),
        lambda: lake.write_json(f"{name}/record" if name else "/", {}),
        lambda: lake.read_json(f"{name}/record" if name else "/"),
        lambda: lake.records(name),
    ]
    for door in doors:
        with pytest.raises(OutsideError):
            door()
    with pytest.raises(OutsideError):
        lake.write("table", frame, f"../{name}")
    assert list(tmp_path.iterdir()) == []
