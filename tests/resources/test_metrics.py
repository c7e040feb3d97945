"""What Prometheus reads of the endpoint: every request once, by model and route, of all processes together."""

import asyncio
import contextlib
import re
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from resources.features.column_vectors import ColumnVectors
from resources.features.service import DescribedService, DescribedView
from resources.features.vectors import OnlineVectors
from resources.serving.counts import SECONDS, Answers, Counts
from resources.serving.folded_counts import FOLDED, fold
from resources.serving.http.metrics import GONE, OK, Meter, Metrics
from resources.serving.log import ServedBatch
from resources.serving.shared_counts import SharedCounts, sums
from tests.resources.endpoint_in_process import TRIP, client, endpoint
from tests.resources.endpoint_process import running
from tests.resources.fast.test_lane import Short

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
Sample = tuple[str, frozenset[tuple[str, str]]]


def samples(text: str) -> dict[Sample, float]:
    found = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in found for s in family.samples}


class Read:
    """The metrics of an endpoint at one moment."""

    def __init__(self, http: Any) -> None:
        reply = http.get("/metrics").raise_for_status()
        assert reply.headers["content-type"].startswith("text/plain; version=")
        self.text, self.samples = reply.text, samples(reply.text)

    def __call__(self, name: str, **labels: str) -> float:
        wanted = set(labels.items())
        return sum(v for (n, found), v in self.samples.items() if n == name and wanted <= found)


@pytest.fixture
def app(tmp_path):
    return endpoint(tmp_path)


def test_every_request_is_counted_by_model_route_status_and_kind_of_error(app):
    http = client(app)
    for body in (TRIP, [TRIP, TRIP], TRIP | {"speed": 1}, TRIP | {"distance": -1.0}):
        http.post("/predict/trips", json=body)
    http.post("/predict/trips", content=b"x")
    http.get("/predict/trips")
    read = Read(http)
    of = {"model": "trips", "route": "/predict/{name}"}
    assert read("mlops_requests_total", **of) == 6
    assert read("mlops_requests_total", **of, status="200", kind="") == 2
    for kind in ("invalid", "failed", "not_json", "method"):
        assert read("mlops_requests_total", **of, kind=kind) == 1
    assert read("mlops_rows_total", model="trips", version="1") == 3
    assert read("mlops_request_seconds_count", **of) == 2
    assert read("mlops_request_seconds_bucket", **of, le="+Inf") == 2
    assert 0 < read("mlops_request_seconds_sum", **of) < 60


def test_names_that_nobody_deployed_become_no_label(app):
    http = client(app)
    for number in range(20):
        assert http.post(f"/predict/model{number}", json=TRIP).status_code == 404
        assert http.get(f"/nowhere/{number}").status_code == 404
        http.post(f"/push/source{number}", json={})
    read = Read(http)
    assert read("mlops_requests_total", model="", route="/predict/{name}", kind="unknown") == 20
    assert read("mlops_requests_total", model="", route="", kind="unknown") == 20
    assert not re.search(r"(model|source|nowhere)/?\d", read.text)


def test_the_version_the_owner_and_how_far_the_data_has_come_are_told(app):
    models = app.state.models
    read = Read(client(app))
    served = models.served["trips"].record
    facts = {"model": "trips", "version": "1", "feature_service": "trips_v1", "owner": served.owner}
    assert read("mlops_model_info", **facts) == 1
    age = (models.clock.now() - models.now(models.served["trips"])).total_seconds()
    assert read("mlops_features_age_seconds", model="trips") == pytest.approx(age, abs=60)
    assert read("mlops_model_problem", model="trips") == 0
    models.problems = {"trips": "broken"}
    assert Read(client(app))("mlops_model_problem", model="trips") == 1


def test_a_reader_of_openmetrics_gets_them_in_its_form(app):
    http = client(app)
    http.post("/predict/trips", json=TRIP)
    reply = http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert {"mlops_requests", "mlops_request_seconds", "mlops_model"} <= {
        family.name for family in open_families(reply.text)
    }


def test_what_the_event_loop_answers_is_counted_too(app):
    models = app.state.models
    models.served = {n: replace(m, fast=Short()) for n, m in models.served.items()}

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            await asyncio.gather(*[http.post("/predict/trips", json=[TRIP] * 2) for _ in range(5)])
            return await http.get("/metrics")

    found = samples(asyncio.run(ask()).text)
    labels = {"model": "trips", "route": "/predict/{name}", "status": "200", "kind": ""}
    assert found["mlops_requests_total", frozenset(labels.items())] == 5
    assert found["mlops_rows_total", frozenset({"model": "trips", "version": "1"}.items())] == 10


SERVICE = DescribedService(
    "s",
    "d",
    (),
    (DescribedView("weather", "v", ("wind", "rain"), ("station",)), DescribedView("made", "v", ("sum",))),
)


def batch(vectors: Any, rows: int) -> ServedBatch:
    ids = [str(number) for number in range(rows)]
    return ServedBatch("trips", "7", SERVICE, NOW, NOW, ids, vectors, np.zeros(rows))


class Times:
    """Where columns are from: each value is an hour old, the first two."""

    def times(self, name: str) -> list[int | None]:
        hour = int((NOW - timedelta(hours=1)).timestamp() * 1e6)
        return [hour - 10, hour, None]


VALUES = {"wind": [1.0, None, None], "rain": [1.0, 2.0, 3.0], "sum": [None, None, None]}


def by_columns() -> OnlineVectors:
    return ColumnVectors(dict(VALUES), {}, [], Times(), {})  # type: ignore[arg-type]


def by_frames() -> OnlineVectors:
    frame = pl.DataFrame(VALUES, schema=dict.fromkeys(VALUES, pl.Float64))
    times = pl.DataFrame({"wind": Times().times("wind")}).cast(pl.Datetime("us", "UTC"))
    return OnlineVectors(frame, times, pl.DataFrame())


@pytest.mark.parametrize("vectors", [by_columns, by_frames])
def test_features_that_were_missing_are_counted_and_the_age_of_a_views_newest_value_is_told(vectors):
    counts = Counts()
    counts.served(batch(vectors(), 3))
    counts.served(batch(vectors(), 3))
    assert counts.rows == {("trips", "7"): 6}
    assert counts.missing == {("trips", "weather", "wind"): 4, ("trips", "made", "sum"): 6}
    assert counts.ages() == {("trips", "weather"): 3600.0}
    assert counts.ages() == {}


def test_the_last_minute_is_remembered_by_second_and_nothing_older():
    answers = Answers()
    for second in (0, 0, 30, 59, 61, 61, 61):
        answers.add(OK, 0.01, second + 0.5)
    assert (answers.minute(61)[-1], answers.minute(61)[-3], sum(answers.minute(61))) == (3, 1, 5)
    assert sum(answers.minute(61 + 29)) == 4 and sum(answers.minute(61 + SECONDS)) == 0


def test_times_and_errors_are_told_of_each_model():
    counts = Counts()
    for milliseconds in range(100):
        counts.answered("trips", "/predict/{name}", OK, milliseconds / 1000)
    counts.answered("trips", "/v1", ("422", "invalid"), 9.0)
    counts.answered("other", "/v1", OK, 9.0)
    traffic = counts.traffic("trips")
    assert (traffic.requests, traffic.errors, sum(traffic.minute)) == (101, 1, 101)
    assert (traffic.median, traffic.p99) == (0.05, 0.099)
    assert counts.traffic("nobody").median is None


def test_one_who_leaves_before_the_answer_is_told_apart_and_an_error_of_the_application_is_raised_on():
    async def leaving(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    class Nowhere:
        def write(self) -> None: ...

    async def ask(app: Any, error: type[BaseException]) -> Counts:
        counts = Counts()
        metrics = Metrics(app, Meter(counts, Nowhere()), lambda name: True, Nowhere())  # type: ignore[arg-type]
        scope = {"type": "http", "path": "/x", "app": type("App", (), {"routes": []})}
        with pytest.raises(error):
            await metrics(scope, None, None)  # type: ignore[arg-type]
        return counts

    left = asyncio.run(ask(leaving, asyncio.CancelledError))
    failed = asyncio.run(ask(failing, ZeroDivisionError))
    assert left.answers["", ""].outcomes == {GONE: 1} and left.in_progress == 0
    assert failed.answers["", ""].outcomes == {("500", "failed"): 1}


def all_of(http: Any, rows: int) -> Read:
    """The metrics once they hold so many rows: another process writes its sums once a second."""
    deadline = time.monotonic() + 30
    while (read := Read(http))("mlops_rows_total") < rows:
        assert time.monotonic() < deadline, read.text
        time.sleep(0.1)
    return read


@pytest.mark.parametrize(
    ("headers", "kind"),
    [([(b"Retry-After", b"1")], "overloaded"), ([(b"content-length", b"0")], "unavailable")],
)
def test_one_who_is_told_to_come_again_is_counted_as_turned_away(headers, kind):
    async def full(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": headers})

    class Nowhere:
        def write(self) -> None: ...

    async def ask() -> Counts:
        counts = Counts()
        scope = {"type": "http", "path": "/x", "app": type("App", (), {"routes": []})}

        async def send(message: Any) -> None: ...

        await Metrics(full, Meter(counts, Nowhere()), lambda name: True, Nowhere())(scope, None, send)  # type: ignore[arg-type]
        return counts

    assert asyncio.run(ask()).answers["", ""].outcomes == {("503", kind): 1}


def total(folder: Any) -> float:
    shared = SharedCounts(folder)
    try:
        return sum(s.value for m in shared.collect() for s in m.samples if s.name == "mlops_rows_total")
    finally:
        shared.close()


def counted(rows: int) -> Counts:
    counts = Counts()
    counts.rows["trips", "1"] = rows
    return counts


def test_whoever_comes_first_starts_from_nothing_and_whoever_comes_later_adds_up(tmp_path):
    first, second = SharedCounts(tmp_path), SharedCounts(tmp_path)
    first.write(sums(counted(3), None), 1.0)
    second.write(sums(counted(4), None), 1.0)
    assert total(tmp_path) == 7
    first.close()
    assert total(tmp_path) == 7, "what a process counted that has ended is still counted"
    second.close()
    assert total(tmp_path) == 0


def written_by_many(folder: Any) -> tuple[SharedCounts, int]:
    """One that is open, and eight that counted 1 to 8 rows and ended."""
    first = SharedCounts(folder)
    for rows in range(1, 9):
        one = SharedCounts(folder)
        one.write(sums(counted(rows), None), float(rows))
        one.close()
    return first, sum(range(1, 9))


def test_what_ended_processes_counted_lies_in_one_file_of_each_kind_and_the_sums_stay(tmp_path):
    first, rows = written_by_many(tmp_path)
    assert total(tmp_path) == rows
    assert total(tmp_path) == rows, "nothing is counted twice"
    ours = [path for path in tmp_path.rglob("counter_*.db") if first._name not in path.name]
    assert [path.name for path in ours] == [f"counter_{FOLDED}.db"]
    first.close()


@pytest.mark.parametrize("step", range(12))
def test_a_process_killed_while_it_puts_counts_together_changes_no_sum(tmp_path, monkeypatch, step):
    first, rows = written_by_many(tmp_path)
    left = iter(range(step))

    def or_killed(work: Any) -> Any:
        def tried(*given: Any, **named: Any) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return work(*given, **named)

        return tried

    one = SharedCounts(tmp_path)
    one.write(sums(counted(100), None), 9.0)
    one.close()
    with monkeypatch.context() as killed:
        for name in ("unlink", "replace", "write_text"):
            killed.setattr(Path, name, or_killed(getattr(Path, name)))
        with contextlib.suppress(KeyboardInterrupt):
            fold(first.folder)
    assert total(tmp_path) == rows + 100
    first.close()


def test_two_processes_of_one_state_are_added_up_and_one_that_was_killed_stays_counted(tmp_path, free_port):
    with running(tmp_path, free_port()) as one:
        one.publish()
        one.until(lambda models: "trips" in models)
        with running(tmp_path, free_port(), signal.SIGKILL) as other:
            other.until(lambda models: "trips" in models)
            for server, times in ((one, 5), (other, 7)):
                for _ in range(times):
                    server.http.post("/predict/trips", json=TRIP).raise_for_status()
                assert server.http.post("/predict/trips", json={}).status_code == 422
                assert server.http.post("/predict/trips", json=TRIP | {"distance": -1}).status_code == 500
                assert server.http.post("/predict/nobody", json=TRIP).status_code == 404
            for read in (all_of(other.http, 12), all_of(one.http, 12)):
                assert read("mlops_requests_total", model="trips", status="200") == 12
                assert read("mlops_request_seconds_count", model="trips") == 12
                assert read("mlops_requests_total", model="trips", kind="invalid") == 2
                assert read("mlops_requests_total", model="trips", kind="failed") == 2
                assert read("mlops_requests_total", model="", route="/predict/{name}", kind="unknown") == 2
                assert read("mlops_rows_total") == 12
            assert len(list(tmp_path.glob("serving/metrics/*/gauge_live*"))) == 2
        after = Read(one.http)
        assert after("mlops_rows_total") == 12
        assert after("mlops_requests_in_progress") == 1, "the question itself, and nothing of the killed one"
    with running(tmp_path, free_port()) as again:
        assert Read(again.http)("mlops_rows_total") == 0
