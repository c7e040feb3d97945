"""The endpoint as one plain process: no Ray, the loopback address alone, a clean end, and the same answers after a hard one."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from resources.settings import PROJECT_ROOT, settings
from resources.state_folder import SettingsError
from tests.resources.endpoint_process import TRIP, ask, logged, running
from tests.resources.serving_fakes import PATIENT


def test_it_is_one_process_without_ray_on_the_loopback_address(tmp_path, free_port):
    with running(tmp_path, free_port(), signal.SIGINT) as server:
        process = psutil.Process(server.process.pid)
        listening = [c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1"]
        assert process.children(recursive=True) == []
        assert not any("/ray/" in one.path for one in process.memory_maps())


def test_what_was_served_is_on_disk_when_it_was_told_to_end_and_a_killed_one_answers_the_same_again(
    tmp_path, free_port
):
    port = free_port()
    (tmp_path / PATIENT).touch()
    with running(tmp_path, port, signal.SIGKILL) as server:
        server.publish()
        server.until(lambda models: "trips" in models)
        before = server.http.post("/predict/trips", json=TRIP).json()
    with running(tmp_path, port) as server:
        server.until(lambda models: "trips" in models)
        after = server.http.post("/predict/trips", json=TRIP).json()
        served = ask(server, 20)
        server.publish(version="2", slope=3.0)
        server.until(lambda models: models["trips"]["version"] == "2")
        assert server.http.post("/predict/trips", json=TRIP).json()["value"] == 27.0
    assert served <= logged(tmp_path)
    ids = {before.pop("request_id"), after.pop("request_id")}
    assert before == after and len(ids) == 2


def test_a_port_that_is_taken_is_told(tmp_path, free_port):
    port = free_port()
    with running(tmp_path, port):
        done = subprocess.run(
            [sys.executable, "-m", "resources.serving"],
            env={**os.environ, "MLOPS_HOME": str(tmp_path), "MLOPS_SERVE_PORT": str(port)},
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1 and "set MLOPS_SERVE_PORT to another port" in done.stderr


def test_only_two_ways_to_serve_are_known():
    assert settings({}).serve_with == "process"
    assert settings({"MLOPS_SERVE_WITH": "ray"}).serve_with == "ray"
    with pytest.raises(SettingsError, match="MLOPS_SERVE_WITH='bentoml' is not known: give process or ray"):
        settings({"MLOPS_SERVE_WITH": "bentoml"})


def test_a_version_whose_file_is_broken_does_not_replace_the_one_that_answers(tmp_path, free_port):
    asked = {"inputs": [
        {"name": "distance", "datatype": "FP64", "shape": [1], "data": [TRIP["distance"]]},
        {"name": "leaves_at", "datatype": "BYTES", "shape": [1], "data": [TRIP["leaves_at"]]},
    ]}  # fmt: skip
    with running(tmp_path, free_port()) as server:
        server.publish()
        server.until(lambda models: "trips" in models)
        server.publish(version="2", slope=3.0, model_sha256="0" * 64)
        server.until(lambda models: models["trips"]["problem"])
        broken = tmp_path / "serving" / "trips-3.model"
        server.publish(version="3", slope=-1.0)
        server.until(lambda models: "slope -1.0 is negative" in (models["trips"]["problem"] or ""))
        broken.unlink()
        for path in ("/v1/models/trips/predict", "/predict/trips"):
            answer = server.http.post(path, json=TRIP).raise_for_status().json()
            assert (answer["version"], answer["value"]) == ("1", 18.0)
        told = server.http.post("/v2/models/trips/infer", json=asked).raise_for_status().json()
        assert (told["model_version"], told["outputs"][0]["data"]) == ("1", [18.0])
        ready = server.http.get("/readyz")
        assert (ready.status_code, "keeps serving" in ready.json()["problems"]["trips"]) == (200, True)
        server.publish(version="4", slope=4.0)
        server.until(lambda models: models["trips"]["version"] == "4" and not models["trips"]["problem"])
