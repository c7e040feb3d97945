"""However the question is put, as any kind of frame, by names or by a service, once or at once, the answer is the oracle's."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast import FeatureStore, Field
from feast.on_demand_feature_view import OnDemandFeatureView, on_demand_feature_view
from feast.types import Float64

from tests.feature_repo.offline_oracle.cases import WHOLE, ask, hours, moment, row, view
from tests.feature_repo.offline_oracle.oracle import Question, answer
from tests.feature_repo.offline_oracle.outcome import expected, lines
from tests.feature_repo.offline_oracle.world import OURS, Entities, World, job_of, store_over, write_source

DAILY = [row("a", h, h) for h in range(-12, 96, 24)]
WORLD = World([view(DAILY)], Entities({"id": ["a", "a"], "row": [0, 1]}, [moment(36), moment(35)]))
Moments = Callable[[pd.DataFrame], Any]


def store_of(world: World, folder: Path) -> FeatureStore:
    for one in world.views:
        write_source(one, folder)
    return store_over(world, folder, {"type": OURS})


def moments(values: list[Any], dtype: str | None = None) -> Moments:
    return lambda frame: frame.assign(event_timestamp=pd.Series(values, dtype=dtype))


FRAMES: dict[str, Moments] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "polars, lazy": lambda frame: pl.from_pandas(frame).lazy(),
    "Arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "Arrow-backed pandas": lambda frame: frame.astype(
        {"event_timestamp": pd.ArrowDtype(pa.timestamp("us", "UTC")), "id": "string[pyarrow]"}
    ),
    "text of any offset": moments(["2024-03-03T01:00:00+01:00", "2024-03-02T23:00:00Z"]),
    "pandas strings": moments(["2024-03-03T00:00:00Z", "2024-03-02T23:00:00Z"], "string"),
    "text with a space": moments(["2024-03-03 00:00:00", "2024-03-02 23:00:00"]),
    "naive Python moments": moments([datetime(2024, 3, 3), datetime(2024, 3, 2, 23)], "object"),
    "Python moments of several zones": moments(
        [datetime(2024, 3, 3, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2024, 3, 2, 23, tzinfo=UTC)],
        "object",
    ),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_any_kind_of_frame_asks_the_same(kind: str, tmp_path: Path) -> None:
    store = store_of(WORLD, tmp_path)
    frame = FRAMES[kind](WORLD.entities.frame())
    job = store.get_historical_features(entity_df=frame, features=["v:x"])
    assert lines(job.to_arrow()) == expected(WORLD)


def test_dates_ask_for_midnight_in_utc(tmp_path: Path) -> None:
    store = store_of(WORLD, tmp_path)
    frame = moments([date(2024, 3, 3), date(2024, 3, 2)], "object")(WORLD.entities.frame())
    asked = World(WORLD.views, Entities(WORLD.entities.columns, [moment(36), moment(12)]))
    assert lines(store.get_historical_features(frame, ["v:x"]).to_arrow()) == expected(asked)


def test_names_and_a_service_ask_the_same(tmp_path: Path) -> None:
    world = World([view(DAILY), view(DAILY, name="w")], WORLD.entities, full_names=True)
    store = store_of(world, tmp_path)
    by_name = store.get_historical_features(world.entities.frame(), ["v:x", "w:x"], full_feature_names=True)
    assert lines(by_name.to_arrow()) == lines(job_of(world, store).to_arrow()) == expected(world)


def test_features_come_after_the_entity_rows_columns_and_with_a_fresh_index(tmp_path: Path) -> None:
    world = World(
        [view(DAILY), view(DAILY, name="w", features={"y": WHOLE})], ask(["a", "a"], [36, 35], index=[9, 9])
    )
    found = job_of(world, store_of(world, tmp_path)).to_df()
    assert list(found.columns) == [*world.entities.frame().columns, "x", "y"]
    assert list(found.index) == [0, 1]


def test_the_callers_frame_is_left_as_it_was(tmp_path: Path) -> None:
    store, frame = store_of(WORLD, tmp_path), WORLD.entities.frame()
    store.get_historical_features(frame, ["v:x"]).to_df()
    pd.testing.assert_frame_equal(frame, WORLD.entities.frame())


def test_a_job_answers_the_same_each_time_and_in_each_form(tmp_path: Path) -> None:
    job = job_of(WORLD, store_of(WORLD, tmp_path))
    first = job.to_arrow()
    assert first.equals(job.to_arrow())
    assert list(job.to_df()["x"]) == first["x"].to_pylist()


def test_several_threads_may_ask_at_once(tmp_path: Path) -> None:
    many = [f"e{n}" for n in range(200)]
    world = World(
        [view([row(key, h, h) for key in many for h in range(3)])], ask(many, [n % 4 for n in range(200)])
    )
    store = store_of(world, tmp_path)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: lines(job_of(world, store).to_arrow()), range(8)))
    assert all(found == expected(world) for found in answers)


def test_without_entity_rows_every_key_seen_in_the_span_is_answered_as_of_its_end(tmp_path: Path) -> None:
    rows = [row("a", 0, 1), row("a", 5, 2), row("b", 2, 3), row("b", 9, 4), row("c", 9, 5), row(None, 3, 6)]
    one = view(rows, ttl=hours(4))
    store = store_of(World([one], ask(["a"], [0])), tmp_path)
    start, end = (datetime.fromtimestamp((moment(h) or 0) / 1e9, UTC) for h in (1, 7))
    found = lines(store.get_historical_features(features=["v:x"], start_date=start, end_date=end).to_arrow())
    stop = moment(7)
    known = {key: answer(Question((key,), stop), rows, one.ttl_ns) for key in ("a", "b")}
    assert {line["id"]: line["x"] for line in found} == {
        k: r.values["x"] if r else None for k, r in known.items()
    }
    assert {line["event_timestamp"] for line in found} == {stop}


def seeing(views: dict) -> OnDemandFeatureView:
    """An on-demand view of `v` that says how many of the columns x, id, asked and y it is given."""

    @on_demand_feature_view(
        sources=[views["v"]],
        schema=[Field(name="mine", dtype=Float64), Field(name="others", dtype=Float64)],
        mode="pandas",
    )
    def sight(inputs: pd.DataFrame) -> pd.DataFrame:
        mine = sum(name in inputs for name in ("x", "v__x", "id", "asked"))
        others = sum(name in inputs for name in ("y", "w__y"))
        return pd.DataFrame({"mine": float(mine), "others": float(others)}, index=inputs.index)

    return sight


@pytest.mark.parametrize("full_names", [False, True])
def test_an_on_demand_view_sees_what_it_sees_online(full_names: bool, tmp_path: Path) -> None:
    views = [view(DAILY), view(DAILY, name="w", features={"y": WHOLE})]
    world = World(views, ask(["a"], [36], {"asked": [1]}), full_names=full_names, on_demand=seeing)
    (line,) = job_of(world, store_of(world, tmp_path)).to_arrow().to_pylist()
    prefix = "sight__" if full_names else ""
    assert (line[f"{prefix}mine"], line[f"{prefix}others"]) == (4.0, 0.0)
    assert ("w__y" if full_names else "y") in line


def test_sql_is_refused_with_what_to_give_instead(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give a pandas or polars frame"):
        store_of(WORLD, tmp_path).get_historical_features("SELECT 1", ["v:x"]).to_df()
