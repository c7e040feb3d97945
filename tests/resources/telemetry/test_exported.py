"""Runs and requests are traces of a real collector, logs carry their trace, and without an address nothing is even imported."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from fastapi.testclient import TestClient

from mlops_assets.kit.stage import Run, stage
from mlops_assets.kit.traces import TRACE_TAG, trace_id
from resources.lake.lake import Lake
from resources.serving.log import REQUEST, TRACE, ServingLogResource
from resources.serving.log_writer import ServingLog
from resources.settings import PROJECT_ROOT
from resources.telemetry.exporting import Telemetry, shut_down, telemetry
from resources.telemetry.requests import SERVICE, traced
from resources.telemetry.switch import TelemetryError, is_on
from tests.collectors import Collector, collector
from tests.resources.endpoint_in_process import TRIP, endpoint

LOG = logging.getLogger("mlops_assets.stages.of_this_test")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def collecting():
    with collector() as here, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", here.address)
        yield here
        shut_down()


@pytest.fixture
def off(monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)


def made(folder: Path) -> tuple[dg.ExecuteInProcessResult, dict[str, str]]:
    @stage(["shop", "orders"], uses=[])
    def orders(run: Run) -> Any:
        LOG.warning("three orders are there")
        yield run.result("1", {})

    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([orders], instance=instance, resources={"lake": Lake(root=str(folder))})
        run = instance.get_run_by_id(done.run_id)
        return done, dict(run.tags if run else {})


def test_a_run_is_the_trace_that_its_tag_names_and_what_it_logs_is_in_it(collecting: Collector, tmp_path):
    done, tags = made(tmp_path)
    trace = trace_id(done.run_id)
    assert done.success and tags[TRACE_TAG] == trace
    (span,) = [one for one in collecting.spans if one.trace_id.hex() == trace]
    assert span.name == "shop/orders"
    (record,) = [one for one in collecting.records if one.body.string_value == "three orders are there"]
    assert (record.trace_id.hex(), record.severity_text) == (trace, "WARNING")
    assert record.span_id == span.span_id


def test_a_request_takes_up_the_callers_trace_and_the_answer_and_the_log_say_it(
    collecting: Collector, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "resources")
    log = ServingLog(tmp_path / "log")
    app = traced(endpoint(tmp_path, log=log))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        answer = client.post("/predict/trips", json=[TRIP], headers={"traceparent": PARENT})
        own = client.post("/predict/trips", json=[TRIP])
    ours = telemetry(SERVICE)
    assert ours is not None and answer.status_code == own.status_code == 200
    ours.flush()
    assert answer.headers["traceparent"].startswith(PARENT[:36]) and answer.headers["traceparent"] != PARENT
    assert own.headers["traceparent"][3:35] in collecting.traces() - {PARENT[3:35]}
    (span,) = [one for one in collecting.spans if one.trace_id.hex() == PARENT[3:35]]
    assert (span.parent_span_id.hex(), span.name) == (PARENT[36:52], "POST /predict/{name}")
    row = answer.json()[0]["request_id"]
    log.close()
    rows = ServingLogResource(folder=str(log.folder)).read("trips", 10)
    logged = dict(zip(rows[REQUEST], rows[TRACE], strict=True))
    own_row, own_trace = own.json()[0]["request_id"], own.headers["traceparent"][3:35]
    assert logged == {row: PARENT[3:35], own_row: own_trace}
    ids = next(one.value.array_value.values for one in span.attributes if one.key == "mlops.request_ids")
    assert [one.string_value for one in ids] == [row]
    said = [one for one in collecting.records if row in one.body.string_value]
    assert [one.trace_id.hex() for one in said] == [PARENT[3:35]]


def test_without_an_address_the_application_is_the_same_one_and_a_run_has_no_tag(off, tmp_path):
    app = object()
    assert traced(app) is app
    assert TRACE_TAG not in made(tmp_path)[1]
    loaded = "import sys; from resources.telemetry.requests import traced; traced(1); sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], cwd=PROJECT_ROOT, check=False).returncode == 0


def test_the_switch_of_the_sdk_turns_it_off_and_another_protocol_is_refused(
    collecting: Collector, monkeypatch
):
    assert is_on("logs")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TelemetryError, match="'grpc' is not spoken here: give http/protobuf"):
        Telemetry("another-service")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not is_on("traces") and telemetry("another-service") is None


def test_a_collector_that_is_away_fails_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert made(tmp_path)[0].success
