"""A client library that knows nothing of this project asks the endpoint: NVIDIA's tritonclient, in an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.resources.endpoint_process import MOMENT, TRIP, running

CLIENT = Path(__file__).parent / "triton_client.py"
PACKAGE = "tritonclient[http]==2.73.0"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the client; its packages do not go with ours, so it is installed beside them, where an index is in reach."""
    folder = tmp_path_factory.mktemp("triton") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", PACKAGE]
    done = subprocess.run(pip, env=clean, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{PACKAGE} cannot be installed here: {done.stderr.strip()[-300:]}")
    return folder / "bin" / "python"


@pytest.mark.nightly
def test_a_client_of_the_open_inference_protocol_gets_the_answers_by_bytes_and_by_json(
    python, tmp_path, free_port
):
    port = free_port()
    with running(tmp_path, port) as server:
        server.publish()
        server.until(lambda models: "trips" in models)
        command = [str(python), str(CLIENT), f"127.0.0.1:{port}", TRIP["leaves_at"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [told[name] for name in ("live", "ready", "model", "version", "other")] == [True] * 4 + [False]
    assert told["server"]["extensions"] == ["binary_tensor_data"]
    assert [one["name"] for one in told["metadata"]["inputs"]] == ["distance", "leaves_at"]
    assert told["values True"] == told["values False"] == [2.0, 12.5]
    assert told["id True"] == told["id False"] == "mine" and told["as_of"] == [MOMENT] * 2
    assert told["error"] == ["422", "body.inputs.leaves_at: is needed"]
