"""Content is left as it is only where it is there whole, and what decides it is known and the same as before."""

from pathlib import Path

import pytest
from polars import DataFrame

from mlops_assets.kit.reuse import BECAUSE, SKIPPED, Reuse
from resources.lake.lake import Lake

DECIDES = {"code": "a", "rules": "b"}


@pytest.fixture
def lake(tmp_path) -> Lake:
    """A lake with one partition, of which a run has written down how it was made."""
    lake = Lake(root=str(tmp_path))
    reuse = Reuse(lake, "t", "first run")
    assert reuse.unchanged("w", DECIDES) is None
    reuse.note("w", lake.write("t", DataFrame({"k": [1]}), "w").sha256, {"rows": 1})
    reuse.remember()
    return lake


def second_run(lake, decides, **given):
    """What was kept, and why the partition is skipped or made."""
    reuse = Reuse(lake, "t", "second run", **given)
    return reuse.unchanged("w", decides), reuse.reasons["w"]


def test_what_nothing_changed_of_is_left_as_it_is_and_says_since_when(lake):
    kept, reason = second_run(lake, DECIDES)
    assert kept == {"rows": 1}
    assert reason[SKIPPED].startswith("nothing changed since ") and "first ru" in reason[SKIPPED]


def test_what_was_stored_and_is_not_there_any_more_is_made_again(lake):
    Path(lake.address("t", "w")).unlink()
    assert second_run(lake, DECIDES) == (None, {BECAUSE: "what was stored is missing or changed"})


def test_what_was_changed_on_disk_is_made_again(lake):
    Path(lake.address("t", "w")).write_bytes(b"other bytes")
    assert second_run(lake, DECIDES) == (None, {BECAUSE: "what was stored is missing or changed"})


def test_content_of_which_nobody_says_what_decides_it_is_always_made(lake):
    kept, reason = second_run(lake, None)
    assert kept is None
    assert reason == {BECAUSE: "what it is made of is not declared, so a change would not be seen"}


@pytest.mark.parametrize(
    ("decides", "name"),
    [
        ({"code": "c", "rules": "b"}, "code"),
        ({"code": "a"}, "rules"),
        ({"code": "a", "rules": "b", "table": "c"}, "table"),
    ],
)
def test_whatever_decides_and_changed_is_named(lake, decides, name):
    assert second_run(lake, decides) == (None, {BECAUSE: f"changed: {name}"})


def test_a_run_that_is_told_to_makes_everything(lake):
    kept, reason = second_run(lake, DECIDES, forced=True)
    assert kept is None and "asks for it" in reason[BECAUSE]
