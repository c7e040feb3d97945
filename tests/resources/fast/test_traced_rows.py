"""A request of a caller's trace has it in its row of the serving log, whichever way it is answered and with whom; all others cost nothing more."""

import asyncio
import re
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from resources.serving.connection import Connection
from resources.serving.log import REQUEST, TRACE, ServedBatch, ServingLogResource
from resources.serving.log_writer import ServingLog
from resources.telemetry.trace_ids import trace_in
from tests.resources.endpoint_in_process import TRIP, client, endpoint
from tests.resources.fast.test_straight import HEAD, PATH, made, request, taken, trip
from tests.resources.fast.wire import Wire, written
from tests.resources.serving_log_samples import WALL, answered

TRACES = [f"{number:032x}" for number in range(1, 9)]


def parent(trace: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}


def ids(answer: bytes | str) -> list[str]:
    text = answer.decode() if isinstance(answer, bytes) else answer
    return re.findall(r'"request_id": ?"([0-9a-f]{32})"', text)


class Taken(ServingLog):
    """A log that keeps the trace by the id of each row: the short model's features are none that it could write."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rows: dict[str, str | None] = {}

    def append(self, answered: ServedBatch) -> None:
        traces = answered.traces or [""] * answered.rows
        self.rows |= {row: trace or None for row, trace in zip(answered.request_ids, traces, strict=True)}


def test_on_a_connection_and_through_the_application_each_row_has_its_own_requests_trace(
    tmp_path, monkeypatch
):
    log = Taken(tmp_path / "log")
    app = made(tmp_path / "home", log=log)
    paths = taken(app, monkeypatch)
    expected: dict[str, str | None] = {}
    for trace in (None, *TRACES[:3], None):
        head = HEAD | (parent(trace) if trace else {})
        (row,) = ids(written(app, Connection, [request(trip(2.0), head=head)])[0])
        expected[row] = trace
    assert len(paths) == 4, "but for the first, whose form was not known, all went the short way"
    log.close()
    assert log.rows == expected and len(expected) == 5


def test_in_the_application_and_its_threads_each_row_has_its_own_requests_trace(tmp_path):
    short, log = Taken(tmp_path / "short"), Taken(tmp_path / "log")
    lane, threads = client(made(tmp_path / "lane", log=short)), client(endpoint(tmp_path / "home", log=log))
    expected: dict[str, str | None] = {}
    for http, address in ((lane, PATH), (threads, PATH), (threads, f"{PATH}?features=true")):
        for trace in (TRACES[3], None):
            answer = http.post(address, json=[TRIP, TRIP], headers=parent(trace) if trace else {})
            expected |= dict.fromkeys(ids(answer.text), trace)
    assert short.rows | log.rows == expected and len(expected) == 12
    for one in (short, log):
        one.close()


def test_requests_that_are_predicted_together_keep_their_traces_apart(tmp_path, monkeypatch):
    log = Taken(tmp_path / "log")
    app = made(tmp_path / "home", log=log)
    calls, predict = [], app.state.models.predict
    monkeypatch.setattr(
        app.state.models, "predict", lambda *given, **named: calls.append(1) or predict(*given, **named)
    )
    traces = [None, *TRACES, None]

    async def story() -> dict[str, str | None]:
        wires = [Wire(app, Connection) for _ in traces]
        for wire, trace in zip(wires, traces, strict=True):
            wire.bring(request([trip(1.0), trip(2.0)], head=HEAD | (parent(trace) if trace else {})))
        for wire in wires:
            await wire.settle()
        return {
            row: trace for wire, trace in zip(wires, traces, strict=True) for row in ids(wire.socket.written)
        }

    written(app, Connection, [request(trip(1.0))])
    calls.clear()
    expected = asyncio.run(story())
    log.close()
    assert len(expected) == 20 and len(calls) < len(traces)
    assert {row: log.rows[row] for row in expected} == expected


def test_a_head_with_a_trace_is_not_remembered_as_it_never_comes_again(tmp_path):
    app = made(tmp_path)
    for trace in (None, *TRACES):
        written(app, Connection, [request(trip(1.0), head=HEAD | (parent(trace) if trace else {}))])
    assert len(app.state.straight.heads._known) <= 1


def test_a_log_of_requests_without_traces_has_no_such_column_and_is_read_beside_one_that_has(tmp_path):
    for names, traces in ((["a", "b"], ()), (["c", "d"], ["", TRACES[0]])):
        log = ServingLog(tmp_path, every_s=60)
        batch = answered(names)
        batch.traces = traces
        log.append(batch)
        log.append(answered([f"{name}2" for name in names]))
        log.close()
    files = sorted(tmp_path.glob("stops/*/*.parquet"))
    assert sorted(TRACE in pl.read_parquet_schema(file) for file in files) == [False, True]
    log = ServingLogResource(folder=str(tmp_path))
    rows = log.read("stops", 100)
    known = {row: trace for row, trace in zip(rows[REQUEST], rows[TRACE], strict=True) if trace}
    assert rows.height == 8 and known == {"d": TRACES[0]}
    assert log.count_since("stops", WALL) == log.since("stops", WALL).height == 8


hexadecimal = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(hexadecimal, st.sampled_from(["00", "01", "ff"]), st.sampled_from(["", "-more", "x"]))
def test_a_traceparent_names_a_trace_as_the_standard_says_and_nothing_else_does(trace, version, behind):
    value = f"{version}-{trace}-00f067aa0ba902b7-01{behind}".encode()
    fits = version != "ff" and behind != "x" and set(trace) != {"0"}
    headers = [(b"host", b"x"), (b"traceparent", value)]
    assert trace_in(headers) == (trace if fits else "")
    assert trace_in([*headers, headers[1]]) == "" == trace_in([(b"traceparent", value[:-20])])
