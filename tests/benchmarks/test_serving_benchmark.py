"""The benchmark of the endpoint: how its figures become ratios and the page's table, and whom it asks how."""

import json

from benchmarks import serving, serving_rollout
from benchmarks.report import RESULTS
from docs.tables import SERVING, block_in


def figure(rate: float) -> dict[str, float]:
    return {"requests_a_second": rate, "p50_ms": 1e3 / rate, "p99_ms": 2e3 / rate, "cpu_ms": 0.25}


FOUND = {
    "1 rows, 1 connections": {"ours": figure(1000), "mlflow": figure(100), "mlflow_bare": figure(400)},
    "1 rows, 64 connections": {"ours": figure(4000), "mlflow": figure(80), "mlflow_bare": figure(500)},
    "in_process_cpu_ms": {"1": 0.4, "100": 7.0},
}


def test_a_ratio_says_how_many_times_as_many_answers_the_endpoint_gives():
    assert serving.ratios_of(FOUND) == {
        "vs_mlflow_1": 10.0,
        "vs_mlflow_64": 50.0,
        "vs_mlflow_bare_1": 2.5,
        "vs_mlflow_bare_64": 8.0,
    }


def test_the_pages_table_has_a_line_for_each_server_that_was_asked():
    lines = serving.page_table(FOUND).splitlines()
    assert [line.split("  ")[0] for line in lines[2:5]] == [
        "the endpoint",
        "mlflow models serve, by name",
        "mlflow models serve, bare",
    ]
    assert lines[2].split()[2:] == ["1,000", "1.00", "0.25", "4,000", "0", "0.25"]


def test_the_page_shows_the_figures_that_were_left():
    figures = json.loads((RESULTS / "serving.json").read_text())["figures"]
    assert block_in(SERVING.read_text(), "serving") == serving.page_table(figures)


def test_the_page_shows_the_figures_of_a_rollout():
    figures = json.loads((RESULTS / "serving_rollout.json").read_text())["figures"]
    assert block_in(SERVING.read_text(), "rollout") == serving_rollout.table_of(figures)
