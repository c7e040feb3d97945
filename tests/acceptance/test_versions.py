"""Versions asked beside the one that answers: it is never slowed, spoiled or silently put in their place."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from resources.living import lives
from resources.records.split import Split
from resources.serving.log import REQUEST, TRACE, VERSION
from resources.serving.ray_serve import Endpoint
from resources.serving.versions.versions import Bounds, UnknownVersionError, Versions
from resources.settings import settings
from tests.acceptance.versioned import LEAVES, Server, offer, record, started, trip, until
from tests.resources.serving_fakes import FakeFeatures
from tests.resources.versions.misbehaving import COMMAND, declared
from tests.resources.versions.server import QuickModels

ALL_KINDS = {"loading", "unloadable", "busy", "gone", "late", "raised", "not_finite", "shape", "memory"}
DOES = {
    "2": "well",
    "3": "sleeps",
    "4": "exits",
    "5": "raises for one row in fifty",
    "6": "leaks",
    "7": "gives nan",
    "8": "gives another shape",
    "9": "hangs at load",
    "10": "breaks at load",
    "11": "gives no numbers",
    "12": "prints",
    "13": "explains",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, free_port: Any) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("versions")
    offer(home, DOES)
    with started(home, free_port()) as server:
        yield server
        children = psutil.Process(server.process.pid).children()
    assert children
    until(
        lambda: not any(lives(child.pid) for child in children),
        "no process of a version outlives the endpoint",
    )


def test_a_version_is_asked_by_its_number_and_answers_as_the_one_that_answers_would(server):
    reply = server.by_version("2", trip(3.0))
    assert reply.status_code == 200, reply.text
    assert (reply.json()["version"], reply.json()["value"]) == ("2", 18.0)
    rows = server.by_version("2", [trip(1.0), trip(2.0)], "?features=true").json()
    assert [(row["value"], row["features"]["distance_squared"]) for row in rows] == [(2.0, 1.0), (8.0, 4.0)]
    own = server.by_version("1", trip(3.0)).json()
    assert (own["version"], own["value"]) == ("1", 9.0)
    assert server.by_version("2", []).json() == []
    assert server.by_version("2", {"distance": 1.0}).status_code == 422
    assert server.http.get("/v2/models/trips/versions/2/ready").status_code == 200
    assert server.http.get("/v2/models/trips").json()["versions"] == ["1", *DOES]


def test_a_version_says_by_its_own_process_what_each_feature_added(server):
    answers = server.by_version("13", [trip(3.0), trip(2.0)], "?explain=true&features=true")
    assert answers.status_code == 200, answers.text
    first, second = answers.json()
    assert (first["version"], first["value"], second["explanation"]["raw"]) == ("13", 117.0, 52.0)
    assert first["explanation"]["contributions"] == [
        {"feature": "distance_squared", "value": 9.0, "contribution": 116.0}
    ]
    assert first["features"]["distance_squared"] == 9.0
    assert "explanation" not in server.by_version("13", trip(3.0)).json()
    many = server.by_version("13", [trip(1.0)] * 51, "?explain=true")
    assert (many.status_code, "at most 50" in many.text) == (422, True)
    unable = server.by_version("2", trip(3.0), "?explain=true")
    assert (unable.status_code, "ask without explain=true" in unable.text) == (422, True)


def test_a_version_is_asked_by_the_protocol_too(server):
    inputs = [
        {"name": "distance", "datatype": "FP64", "shape": [2], "data": [1.0, 3.0]},
        {"name": "leaves_at", "datatype": "BYTES", "shape": [2], "data": [LEAVES, LEAVES]},
    ]
    told = server.http.post("/v2/models/trips/versions/2/infer", json={"inputs": inputs})
    assert told.status_code == 200, told.text
    assert (told.json()["model_version"], told.json()["outputs"][0]["data"]) == ("2", [2.0, 18.0])


@pytest.mark.parametrize(
    ("version", "status", "said"),
    [
        ("3", 504, "(late): no answer within"),
        ("4", 503, "(gone): its process ended"),
        ("5", 503, "(raised): KeyError: 'no such carrier'"),
        ("7", 503, "(not_finite): it gives no finite number for 1 of 1 rows"),
        ("8", 503, "(shape): it gives numbers of the shape [2] for 1 rows"),
        ("10", 503, "(unloadable): its model cannot be loaded: ValueError: the file is damaged"),
        ("11", 503, "(raised): TypeError"),
        ("99", 404, "version 99 of trips is not known: version 1 answers"),
        ("two", 404, "version two of trips is not known"),
    ],
)
def test_a_version_that_was_named_and_cannot_answer_says_why_and_no_other_answers_for_it(
    server, version, status, said
):
    reply = server.by_version(version, trip(50.0))
    assert (reply.status_code, said in reply.text) == (status, True), reply.text


async def _all(port: int, count: int, connections: int, until_s: float) -> list[Any]:
    """Answers to `count` different trips over some connections, again and again for a while."""
    found = []

    async def one(number: int) -> None:
        ends = time.monotonic() + until_s
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            while time.monotonic() < ends:
                for distance in range(number, count, connections):
                    reply = await http.post("/v1/models/trips/predict", json=trip(float(distance)))
                    found.append((distance, reply))

    await asyncio.gather(*[one(number) for number in range(connections)])
    return found


@pytest.mark.parametrize("version", list(DOES))
def test_whatever_a_candidate_does_every_request_is_answered_rightly(server, version):
    """Half of the trips are drawn for it; what it does not answer in time the version that answers does, and says so."""
    server.divide(version, 0.5)
    split = Split.model_validate({"name": "trips", "version": version, "share": 0.5, "by": ["distance"]})

    def is_followed() -> bool:
        drawn = next(d for d in range(100) if split.takes(_Row(float(d))))
        told = server.http.post("/v1/models/trips/predict", json=trip(float(drawn))).json()
        return told["version"] == version or told.get("fallback", {}).get("version") == version

    until(is_followed, "the split is followed")
    replies = asyncio.run(_all(server.port, 100, 4, 0.7))
    assert Counter(reply.status_code for _, reply in replies) == {200: len(replies)}
    seen: Counter[str] = Counter()
    for distance, reply in replies:
        told, drawn = reply.json(), split.takes(_Row(float(distance)))
        fallback = told.get("fallback")
        assert told["value"] == int(told["version"]) * float(distance) ** 2
        assert (told["version"] == version) == (drawn and fallback is None)
        assert told["version"] in ("1", version)
        if fallback:
            assert drawn and fallback["version"] == version and fallback["kind"] in ALL_KINDS
            assert fallback["why"]
        seen[fallback["kind"] if fallback else told["version"]] += 1
    assert {"1"} < set(seen), seen
    assert server.http.get("/readyz").status_code == 200


class _Row:
    model_fields = ("distance",)

    def __init__(self, distance: float) -> None:
        self.distance = distance


def test_a_split_divides_lists_tensors_and_requests_with_features_alike(server):
    server.divide("2", 0.5, deadline_ms=20_000)
    until(lambda: server.http.get("/v2/models/trips/versions/2/ready").status_code == 200, "it is loaded")
    rows = [trip(float(distance)) for distance in range(1, 21)]

    def answers() -> Any:
        found = server.http.post("/v1/models/trips/predict", json=rows).json()
        return {row["version"] for row in found} == {"1", "2"} and found

    plain = until(answers, "the split is followed")
    wanted = [(row["version"], row["value"]) for row in plain]
    more = server.http.post("/predict/trips?features=true", json=rows).json()
    assert [(row["version"], row["value"]) for row in more] == wanted
    assert all("features" in row for row in more)
    many = server.http.post("/v1/models/trips/predict", json=rows * 10).json()
    assert [(row["version"], row["value"]) for row in many] == wanted * 10
    inputs = [
        {"name": "distance", "datatype": "FP64", "shape": [20], "data": [row["distance"] for row in rows]},
        {"name": "leaves_at", "datatype": "BYTES", "shape": [20], "data": [LEAVES] * 20},
    ]
    told = server.http.post("/v2/models/trips/infer", json={"inputs": inputs}).json()
    assert told["outputs"][0]["data"] == [value for _, value in wanted]
    assert told["parameters"]["versions"].split(",") == [version for version, _ in wanted]
    server.endpoint.undivide("trips")
    until(lambda: "2" not in {row["version"] for row in server.http.post("/v1/models/trips/predict", json=rows).json()}, "no split")  # fmt: skip


async def _traced(port: int, count: int) -> dict[str, tuple[str, str]]:
    """By the id of each row which version answered it and its request's trace: all are asked at once."""
    address = f"http://127.0.0.1:{port}/v1/models/trips/predict"

    async def one(http: httpx.AsyncClient, number: int) -> dict[str, tuple[str, str]]:
        trace = f"{number + 1:032x}"
        reply = await http.post(
            address, json=trip(number), headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        )
        assert reply.status_code == 200, reply.text
        return {reply.json()["request_id"]: (reply.json()["version"], trace)}

    async with httpx.AsyncClient(timeout=60) as http:
        answers = await asyncio.gather(*[one(http, number) for number in range(count)])
    return {row: facts for some in answers for row, facts in some.items()}


def test_rows_of_a_divided_model_have_the_traces_of_their_own_requests_whichever_version_answers(server):
    server.divide("2", 0.5, deadline_ms=20_000)
    until(lambda: server.http.get("/v2/models/trips/versions/2/ready").status_code == 200, "it is loaded")
    expected = asyncio.run(_traced(server.port, 16))

    def logged() -> dict[str, tuple[str, str]]:
        rows = server.log.read("trips", 500).to_dicts()
        found = {row[REQUEST]: (row[VERSION], row[TRACE]) for row in rows if row[REQUEST] in expected}
        return found if len(found) == len(expected) else {}

    assert until(logged, "all are in the log") == expected
    assert {version for version, _ in expected.values()} == {"1", "2"}


def test_faults_are_counted_by_version_and_kind(server):
    told = server.http.get("/metrics").text
    for version, kind in (("7", "not_finite"), ("8", "shape"), ("5", "raised"), ("3", "late")):
        line = f'mlops_version_faults_total{{kind="{kind}",model="trips",version="{version}"}}'
        assert line in told


def test_a_version_that_nobody_asks_for_is_ended_and_started_again_when_asked(tmp_path):
    home = settings({"MLOPS_HOME": str(tmp_path)})
    endpoint = Endpoint(folder=str(home.serving))
    endpoint.publish(record(tmp_path, "1", "well"))
    endpoint.offer(record(tmp_path, "2", "well"))
    models = QuickModels(home.serving, FakeFeatures(), declared)
    models.look()

    async def story() -> list[Any]:
        versions = Versions(models, home, COMMAND, Bounds(idle_s=0.3))
        before = set(psutil.Process().children())
        request = models.served["trips"].request.model_validate(trip(3.0))

        async def ask() -> float:
            answers = await versions.answers("trips", "2", [request], models.clock.now(), 60.0, patient=True)
            return answers[0]["value"]

        found: list[Any] = [await ask()]
        mine = set(psutil.Process().children()) - before
        while any(lives(child.pid) for child in mine):
            await asyncio.sleep(0.05)
        found.append(await ask())
        endpoint.take_back("trips", "2")
        with pytest.raises(UnknownVersionError):
            await versions.model("trips", "2")
        await versions.close()
        found.append(set(psutil.Process().children()) - before)
        return found

    assert asyncio.run(story()) == [18.0, 18.0, set()]
