"""A version beside the one that answers says why a score is what it is: by a real booster, in a process of its own."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from math import exp
from typing import Any

import httpx
import polars as pl
import psutil
import pytest

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import fit
from mlops_assets.use_cases.flights.request import entity_rows
from tests.flights.endpoint_state import NOW, SERVICE, VERSION, State
from tests.small_year import serving

NAME, OTHER = "flight_delay", VERSION + 1
ROWS = 20


class Asked:
    """An endpoint over a real state, in which another version than the one that answers was offered."""

    def __init__(self, state: State, model: bytes, port: int, process: Any) -> None:
        self.state, self.model, self.process = state, model, process
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
        self.bodies = [request.model_dump(mode="json") for request in state.requests(ROWS)]

    def by_version(self, version: int, query: str = "?explain=true&features=true") -> list[dict[str, Any]]:
        reply = self.http.post(f"/v1/models/{NAME}/versions/{version}/predict{query}", json=self.bodies)
        assert reply.status_code == 200, reply.text
        return reply.json()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Asked]:
    state = State(tmp_path_factory.mktemp("explained"), "", {NAME: {"rounds": 40}})
    joined = state.store.historical(SERVICE, entity_rows(state.flights), "prediction_time")
    rows, columns = (
        labelled(joined, state.specs[NAME], NOW + timedelta(days=9)),
        state.store.feature_columns(SERVICE),
    )
    model, port = fit(rows, state.specs[NAME], columns, rounds=15).model, free_port()
    state.publish(state.specs[NAME], OTHER, model)
    state.publish(state.specs[NAME], VERSION, state.models[NAME])
    with serving(state.home.home, port) as process:
        found = Asked(state, model, port, process)
        while not _is_up(found.http):
            assert process.poll() is None
        yield found


def _is_up(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_its_parts_sum_to_its_own_score_and_are_its_own_boosters(asked):
    answers, scorer = asked.by_version(OTHER), asked.state.declared(NAME).scorer(asked.model)
    frame = asked.state.store.online_vectors(SERVICE, entity_rows(asked.state.flights.head(ROWS)), NOW).frame
    given = frame.select(scorer.features)
    shown = [row | answer["features"] for row, answer in zip(given.to_dicts(), answers, strict=True)]
    own = scorer.contributions(
        pl.DataFrame([{n: row[n] for n in given.columns} for row in shown], given.schema)
    )
    assert {answer["version"] for answer in answers} == {str(OTHER)}
    for row, answer in enumerate(answers):
        told = answer["explanation"]
        parts = {part["feature"]: part["contribution"] for part in told["contributions"]}
        assert told["link"] == "logit" and told["probability"] == answer["probability"]
        assert told["raw"] == pytest.approx(told["base"] + sum(parts.values()))
        assert answer["probability"] == pytest.approx(1 / (1 + exp(-told["raw"])), abs=1e-6)
        assert told["base"] == own.base[row]
        assert [parts[name] for name in scorer.features] == own.values[row].tolist()
        assert all(shown[row][p["feature"]] == p["value"] for p in told["contributions"])


def test_it_explains_otherwise_than_the_version_that_answers_and_scores_as_without_explaining(asked):
    other, answering = asked.by_version(OTHER), asked.by_version(VERSION)
    assert all(one["explanation"] != two["explanation"] for one, two in zip(other, answering, strict=True))
    plain = asked.by_version(OTHER, "")
    assert [one["probability"] for one in plain] == [one["probability"] for one in other]
    assert all("explanation" not in one for one in plain)


def test_it_does_so_in_a_process_of_its_own(asked):
    asked.by_version(OTHER)
    commands = [" ".join(child.cmdline()) for child in psutil.Process(asked.process.pid).children()]
    assert sum(f"resources.serving.versions {NAME} {OTHER} " in command for command in commands) == 1
