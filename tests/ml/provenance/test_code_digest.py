"""A digest of code changes when the code does something else, and only then."""

import pytest

from mlops_assets.ml.provenance.code_digest import CodeDigestError, code_digest, parts_of, project_source
from mlops_assets.ml.provenance.digest import differences, names_in_words

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


STORES = """
from acme.clock import now

class Base:
    def opened(self):
        return 1

class Store(Base):
    SIZE = 3

    def read(self, name: str) -> "Row":
        return self._found(name) * self.SIZE

    def _found(self, name):
        return now(name)

    def erase(self):
        return UNUSED

    def __enter__(self):
        return 7

class Row:
    def width(self):
        return 2

    def height(self):
        return 4

UNUSED = 1
"""
STAGE = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from acme.stores import Store

def work(store: "Store | None"):
    return store.opened() + store.read("a").width()
"""
REACHED = {**SOURCES, "acme.stores": STORES, "acme.stage": STAGE}


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("return self._found(name)", "return -self._found(name)", True),
        ("return now(name)", "return 5", True),
        ("SIZE = 3", "SIZE = 4", True),
        ("return 1", "return 3", True),
        ("return 2", "return 3", True),
        ("return 7", "return 8", True),
        ("return UNUSED", "return 6", False),
        ("UNUSED = 1", "UNUSED = 2", False),
        ("return 4", "return 9", False),
    ],
)
def test_of_an_object_that_is_handed_in_what_is_asked_of_it_counts_and_nothing_else(old, new, counts):
    assert old in STORES
    before, now = ({**REACHED, "acme.stores": text}.get for text in (STORES, STORES.replace(old, new)))
    assert (code_digest(["acme.stage:work"], before) != code_digest(["acme.stage:work"], now)) is counts


def test_a_changed_feature_store_is_a_change_of_the_join_and_of_no_fit():
    join, fit = "mlops_assets.stages.training_set:join_partition", "mlops_assets.ml.training.fit:fit"

    def read(module: str) -> str | None:
        source = project_source(module)
        return source.replace("def historical(", "def historical(again=0, *,") if source else None

    assert code_digest([join], read) != code_digest([join])
    assert code_digest([fit], read) == code_digest([fit])
    assert "resources.features.store:FeatureStoreResource.historical" in parts_of([join])


def test_a_whole_module_is_all_of_its_names():
    assert edited("features", "UNUSED = 1", "UNUSED = 2", "acme.features") != digest("acme.features")


def test_a_function_that_uses_another_is_not_that_other():
    assert digest("acme.features:helper") != digest("acme.features:another")


@pytest.mark.parametrize("root", ["acme.nowhere:late", "acme.features:later", "json:dumps"])
def test_a_root_that_does_not_exist_is_refused_by_its_name(root):
    with pytest.raises(CodeDigestError, match=root):
        code_digest([root], SOURCES.get)


def test_the_version_of_a_library_that_computes_is_part_of_it(monkeypatch):
    before = digest()
    monkeypatch.setattr("mlops_assets.ml.provenance.code_digest._version", lambda library: f"{library} 99")
    assert digest() != before
    assert digest("acme.limits:scale") == code_digest(["acme.limits:scale"], SOURCES.get)


def test_code_of_this_project_is_found_without_importing_it():
    one = code_digest(["mlops_assets.use_cases.flights.feature_tables:weather"])
    assert one == code_digest(["mlops_assets.use_cases.flights.feature_tables:weather"])
    assert one != code_digest(["mlops_assets.use_cases.flights.feature_tables:aircraft"])


def test_what_changed_is_named():
    before, now = {"code": "1", "rules": "1", "a": "1"}, {"code": "2", "rules": "1", "b": "1"}
    assert differences(before, now) == ["a", "b", "code"]
    assert (names_in_words(["a"]), names_in_words(["a", "b"]), names_in_words(["a", "b", "c", "d", "e"])) == (
        "a",
        "a and b",
        "a, b, c and 2 more",
    )
