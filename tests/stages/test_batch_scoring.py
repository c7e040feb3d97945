"""Batch scoring gives the numbers that the endpoint gives over HTTP, on the same rows, to the last bit."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from polars.testing import assert_frame_equal

from mlops_assets.spec.batch import Batch
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages import batch_scoring
from mlops_assets.stages.batch_rows import batch_rows
from mlops_assets.stages.batch_scoring import Batched, predictor, score_batch, unanswered
from mlops_assets.stages.errors import NotReadyError, StageError
from mlops_assets.use_cases.flights.request import flight_id
from resources.clock import Clock
from resources.compute.compute import Compute
from resources.lake.lake import Lake
from resources.serving.http.predict import application
from resources.systems import Systems
from tests.flights import lakes
from tests.flights.endpoint_state import FIELDS, NOW, VERSION, State

TABLE = "flights/coming"
FIRST, SECOND = (f"{monday:%Y-%m-%d}" for monday in lakes.MONDAYS)
ROWS = 240


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return State(tmp_path_factory.mktemp("batch"))


@pytest.fixture(scope="module")
def systems(state: State) -> Systems:
    return Systems(
        lake=Lake(root=state.home.lake),
        feature_store=state.store,
        endpoint=state.endpoint,
        clock=Clock(),
        compute=Compute(folder=str(state.home.training), cpus=2),
        tracking=SimpleNamespace(champion=lambda _: None),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def coming(state: State, systems: Systems) -> pl.DataFrame:
    """Flights to come, two of them with what the endpoint refuses, in both weeks of a table."""
    rows = state.flights.head(ROWS).select(FIELDS).with_columns(flight_id())
    odd = pl.int_range(pl.len())
    rows = rows.with_columns(
        origin=pl.when(odd == 7).then(pl.lit("Newark")).otherwise("origin"),
        flight=pl.when(odd == 9).then(0).otherwise("flight"),
        tailnum=pl.when(odd == 11).then(None).otherwise("tailnum"),
    )
    for name in (FIRST, SECOND):
        systems.lake.write(TABLE, rows, name)
    return systems.lake.read(TABLE, [SECOND])


def spec_of(state: State, name: str = "flight_delay", **batch: Any) -> ModelSpec:
    given = batch or {"table": "coming"}
    table = {"table": TABLE} if "table" in given else {}
    return state.specs[name].model_copy(update={"batch": Batch.model_validate(given | table)})


def made(spec: ModelSpec, systems: Systems, partition: str | None = SECOND, **more: Any) -> Batched:
    assert spec.batch
    rows = batch_rows(spec.batch, systems.lake, Path("/nowhere"), partition)
    return score_batch(predictor(spec, systems, partition), rows, systems, partition, **more)


def written(spec: ModelSpec, systems: Systems, partition: str | None = SECOND) -> pl.DataFrame:
    return systems.lake.read(f"{spec.name}/batch_predictions", [partition] if partition else None)


def over_http(state: State, name: str, rows: pl.DataFrame) -> list[tuple[float | None, str | None]]:
    """What the endpoint answers to each row, one by one as a client would ask, or why not."""
    answers: list[tuple[float | None, str | None]] = []
    with TestClient(application(state.live(), "http://localhost"), base_url="http://localhost") as client:
        for row in rows.select(FIELDS).to_dicts():
            body = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}
            reply = client.post(f"/predict/{name}", json=body)
            if reply.status_code == 422:
                (wrong,) = reply.json()["detail"]
                answers.append((None, f"{'.'.join(wrong['loc'][1:])}: {wrong['msg']}"))
            else:
                answer = reply.json()
                assert (answer["version"], answer["as_of"]) == (str(VERSION), NOW.isoformat())
                answers.append((answer.get("probability", answer.get("value")), None))
    return answers


@pytest.mark.parametrize("name", ["flight_delay", "arrival_minutes"])
@pytest.mark.parametrize("size", [64, 10_000])
def test_the_numbers_and_refusals_are_those_of_the_endpoint_over_http(
    state, systems, coming, name, size, monkeypatch
):
    monkeypatch.setattr(batch_scoring, "PART", size)
    spec, told = spec_of(state, name), []
    done = made(spec, systems, progress=lambda *numbers: told.append(numbers))
    found = written(spec, systems)
    assert list(found.select("score", "refused").rows()) == over_http(state, name, coming)
    assert found["flight_id"].equals(coming["flight_id"])
    assert found["as_of"].unique().to_list() == [NOW] and found["model_version"].unique().to_list() == [
        VERSION
    ]
    assert (done.refused, done.manifest.rows) == (2, ROWS) and 0 < done.missing < 1
    assert told[-1] == (ROWS, ROWS) and len(told) == -(-ROWS // size)


def test_a_table_of_files_is_scored_whole_as_of_now_with_the_same_numbers(state, systems, coming, tmp_path):
    for part, rows in enumerate(coming.iter_slices(100)):
        rows.write_parquet(tmp_path / f"part_{part}.parquet")
    spec = spec_of(state, path=str(tmp_path / "part_*.parquet"))
    made(spec, systems, None)
    whole = systems.lake.read(f"{spec.name}/batch_predictions", ["all"])
    made(spec_of(state), systems)
    assert_frame_equal(whole, written(spec, systems), check_exact=True)


def test_a_partition_that_the_online_store_has_left_behind_has_the_numbers_of_then(
    state, systems, coming, tmp_path
):
    """An online store that was brought up to the end of the first week alone is the judge."""
    spec, end = spec_of(state), lakes.bounds(lakes.MONDAYS[0])[1]
    asked = predictor(spec, systems, FIRST)
    assert asked.in_the_past and asked.as_of == end
    made(spec, systems, FIRST)
    then = state.store.model_copy(update={"home": str(tmp_path / "then"), "online_store": ""})
    then.apply()
    then.materialize(then.views(spec.feature_service), lakes.bounds(lakes.MONDAYS[0])[0], end)
    endpoint = state.endpoint.model_copy(update={"folder": str(tmp_path / "serving")})
    endpoint.advance(end, "flights")
    kept = endpoint.keep(spec.name, VERSION, state.models[spec.name])
    endpoint.publish(state.endpoint.records()[spec.name].model_copy(update={"model_path": str(kept)}))
    stood = Systems(
        lake=Lake(root=str(tmp_path / "lake")),
        feature_store=then,
        endpoint=endpoint,
        clock=Clock(),
        compute=systems.compute,
    )
    stood.lake.write(TABLE, coming, FIRST)
    online = predictor(spec, stood, FIRST)
    assert not online.in_the_past
    made(spec, stood, FIRST)
    assert_frame_equal(written(spec, systems, FIRST), written(spec, stood, FIRST), check_exact=True)


def test_what_is_not_there_yet_is_told(state, systems, coming):
    spec = spec_of(state)
    later = spec.calendar.next(SECOND)
    with pytest.raises(
        NotReadyError, match=r"has come to .* materialize the asset flights/features/online first"
    ):
        predictor(spec, systems, later)
    with pytest.raises(NotReadyError, match=f"table '{TABLE}' has no partition {later}"):
        batch_rows(spec.batch, systems.lake, Path(), later)
    unknown = spec.model_copy(update={"name": "unknown"})
    assert unanswered(spec, systems) is None
    with pytest.raises(
        NotReadyError, match="no version of unknown answers yet: materialize unknown/deployment"
    ):
        predictor(unknown, systems, SECOND)


def test_rows_that_lack_a_key_or_are_no_requests_are_refused_whole(state, systems, coming):
    spec = spec_of(state, table="coming", key=["flight_number"])
    with pytest.raises(StageError, match="no column 'flight_number', by which a score is named"):
        made(spec, systems)
    lake = Lake(root=systems.lake.root)
    lake.write("flights/other", coming.drop("dest"), SECOND)
    other = spec_of(state).model_copy(update={"batch": Batch(table="flights/other")})
    with pytest.raises(
        StageError, match="none of the 240 rows could be asked about, the first: dest: Field required"
    ):
        made(other, systems)


def test_a_table_without_rows_has_no_scores(state, systems, coming):
    spec = spec_of(state).model_copy(update={"batch": Batch(table="flights/none")})
    systems.lake.write("flights/none", coming.clear(), SECOND)
    assert made(spec, systems).manifest.rows == 0


def test_by_the_wall_clock_rows_are_asked_as_of_now_and_of_an_end_that_was(state, systems, coming):
    spec = spec_of(state, table="coming", whole=True)
    clock = Clock(state=str(state.home.home), start=NOW + timedelta(hours=3), rate=1e-9)
    endpoint = state.endpoint.model_copy(update={"folder": str(state.home.home / "wall")})
    endpoint.advance(NOW, "flights")
    kept = endpoint.keep(spec.name, VERSION, state.models[spec.name])
    record = state.endpoint.records()[spec.name].model_copy(update={"model_path": str(kept), "clock": "wall"})
    endpoint.publish(record)
    by_wall = Systems(**{**vars(systems), "clock": clock, "endpoint": endpoint})
    whole = predictor(spec, by_wall, None)
    assert whole.as_of - NOW >= timedelta(hours=3) and not whole.in_the_past
    week = predictor(spec_of(state), by_wall, SECOND)
    assert week.as_of == NOW.astimezone(UTC) and week.in_the_past
