"""A model that scores in a process of its own: what it does is a fault of its rows, and nothing beside it ends."""

import json
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from resources.serving.versions import alone
from resources.serving.versions.alone import Alone, Model
from resources.serving.versions.faults import FaultError
from tests.resources.versions.misbehaving import HERE

MEMORY_MB = 700


@pytest.fixture
def versions() -> Iterator[list[Alone]]:
    there: list[Alone] = []
    yield there
    for one in there:
        one.close()


def version(there: list[Alone], does: str, within_s: float = 20.0) -> Alone:
    content = json.dumps({"slope": 2, "does": does}).encode()
    there.append(Alone(Model(content, "version 2", f"{HERE}:read_alone"), MEMORY_MB, within_s))
    return there[-1]


def rows(count: int) -> pl.DataFrame:
    distance = np.arange(1, count + 1, dtype=float)
    return pl.DataFrame({"distance": distance, "distance_squared": distance**2})


def test_its_scores_are_those_of_the_model_whatever_it_prints_and_however_many_rows(versions):
    frame = rows(2 * alone.ROWS + 1)
    assert (version(versions, "prints").predict(frame) == 2 * frame["distance_squared"].to_numpy()).all()
    assert version(versions, "well").predict(frame[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("does", "kind"),
    [("exits", "gone"), ("raises", "raised"), ("breaks at load", "unloadable"), ("sleeps", "late")],
)
def test_what_it_does_is_a_fault_and_one_that_stays_is_not_asked_again(versions, does, kind):
    one = version(versions, does, within_s=1.0)
    with pytest.raises(FaultError) as first:
        one.predict(rows(3))
    assert first.value.kind == kind
    with pytest.raises(FaultError) as second:
        one.predict(rows(3))
    assert second.value.kind == kind
    assert (second.value is first.value) == (kind in alone.FOR_GOOD)
