"""The benchmark of what comes beyond capacity: how it asks, and how what it met becomes ratios and the page's table."""

import asyncio
import json
from collections import Counter

import pytest

from benchmarks import overload
from benchmarks.overload import Met
from benchmarks.report import RESULTS
from benchmarks.wire import run
from docs.tables import SERVING, block_in

REPLIES = {
    200: b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue",
    503: b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",
}


def load(p99: float, refused: float, soon: float) -> dict[str, float]:
    times = {"accepted_p50_ms": p99 / 2, "accepted_p99_ms": p99, "refused_p50_ms": 1.0, "refused_p99_ms": 2.0}
    shares = {"answered_of_capacity": 1 - refused, "refused_share": refused, "refused_soon_share": soon}
    return {**times, **shares, "client_late_p99_ms": 1.0}


FOUND = {"capacity": 4000.0, "times": {"1": load(20.0, 0.0, 1.0), "3": load(50.0, 0.6, 0.75)}}


def test_a_ratio_compares_with_what_happens_at_capacity():
    ratios = overload.ratios_of(FOUND)
    assert (ratios["accepted_p99_1"], ratios["accepted_p99_3"]) == (1.0, 2.5)
    assert (ratios["answered_3"], ratios["refused_within_50_ms_3"]) == (0.4, 0.75)


def test_the_pages_table_has_a_line_for_each_load_and_the_capacity():
    lines = overload.page_table(FOUND).splitlines()
    assert lines[2].split() == ["1", "x", "1.00", "10", "20", "-", "-", "-", "1"]
    assert lines[3].split() == ["3", "x", "0.40", "25", "50", "1", "2", "75.0%", "1"]
    assert lines[-1] == "capacity: 4,000 answers a second"


def test_what_is_due_in_the_first_second_is_left_out():
    met = Met(
        due=[0.5, 1.5, 2.0, 2.5], late=[0.0] * 4, took=[9.0, 0.01, 0.02, 0.1], statuses=[200, 200, 503, 503]
    )
    figures = overload.figures_of(met, capacity=1.0, seconds=3.0)
    assert figures["accepted_p99_ms"] == pytest.approx(10.0)
    assert (figures["answered_of_capacity"], figures["refused_share"]) == (0.5, pytest.approx(2 / 3))
    assert figures["refused_soon_share"] == 0.5


def test_requests_come_when_they_are_due_whatever_those_before_them_got(monkeypatch):
    monkeypatch.setattr(overload, "bodies", lambda rows: [{"a": 1}])
    monkeypatch.setattr(overload, "CONNECTIONS", 10)
    came: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            came.append(await reader.readexactly(8))
            writer.write(REPLIES[200 if len(came) % 3 else 503])

    async def story() -> Met:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return await overload.offered(server.sockets[0].getsockname()[1], "/x", 300.0, 0.5, seed=1)

    met = run(story())
    assert Counter(met.statuses) == {200: 100, 503: 50} and came == [b'{"a": 1}'] * 150
    assert all(one >= 0 for one in met.late) and len(met.took) == len(met.due) == 150


def test_the_page_shows_the_figures_that_were_left():
    figures = json.loads((RESULTS / "overload.json").read_text())["figures"]
    assert block_in(SERVING.read_text(), "overload") == overload.page_table(figures)
