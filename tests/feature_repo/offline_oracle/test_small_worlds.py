"""Worlds of a few rows, drawn by hypothesis and shrunk to the smallest that the store answers wrongly."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.feature_repo.offline_oracle.cases import NOON
from tests.feature_repo.offline_oracle.oracle import Row
from tests.feature_repo.offline_oracle.outcome import found, mismatches
from tests.feature_repo.offline_oracle.world import OURS, Entities, View, World, write_source

TICK = 1_000
KEYS = st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([1, 2, None]))
MOMENTS = st.none() | st.integers(0, 5).map(lambda tick: NOON + tick * TICK)
ROWS = st.lists(st.tuples(KEYS, MOMENTS, MOMENTS), max_size=8)
QUESTIONS = st.lists(st.tuples(KEYS, MOMENTS), min_size=1, max_size=5)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """One view, by one or both keys, with or without a created column and a time to live."""
    whole, created = draw(st.booleans()), draw(st.booleans())
    keys = {"id": pa.string(), "n": pa.int64()} if whole else {"id": pa.string()}
    rows = [Row(key[: len(keys)], at, made, {"x": n}) for n, (key, at, made) in enumerate(draw(ROWS))]
    ttl = timedelta(microseconds=draw(st.integers(0, 3)))
    view = View("v", keys, {"x": pa.int64()}, rows, ttl, created, files=draw(st.integers(1, 2)))
    asked = draw(QUESTIONS)
    columns = {
        "id": [key[0] for key, _ in asked],
        "n": [key[1] for key, _ in asked],
        "row": list(range(len(asked))),
    }
    return World(
        [view], Entities(columns, [at for _, at in asked], unit="us"), created_by_then=draw(st.booleans())
    )


@settings(max_examples=100)
@given(worlds())
def test_no_small_world_is_answered_otherwise_than_by_the_oracle(world: World) -> None:
    with TemporaryDirectory() as folder:
        for view in world.views:
            write_source(view, Path(folder))
        wrong = mismatches(world, found(world, Path(folder), {"type": OURS}))
    assert wrong == [], "\n".join(wrong)
