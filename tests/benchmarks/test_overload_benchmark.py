"""The benchmark of what comes beyond capacity: how it asks, and how what it met becomes ratios and the page's table."""

import json

import numpy as np
import pytest

from benchmarks import overload
from benchmarks.overload import Met
from benchmarks.report import RESULTS
from docs.tables import SERVING, block_in


def load(p99: float, refused: float, soon: float) -> dict[str, float]:
    times = {"accepted_p50_ms": p99 / 2, "accepted_p99_ms": p99, "refused_p50_ms": 1.0, "refused_p99_ms": 2.0}
    shares = {"answered_of_capacity": 1 - refused, "refused_share": refused, "refused_soon_share": soon}
    return {**times, **shares, "offered_of_capacity": 1.0}


FOUND = {"capacity": 4000.0, "times": {"1": load(20.0, 0.0, 1.0), "3": load(50.0, 0.6, 0.75)}}


def test_a_ratio_compares_with_what_happens_at_capacity():
    ratios = overload.ratios_of(FOUND)
    assert (ratios["accepted_p99_1"], ratios["accepted_p99_3"]) == (1.0, 2.5)
    assert (ratios["answered_3"], ratios["refused_within_50_ms_3"]) == (0.4, 0.75)


def test_the_pages_table_has_a_line_for_each_load_and_the_capacity():
    lines = overload.page_table(FOUND).splitlines()
    assert lines[2].split() == ["1", "x", "1.00", "1.00", "10", "20", "-", "-", "-"]
    assert lines[3].split() == ["3", "x", "1.00", "0.40", "25", "50", "1", "2", "75.0%"]
    assert lines[-1] == "capacity: 4,000 answers a second"


def test_what_is_sent_in_the_first_second_is_left_out():
    sent, took = np.array([0.0, 0.5, 1.5, 2.0, 2.5]), np.array([9.0, 9.0, 0.01, 0.02, 0.1])
    figures = overload.figures_of(Met(sent, took, np.array([200, 200, 200, 503, 503])), capacity=1.0)
    assert figures["accepted_p99_ms"] == pytest.approx(10.0)
    shares = figures["offered_of_capacity"], figures["answered_of_capacity"], figures["refused_share"]
    assert shares == (3.0, 1.0, pytest.approx(2 / 3))
    assert figures["refused_soon_share"] == 0.5


def test_too_short_a_load_has_no_figures():
    with pytest.raises(SystemExit, match="offer the load for longer"):
        overload.figures_of(Met(np.array([0.0, 0.5]), np.array([0.1, 0.1]), np.array([200, 200])), 1.0)


def test_a_log_of_the_client_is_read_and_another_status_refused(tmp_path):
    log = tmp_path / "log"
    log.write_text("2000000\t200\t1500\n1000000\t503\t500\n")
    met = overload.read_log(log)
    assert (met.sent.tolist(), met.took.tolist(), met.status.tolist()) == (
        [1.0, 0.0],
        [0.0015, 0.0005],
        [200, 503],
    )
    log.write_text("1000000\t-1\t500\n")
    with pytest.raises(SystemExit, match=r"answered with \[-1\]"):
        overload.read_log(log)


def test_the_page_shows_the_figures_that_were_left_and_none_before():
    left, shown = RESULTS / "overload.json", block_in(SERVING.read_text(), "overload")
    figures = json.loads(left.read_text())["figures"] if left.exists() else None
    assert shown == ("" if figures is None else overload.page_table(figures))
