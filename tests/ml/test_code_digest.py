"""A digest of code changes when the code does something else, and only then."""

import pytest

from mlops_assets.ml.code_digest import CodeDigestError, code_digest
from mlops_assets.ml.fingerprint import differences, told

FEATURES = '''
"""What is known of a parcel."""

from acme import clock as watch
from acme.limits import LATE, scale as by
import numpy as np

STEP = 30
"""Minutes between two rows."""
UNUSED = 1

def late(rows: list[int], step=STEP) -> bool:
    """Whether it is late."""
    return helper(rows) > by(LATE) + watch.now(step)  # in minutes

def helper(rows):
    return np.sum(rows)

def another(rows):
    return UNUSED
'''
LIMITS = """
LATE = 15
EARLY = 3

def scale(value):
    return value * FACTOR

FACTOR = 2
"""
CLOCK = """
def now(step):
    return step

def yesterday():
    return -1
"""
SOURCES = {"acme.features": FEATURES, "acme.limits": LIMITS, "acme.clock": CLOCK, "acme": ""}


def digest(root: str = "acme.features:late") -> str:
    return code_digest([root], SOURCES.get)


def edited(module: str, old: str, new: str, root: str = "acme.features:late") -> str:
    """Digest of a root, after one replacement in one module."""
    before = SOURCES[f"acme.{module}"]
    assert old in before
    return code_digest([root], {**SOURCES, f"acme.{module}": before.replace(old, new)}.get)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("features", "# in minutes", "# in hours, some say"),
        ("features", "Whether it is late.", "Whether it comes too late."),
        ("features", "What is known of a parcel.", "Parcels."),
        ("features", "Minutes between two rows.", "A step."),
        ("features", "list[int]", "list[float]"),
        ("features", "\nSTEP", "\n\n\nSTEP"),
        ("features", "helper(rows) > by", "(helper( rows )) > by"),
        ("features", "UNUSED = 1", "UNUSED = 2"),
        ("features", "return UNUSED", "return 7"),
        ("limits", "EARLY = 3", "EARLY = 4"),
        ("clock", "return -1", "return -2"),
    ],
)
def test_what_changes_no_value_changes_no_digest(module, old, new):
    assert edited(module, old, new) == digest()


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("features", "> by", ">= by"),
        ("features", "STEP = 30", "STEP = 60"),
        ("features", "np.sum(rows)", "np.max(rows)"),
        ("features", "step=STEP", "step=5"),
        ("features", "import clock as watch", "import limits as watch"),
        ("features", "UNUSED = 1", "np.seterr(all='raise')"),
        ("limits", "LATE = 15", "LATE = 16"),
        ("limits", "FACTOR = 2", "FACTOR = 3"),
        ("clock", "return step", "return step + 1"),
    ],
)
def test_what_may_change_a_value_changes_the_digest_also_in_another_module(module, old, new):
    assert edited(module, old, new) != digest()


def test_a_whole_module_is_all_of_its_names():
    assert edited("features", "UNUSED = 1", "UNUSED = 2", "acme.features") != digest("acme.features")


def test_a_function_that_uses_another_is_not_that_other():
    assert digest("acme.features:helper") != digest("acme.features:another")


@pytest.mark.parametrize("root", ["acme.nowhere:late", "acme.features:later", "json:dumps"])
def test_a_root_that_does_not_exist_is_refused_by_its_name(root):
    with pytest.raises(CodeDigestError, match=root):
        code_digest([root], SOURCES.get)


def test_the_version_of_a_library_that_computes_is_part_of_it(monkeypatch):
    from mlops_assets.ml import code_digest as module

    before = digest()
    monkeypatch.setattr(module, "_version", lambda library: f"{library} 99")
    assert digest() != before
    assert digest("acme.limits:scale") == code_digest(["acme.limits:scale"], SOURCES.get)


def test_code_of_this_project_is_found_without_importing_it():
    one = code_digest(["mlops_assets.flights.features:weather"])
    assert one == code_digest(["mlops_assets.flights.features:weather"])
    assert one != code_digest(["mlops_assets.flights.features:aircraft"])


def test_what_changed_is_named():
    before, now = {"code": "1", "rules": "1", "a": "1"}, {"code": "2", "rules": "1", "b": "1"}
    assert differences(before, now) == ["a", "b", "code"]
    assert (told(["a"]), told(["a", "b"]), told(["a", "b", "c", "d", "e"])) == (
        "a",
        "a and b",
        "a, b, c and 2 more",
    )
