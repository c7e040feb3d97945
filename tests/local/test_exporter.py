"""Who may ask the exporter: this machine where it listens on it alone, else whoever brings a key, by any name."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from mlops_assets.cli import main
from mlops_assets.local.exporter import application
from resources.serving.http.keys import key_hash, new_key
from resources.settings import settings

KEY = new_key()
POD = {"Host": "10.1.2.3:9464"}
"""As a Prometheus asks that knows a pod by its number."""

BEARER = {"Authorization": f"Bearer {KEY}"}


def asked(home: Path, **variables: str) -> TestClient:
    environment = {"MLOPS_HOME": str(home), "MLOPS_SERVE_KEYS": f"prometheus:{key_hash(KEY)}", **variables}
    made: Any = application(settings(environment), dict, 0.0)
    return TestClient(made, base_url="http://127.0.0.1:9464")


def test_where_others_reach_it_a_key_is_asked_for_by_whatever_name_it_is_called(tmp_path):
    client = asked(tmp_path, MLOPS_METRICS_HOST="0.0.0.0")
    for path in ("/metrics", "/"):
        assert client.get(path, headers=POD).status_code == 401
        assert client.get(path, headers=POD | {"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get(path, headers=POD | BEARER).status_code == 200
    assert "mlops_look_seconds" in client.get("/metrics", headers=POD | BEARER).text
    hook = client.post("/alertmanager", json={"version": "3"}, headers=POD | BEARER)
    assert hook.status_code == 422 and "no webhook of Alertmanager" in hook.json()["error"]


def test_whether_it_lives_is_told_without_one(tmp_path):
    answer = asked(tmp_path, MLOPS_METRICS_HOST="0.0.0.0").get("/healthz", headers=POD)
    assert (answer.status_code, answer.text) == (200, "ok")


def test_on_this_machine_alone_no_key_is_asked_for_and_no_other_name_answered(tmp_path):
    client = asked(tmp_path)
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", headers=POD | BEARER).status_code == 403


def test_the_command_does_not_open_itself_to_others_without_a_key(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("MLOPS_METRICS_HOST", "0.0.0.0")
    assert main(["metrics"]) == 1
    told = capsys.readouterr().err
    assert "MLOPS_METRICS_HOST=0.0.0.0 opens the metrics to others, and no key is set" in told
