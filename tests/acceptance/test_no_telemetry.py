"""Nothing phones home: the libraries are used with the project's settings while every step off this machine is refused.

The guard sees Python's sockets in every process; Ray's C++ processes are looked at from outside, by their connections.
Each process has an environment made from nothing, because libraries switch their reports off by themselves where they
find CI or pytest. The same library without our settings is the control: there the guard must see a call.
"""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from docs import screenshots
from mlops_assets.local import servers
from mlops_assets.local.probes import answers
from resources.settings import PROJECT_ROOT, settings
from tests.flights.thinned import thin

GUARD = Path(__file__).parents[1] / "network_guard"

DAGSTER = """
from mlops_assets.local.servers import prepare_dagster_home
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
from resources.serving.ray_serve import HOST, MEBIBYTE, keep_ray_local, without_api_server
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


NEEDED = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What a process needs of this machine; nothing by which a library could know a test."""


def guarded_environment(home: Path) -> dict[str, str]:
    """An environment made from nothing, under which every step off this machine is refused and written down."""
    (home / "refused.log").touch()
    return {name: os.environ[name] for name in NEEDED if name in os.environ} | {
        "PYTHONPATH": os.pathsep.join([str(GUARD), str(PROJECT_ROOT)]),
        "NETWORK_GUARD_LOG": str(home / "refused.log"),
        "MLOPS_HOME": str(home),
        "HOME": str(home),
    }


def start_guarded(code: str, home: Path, **environment: str) -> subprocess.Popen[str]:
    """Start code in a guarded process."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=guarded_environment(home) | environment,
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], home: Path) -> tuple[int, str, list[str]]:
    """Exit code, standard error, and what the guard refused."""
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors, (home / "refused.log").read_text().splitlines()


@pytest.fixture(scope="module")
def uses(tmp_path_factory):
    """Every library at work in a process of its own, all at once: importing them takes most of the time."""
    quiet = "from resources.settings import settings, silence_usage_reports\nsilence_usage_reports()\n"
    started = {}
    data = thin(tmp_path_factory.mktemp("data"), every=16, before="2013-01-08")
    for library, code in USES.items():
        home = tmp_path_factory.mktemp(library)
        started[library] = start_guarded(quiet + code, home, MLOPS_DATA=str(data)), home
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


UNTIL_REFUSED = """
import os, time
until = time.monotonic() + 60
while not os.path.getsize(os.environ["NETWORK_GUARD_LOG"]) and time.monotonic() < until:
    time.sleep(0.1)
"""
UPLOADS = """
import os, threading
os.makedirs(os.environ["HOME"] + "/logs")
with open(os.environ["HOME"] + "/logs/event.log", "w") as log:
    log.write("{}\\n")
from dagster_shared.telemetry import get_or_create_dir_from_dagster_home as folder
from dagster._core.telemetry_upload import _upload_logs
try:
    _upload_logs(folder("logs"), 1, folder(".logs_queue"), raise_errors=True)
except Exception as error:
    print(error)
"""
TRACKS = """
import os
import mlflow
mlflow.set_tracking_uri("sqlite:///" + os.path.join(os.environ["MLOPS_HOME"], "mlflow.db"))
with mlflow.start_run():
    mlflow.log_metric("auc", 0.7)
"""
REPORTS = """
from evidently.telemetry import event_logger
event_logger.send_event("test", "test_action")
"""
LOOKS_FOR_A_CLOUD = """
import ray
ray.init(address="local", num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False, log_to_driver=False,
         _node_ip_address="127.0.0.1")
"""
CONTROLS = {
    "dagster": (UPLOADS, "telemetry.dagster.io"),
    "mlflow": (TRACKS, "config.mlflow-telemetry.io"),
    "evidently": (REPORTS, "35.232.253.5"),
    "ray": (LOOKS_FOR_A_CLOUD, "169.254.169.254"),
}
"""Library -> what makes it report where nobody has switched that off, and whom it then calls."""


@pytest.mark.parametrize("library", CONTROLS)
def test_without_our_settings_the_guard_would_see_a_report(library, tmp_path):
    code, called = CONTROLS[library]
    environment = {"DAGSTER_HOME": str(tmp_path), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    _, errors, refused = ended(start_guarded(code + UNTIL_REFUSED, tmp_path, **environment), tmp_path)
    assert any(called in line for line in refused), errors[-2000:]


def test_feast_has_nothing_that_could_report():
    """There is no control for Feast: its reports were taken out, and this is how one would come back."""
    found = [file.name for file in (Path(find_spec("feast").origin).parent).glob("*usage*")]
    assert found == []


@pytest.mark.parametrize("switched_off", [True, False])
def test_visitors_of_mlflows_pages_send_nothing_off_this_machine(switched_off, tmp_path, free_port, chromium):
    """The page says that it collects usage data; with our settings it does not. Without them the server's call is seen."""
    where = settings({"MLOPS_HOME": str(tmp_path), "MLOPS_MLFLOW_PORT": str(free_port())})
    servers.prepare_mlflow(where)
    server = next(
        server
        for server in servers.servers(where, tmp_path / "workspace.yaml", ["true"])
        if server.name == "MLflow"
    )
    ours = server.environment if switched_off else {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = guarded_environment(tmp_path) | ours
    environment["PYTHONPATH"] = os.pathsep.join([str(GUARD), str(PROJECT_ROOT)])
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            server.command, env=environment, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
    try:
        asked = visited(server.address, server.health, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert {
        urlsplit(address).hostname for address in asked if not address.startswith(("data:", "blob:"))
    } == {"127.0.0.1"}
    refused = (tmp_path / "refused.log").read_text()
    assert ("cloudfront.net" in refused or "mlflow-telemetry.io" in refused) == (not switched_off)
    assert switched_off == (refused == "")


SETTLED_MS = 2_000
"""How long a page is left open: its telemetry worker asks the server whether it may report as soon as it starts."""


def visited(address: str, health: str, process: subprocess.Popen[bytes]) -> list[str]:
    """Every address that the browser asked for while it looked at MLflow's pages."""
    until = time.monotonic() + 120
    while not answers(health):
        assert process.poll() is None and time.monotonic() < until, "MLflow's server did not come up"
        time.sleep(0.2)
    asked: list[str] = []
    with screenshots.browser(1200, 900) as page:
        page.context.on("request", lambda request: asked.append(request.url))
        for part in ("", "/#/experiments", "/#/models"):
            page.goto(f"{address}{part}")
            page.reload()
            page.wait_for_timeout(SETTLED_MS)
    return asked
