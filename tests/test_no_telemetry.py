"""Nothing phones home: the libraries are used with the project's settings while every step off this machine is refused.

The guard sees Python's sockets in every process; Ray's C++ processes are looked at from outside, by their connections.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resources.settings import PROJECT_ROOT, USAGE_REPORTS_OFF

GUARD = Path(__file__).parent / "network_guard"

DAGSTER = """
from mlops_assets.dev import prepare_dagster_home
prepare_dagster_home(settings())
import dagster as dg

@dg.asset
def one(context: dg.AssetExecutionContext) -> int:
    return 1

with dg.DagsterInstance.get() as instance:
    assert not instance.telemetry_enabled
    assert dg.materialize([one], instance=instance).success

from dagster._core.telemetry import log_action
from dagster._core.telemetry_upload import upload_logs
import threading

with dg.DagsterInstance.get() as instance:
    log_action(instance, "test")
upload_logs(threading.Event(), raise_errors=True)
"""

MLFLOW = """
import os
import mlflow
mlflow.set_tracking_uri("sqlite:///" + os.path.join(os.environ["MLOPS_HOME"], "mlflow.db"))
with mlflow.start_run():
    mlflow.log_metric("auc", 0.7)
from mlflow.telemetry import get_telemetry_client
client = get_telemetry_client()
assert client is None, client
"""

FEAST = """
import os
from datetime import timedelta
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float32
from feast.value_type import ValueType
home = os.environ["MLOPS_HOME"]
store = FeatureStore(config=RepoConfig(
    project="quiet", provider="local", registry=home + "/registry.db",
    online_store={"type": "sqlite", "path": home + "/online.db"}, entity_key_serialization_version=3,
))
plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)
source = FileSource(path=home + "/planes.parquet", timestamp_field="at")
import polars as pl
from datetime import datetime
pl.DataFrame({"tailnum": ["N1"], "seats": [4.0], "at": [datetime(2013, 1, 1)]}).write_parquet(home + "/planes.parquet")
view = FeatureView(name="planes", entities=[plane], ttl=timedelta(days=1), schema=[Field(name="seats", dtype=Float32)], source=source)
store.apply([plane, source, view])
assert store.get_online_features(features=["planes:seats"], entity_rows=[{"tailnum": "N1"}]).to_dict()
"""

EVIDENTLY = """
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
frame = pd.DataFrame({"wind": [float(i % 17) for i in range(200)]})
assert Report([DataDriftPreset()]).run(frame, frame).dict()
"""

RAY = """
import os, tempfile
from resources.serving import HOST, MEBIBYTE, keep_ray_local, without_api_server
keep_ray_local()
without_api_server()
import psutil
import ray
with tempfile.TemporaryDirectory(prefix="mlops-ray-") as folder:
    ray.init(address="local", num_cpus=1, object_store_memory=80 * MEBIBYTE, include_dashboard=False,
             log_to_driver=False, _node_ip_address=HOST, _temp_dir=folder)

    @ray.remote
    def twice(number):
        return 2 * number

    assert ray.get(twice.remote(21)) == 42
    from ray._common.usage.usage_lib import usage_stats_enabled
    assert not usage_stats_enabled()
    here = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        for connection in process.net_connections(kind="inet"):
            ends = {end.ip for end in (connection.laddr, connection.raddr) if end}
            assert ends <= here, (process.name(), connection)
    ray.shutdown()
"""

MAIN_JOB = """
from mlops_assets.cli import main
assert main(["run", "--through", "2012-12-31", "--no-compare", "--no-second-model"]) == 0
"""

USES = {
    "the main job": MAIN_JOB,
    "dagster": DAGSTER,
    "mlflow": MLFLOW,
    "feast": FEAST,
    "evidently": EVIDENTLY,
    "ray": RAY,
}


def start_guarded(code: str, home: Path, **environment: str) -> subprocess.Popen[str]:
    """Start code in a guarded process whose environment has none of our switches."""
    (home / "refused.log").touch()
    clean = {name: value for name, value in os.environ.items() if name not in {*USAGE_REPORTS_OFF, "CI"}}
    clean |= {
        "PYTHONPATH": os.pathsep.join([str(GUARD), str(PROJECT_ROOT)]),
        "NETWORK_GUARD_LOG": str(home / "refused.log"),
        "MLOPS_HOME": str(home),
        "HOME": str(home),
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=clean,
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], home: Path) -> tuple[int, str, list[str]]:
    """Exit code, standard error, and what the guard refused."""
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors, (home / "refused.log").read_text().splitlines()


@pytest.fixture(scope="module")
def uses(tmp_path_factory):
    """Every library at work in a process of its own, all at once: importing them takes most of the time."""
    quiet = "from resources.settings import settings, silence_usage_reports\nsilence_usage_reports()\n"
    started = {}
    for library, code in USES.items():
        home = tmp_path_factory.mktemp(library)
        started[library] = start_guarded(quiet + code, home), home
    yield started
    for process, _ in started.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("library", USES)
def test_a_library_used_with_our_settings_never_steps_outside(library, uses):
    code, errors, refused = ended(*uses[library])
    assert code == 0, errors[-3000:]
    assert refused == []


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)",
        "import urllib.request; urllib.request.urlopen('http://telemetry.example.org', timeout=5)",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', \"import socket; socket.getaddrinfo('example.org', 80)\"], check=True)",
    ],
)
def test_the_guard_catches_an_outside_call(code, tmp_path):
    status, errors, refused = ended(start_guarded(code, tmp_path), tmp_path)
    assert status != 0
    assert "refused by the network guard" in errors
    assert len(refused) == 1


def test_the_guard_lets_loopback_pass(tmp_path):
    code = (
        "import socket; server = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(('localhost', server.getsockname()[1])).close()"
    )
    status, errors, refused = ended(start_guarded(code, tmp_path), tmp_path)
    assert (status, refused) == (0, []), errors


def test_without_our_settings_a_usage_report_would_be_caught(tmp_path):
    """The proof that the switches matter: Dagster's uploader alone, with nothing set, is caught by the guard."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "event.log").write_text("{}\n")
    code = (
        "import threading\n"
        "from dagster._core.telemetry_upload import _upload_logs\n"
        "from dagster_shared.telemetry import get_or_create_dir_from_dagster_home as folder\n"
        "_upload_logs(folder('logs'), 1, folder('.logs_queue'), raise_errors=True)\n"
    )
    status, _, refused = ended(start_guarded(code, tmp_path, DAGSTER_HOME=str(tmp_path)), tmp_path)
    assert status != 0
    assert any("telemetry.dagster.io" in line for line in refused)
