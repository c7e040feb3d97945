"""`mlops dev` with its real servers: addresses that answer, errors that help, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx
import psutil
import pytest

from mlops_assets.local import servers
from mlops_assets.local.processes import Server, Supervisor
from resources.living import lives
from resources.settings import PROJECT_ROOT, USAGE_REPORTS_OFF, Settings

GUARD = PROJECT_ROOT / "tests" / "network_guard"
SERVE = "from resources.serving.ray_serve import main; raise SystemExit(main())"
DEV = """
import sys
from pathlib import Path
from mlops_assets.local import servers
from resources.settings import settings
raise SystemExit(servers.main(settings(), Path(sys.argv[1]), [sys.executable, "-c", sys.argv[2]]))
"""
ELSEWHERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
TINY = """
import dagster as dg

@dg.asset
def one() -> int:
    return 1

defs = dg.Definitions(assets=[one])
"""


def start_dev(
    settings: Settings, folder: Path, endpoint: str, marker: str, code: str = TINY, **more: str
) -> subprocess.Popen:
    (folder / "tiny_definitions.py").write_text(code)
    workspace = folder / "workspace.yaml"
    workspace.write_text(
        "load_from: [{python_module: {module_name: tiny_definitions, working_directory: .}}]\n"
    )
    environment = {
        "MLOPS_DAGSTER_PORT": str(settings.dagster_port),
        "MLOPS_MLFLOW_PORT": str(settings.mlflow_port),
        "MLOPS_SERVE_PORT": str(settings.serve_port),
        "PYTHONPATH": os.pathsep.join([str(GUARD), str(PROJECT_ROOT)]),
        "NETWORK_GUARD_LOG": str(folder / "refused.log"),
        "MLOPS_TEST_MARKER": marker,
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "-c", DEV, str(workspace), endpoint],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def marked(marker: str) -> list[str]:
    """Every process that carries the marker in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MLOPS_TEST_MARKER") == marker:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:100]}")
        except psutil.Error:
            continue
    return found


def read_until(running: subprocess.Popen, stream, text: str) -> str:
    seen = ""
    while text not in seen:
        line = stream.readline()
        assert line, f"ended before {text!r}: {seen} {running.communicate()[1]}"
        seen += line
    return seen


@pytest.fixture
def marker():
    return uuid.uuid4().hex


def test_three_servers_answer_and_one_interrupt_ends_every_process(local_settings, tmp_path, marker):
    running = start_dev(local_settings, tmp_path, SERVE, marker)
    try:
        shown = read_until(running, running.stdout, "Ctrl-C stops all")
        ports = (local_settings.dagster_port, local_settings.mlflow_port, local_settings.serve_port)
        addresses = [f"http://127.0.0.1:{port}" for port in ports]
        assert all(address in shown for address in addresses)
        titles = [httpx.get(address, timeout=30).raise_for_status().text for address in addresses]
        assert ["Dagster" in titles[0], "MLflow" in titles[1], "Deployed models" in titles[2]] == [True] * 3
        family = psutil.Process(running.pid).children(recursive=True)
        beyond_loopback = listening_beyond_loopback(family)
    finally:
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=90)
    assert (running.returncode, errors) == (0, ""), rest
    assert len(family) > 10
    assert [process for process in family if lives(process.pid)] == []
    assert marked(marker) == []
    assert beyond_loopback == set()
    assert (local_settings.mlflow_artifacts.parent / "mlflow.db").exists()
    assert not (tmp_path / "refused.log").exists(), (tmp_path / "refused.log").read_text()


def test_a_killed_dev_takes_its_servers_with_it(local_settings, tmp_path, marker):
    answering = "import http.server, os; http.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ['MLOPS_SERVE_PORT']))"
    (tmp_path / "healthz").mkdir()
    endpoint = f"import os; os.chdir({str(tmp_path)!r}); {answering}"
    running = start_dev(local_settings, tmp_path, endpoint, marker, **ELSEWHERE)
    read_until(running, running.stdout, "Ctrl-C stops all")
    assert len(marked(marker)) > 5
    running.kill()
    running.communicate(timeout=90)
    for _ in range(900):
        if not marked(marker):
            break
        time.sleep(0.1)
    assert marked(marker) == []


def listening_beyond_loopback(processes) -> set[str]:
    return {
        f"{process.name()} {connection.laddr}"
        for process in processes
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    }


def test_code_that_does_not_load_is_told_at_once(local_settings, tmp_path, marker):
    answering = "import http.server, os; http.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ['MLOPS_SERVE_PORT']))"
    (tmp_path / "healthz").mkdir()
    endpoint = f"import os; os.chdir({str(tmp_path)!r}); {answering}"
    running = start_dev(
        local_settings,
        tmp_path,
        endpoint,
        marker,
        "raise ValueError('models/x/defs.yaml:7: no')",
        **ELSEWHERE,
    )
    try:
        told = read_until(running, running.stderr, "press Reload")
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=90)
    assert "models/x/defs.yaml:7: no" in told
    assert (running.returncode, marked(marker)) == (0, [])


def test_an_interrupt_while_the_database_is_prepared_starts_no_server(local_settings, tmp_path, marker):
    running = start_dev(local_settings, tmp_path, SERVE, marker)
    while not psutil.Process(running.pid).children():
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=90)
    assert (running.returncode, errors, marked(marker)) == (0, "", [])
    assert not (local_settings.home / "logs" / "dagster.log").exists()


def test_a_server_that_dies_stops_the_others_and_shows_its_last_lines(local_settings, tmp_path, marker):
    running = start_dev(
        local_settings, tmp_path, "raise SystemExit('the model store burnt down')", marker, **ELSEWHERE
    )
    _, errors = running.communicate(timeout=90)
    assert running.returncode == 1
    assert "Endpoint ended by itself with code 1" in errors
    assert "the model store burnt down" in errors
    assert marked(marker) == []


def test_a_taken_port_is_named_with_its_variable_and_its_holder(local_settings):
    listen = "import socket,sys; s=socket.create_server(('127.0.0.1', int(sys.argv[1]))); print(1, flush=True); input()"
    command = [sys.executable, "-c", listen, str(local_settings.mlflow_port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(servers.DevError) as caught:
            servers.check_ports(local_settings)
        other.communicate("\n")
    message = str(caught.value)
    assert f"port {local_settings.mlflow_port}, which MLflow needs" in message
    assert "MLOPS_MLFLOW_PORT" in message
    assert f"process {other.pid}" in message
    servers.check_ports(local_settings)


def test_two_servers_on_one_port_are_refused(local_settings):
    twins = local_settings.model_copy(update={"dagster_port": local_settings.mlflow_port})
    with pytest.raises(servers.DevError, match="MLOPS_DAGSTER_PORT and MLOPS_MLFLOW_PORT are both"):
        servers.check_ports(twins)


def test_a_remote_mlflow_is_used_and_not_started(local_settings):
    remote = local_settings.model_copy(update={"mlflow_uri": "https://mlflow.example.org"})
    names = [server.name for server in servers.servers(remote, Path("workspace.yaml"), ["true"])]
    assert names == ["Dagster", "Endpoint"]
    assert "https://mlflow.example.org" in servers.table(
        servers.servers(remote, Path("workspace.yaml"), ["true"]), remote
    )


def test_dagsters_home_runs_one_run_at_a_time_and_reports_nothing(local_settings, monkeypatch):
    import dagster as dg

    monkeypatch.setenv("DAGSTER_HOME", "")
    home = servers.prepare_dagster_home(local_settings)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert not instance.telemetry_enabled
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 1
        assert instance.run_monitoring_enabled
    assert os.environ["DAGSTER_HOME"] == str(home)


def test_a_bare_dagster_dev_reports_nothing_either(tmp_path):
    from dagster import DagsterInstance
    from dagster._core.instance.ref import InstanceRef
    from dagster._core.secrets.env_file import get_env_var_dict

    assert get_env_var_dict(str(PROJECT_ROOT)) == USAGE_REPORTS_OFF
    ref = InstanceRef.from_dir(str(tmp_path), config_dir=str(PROJECT_ROOT))
    with DagsterInstance.from_ref(ref) as instance:
        assert not instance.telemetry_enabled


STUBBORN = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), flush=True)
        time.sleep(300)
    os._exit(0)
time.sleep(300)
"""
SUPERVISE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_dev import server_of
from mlops_assets.local.processes import Supervisor
import time
supervisor = Supervisor()
server = server_of(sys.argv[2], Path(sys.argv[1]))
supervisor.start(server)
while not server.log.read_text().strip():
    time.sleep(0.05)
print(supervisor.stop(grace_s=0.5, patience_s=0.5), flush=True)
"""


def server_of(code: str, folder: Path) -> Server:
    return Server("stubborn", [sys.executable, "-c", code], "", "", "", folder / "stubborn.log")


def test_an_orphan_in_its_own_session_that_ignores_sigterm_is_ended_too(tmp_path):
    command = [sys.executable, "-c", SUPERVISE, str(tmp_path), STUBBORN, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=PROJECT_ROOT)
    assert done.stdout.strip() == "[]", done.stderr
    assert not lives(int((tmp_path / "stubborn.log").read_text()))


def test_stopping_leaves_processes_that_were_there_before(tmp_path):
    before = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        supervisor = Supervisor()
        supervisor.start(server_of("import time; time.sleep(300)", tmp_path))
        assert supervisor.stop(grace_s=2) == []
        time.sleep(0.1)
        assert before.poll() is None
    finally:
        before.communicate(b"\n")
