"""Where keys are set nobody is let in without one, and no key is repeated to anybody."""

import base64
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.cli import main
from resources.serving.http.keys import OPEN, key_hash, new_key
from resources.settings import PROJECT_ROOT, settings
from resources.state_folder import SettingsError
from tests.resources.endpoint_in_process import TRIP, client, endpoint
from tests.resources.endpoint_process import Server, wait_until_up

KEY, OTHER = new_key(), new_key()
LET_IN = [
    {"authorization": f"Bearer {KEY}"},
    {"authorization": f"bearer {OTHER}"},
    {"x-api-key": KEY},
    {"authorization": f"Basic {base64.b64encode(f'me:{KEY}'.encode()).decode()}"},
]
KEPT_OUT = [
    {},
    {"authorization": "Bearer"},
    {"authorization": f"Bearer {KEY[:-1]}"},
    {"authorization": f"Bearer {key_hash(KEY)}"},
    {"authorization": KEY},
    {"authorization": f"Basic {KEY}"},
    {"x-api-key": f"partner:{key_hash(KEY)}"},
    {"x-api-key": "é"},
]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    known = tuple(f"partner:{key_hash(key)}" for key in (OTHER, KEY))
    return client(endpoint(tmp_path_factory.mktemp("endpoint"), keys=known))


def headers(named: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in named.items()]


@pytest.mark.parametrize("named", LET_IN)
def test_who_has_a_key_is_let_in(http, named):
    assert http.post("/v1/models/trips/predict", json=TRIP, headers=headers(named)).status_code == 200
    assert http.get("/models", headers=headers(named)).status_code == 200
    assert http.get("/healthz", headers=headers(named)).json()["models"] == 1


@pytest.mark.parametrize("named", KEPT_OUT)
@pytest.mark.parametrize("path", ["/v1/models/trips/predict", "/predict/trips", "/push/readings", "/v2/models/trips/infer", "/x"])  # fmt: skip
def test_who_has_none_is_told_how_to_get_one_and_nothing_else(http, named, path):
    for reply in (http.post(path, json=TRIP, headers=headers(named)), http.get(path, headers=headers(named))):
        assert (reply.status_code, "mlops key new NAME" in reply.json()["detail"]) == (401, True)
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert KEY not in reply.text and ("error" in reply.json()) == path.startswith("/v2")


def test_no_page_and_no_document_is_shown_without_a_key(http):
    for path in ("/", "/docs", "/openapi.json", "/models", "/v2", "/v2/models/trips"):
        assert http.get(path).status_code == 401


def test_probes_are_answered_without_a_key_by_whatever_name_and_learn_nothing_else(http):
    for path in OPEN:
        reply = http.get(path, headers={"host": "10.1.2.3:8000"})
        assert reply.status_code == 200 and len(reply.content) < 20
    with_key = {"x-api-key": KEY, "host": "10.1.2.3:8000"}
    assert http.get("/models", headers=with_key).status_code == 403


def test_the_document_says_how_a_key_is_sent(http):
    document = http.get("/openapi.json", headers={"x-api-key": KEY}).json()
    assert document["security"] == [{"bearer": []}, {"header": []}]


def test_without_keys_none_is_asked_for(tmp_path):
    open_to_all = client(endpoint(tmp_path))
    assert open_to_all.get("/models").status_code == 200
    assert "problems" in open_to_all.get("/readyz").json()


@given(st.text(max_size=20), st.binary(max_size=20))
def test_no_other_text_is_a_key(http, text, raw):
    for value in (text.encode("utf-8", "replace"), raw):
        for name in (b"x-api-key", b"authorization"):
            assert http.get("/models", headers=[(name, value)]).status_code == 401


def test_a_key_is_made_and_shown_once_and_the_setting_takes_its_hash(capsys):
    assert main(["key", "new", "partner-a"]) == 0
    lines = capsys.readouterr().out.splitlines()
    key, setting = lines[1].strip(), lines[3].strip()
    assert setting == f"partner-a:{key_hash(key)}" and len(key) > 40
    assert settings({"MLOPS_SERVE_KEYS": f" {setting} , b:{'0' * 64}"}).serve_keys == (
        setting,
        f"b:{'0' * 64}",
    )
    assert key not in "".join(lines[3:]) and main(["key", "new", "a b"]) == 2


def test_a_wrong_setting_of_keys_is_told_without_repeating_it():
    for wrong in (KEY, f"partner:{KEY}", f"a:{'0' * 64},{KEY}"):
        with pytest.raises(SettingsError, match=r"MLOPS_SERVE_KEYS: entry [12] is no NAME:HASH") as refused:
            settings({"MLOPS_SERVE_KEYS": wrong})
        assert KEY not in str(refused.value)
    assert "0" * 64 not in repr(settings({"MLOPS_SERVE_KEYS": f"a:{'0' * 64}"}))


def test_which_addresses_are_open_to_others():
    assert not settings({}).exposed
    for host in ("0.0.0.0", "::", "10.0.0.1", "models.example.org"):
        assert settings({"MLOPS_SERVE_HOST": host}).exposed, host
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert not settings({"MLOPS_SERVE_HOST": host}).exposed, host
    assert settings({"MLOPS_SERVE_HOST": "::"}).serve_address == "http://[::1]:8000"
    assert settings({"MLOPS_SERVE_HOST": "::", "MLOPS_ALLOWED_HOSTS": "a"}).serve_names == ("a",)
    assert settings({"MLOPS_SERVE_HOST": "2001:db8::7"}).serve_names == ("[2001:db8::7]",)


@pytest.mark.parametrize("serve_with", ["process", "ray"])
def test_the_endpoint_does_not_open_itself_to_others_without_a_key(serve_with, tmp_path: Path, free_port):
    names = {"MLOPS_HOME": str(tmp_path), "MLOPS_SERVE_PORT": str(free_port()), "MLOPS_SERVE_HOST": "0.0.0.0"}
    done = subprocess.run(
        [sys.executable, "-m", "resources.serving"],
        env={**os.environ, **names, "MLOPS_SERVE_WITH": serve_with},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "MLOPS_SERVE_HOST=0.0.0.0 opens the endpoint to others, and no key is set" in done.stderr


def test_a_process_with_keys_asks_for_one_and_writes_none_down(tmp_path: Path, free_port):
    port = free_port()
    names = {
        "MLOPS_HOME": str(tmp_path),
        "MLOPS_SERVE_PORT": str(port),
        "MLOPS_SERVE_KEYS": f"me:{key_hash(KEY)}",
    }
    with (tmp_path / "said.log").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "resources.serving"],
            env={**os.environ, **names},
            cwd=PROJECT_ROOT,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            server = Server(tmp_path, port, process)
            wait_until_up(server)
            asked = server.http
            assert asked.get("/healthz").json() == {"status": "ok"}
            for named, status in (({}, 401), ({"x-api-key": OTHER}, 401), ({"x-api-key": KEY}, 503)):
                reply = asked.post("/v1/models/nobody/predict?key=" + OTHER, json=TRIP, headers=named)
                assert reply.status_code == status
            assert asked.get("/models", headers={"authorization": f"Bearer {KEY}"}).json() == []
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert written
    for file in written:
        content = file.read_bytes()
        assert KEY.encode() not in content and OTHER.encode() not in content, file
