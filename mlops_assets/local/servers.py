"""The three local servers behind `mlops dev`: Dagster, MLflow and the endpoint, started, watched and ended as one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.local.probes import load_errors
from mlops_assets.local.processes import Server, Supervisor
from mlops_assets.local.running import DevError, Stop, keep_up, stop_all, wait_until_up
from resources import at_work, ports
from resources.addresses import shown
from resources.cluster import bucket_of
from resources.settings import PROJECT_ROOT, USAGE_REPORTS_OFF, Settings
from resources.yaml_files import YamlError, read_yaml

HOST = "127.0.0.1"
DAGSTER_YAML = PROJECT_ROOT / "deployments" / "local" / "dagster.yaml"
CLUSTER_YAML = PROJECT_ROOT / "deployments" / "cluster" / "dagster.yaml"
ENDPOINT = (sys.executable, "-m", "resources.serving")
Work = Callable[[Supervisor, Stop], None]
"""What is done beside the servers once they are up; it looks whether they are, and ends where a signal came."""


@dataclass(frozen=True)
class Port:
    """A port that a server needs, and the variable that changes it."""

    number: int
    variable: str
    server: str


def main(
    settings: Settings,
    workspace: Path = PROJECT_ROOT / "workspace.yaml",
    endpoint: Sequence[str] = ENDPOINT,
    work: Work | None = None,
) -> int:
    """Run the servers until SIGINT or SIGTERM, or until some work beside them is done; 0 if they were stopped so, 1 if one
    could not start or died.

    `workspace` and `endpoint` exist for tests: the Dagster workspace to load and the command that serves models.
    """
    stopping = Stop()
    supervisor = Supervisor()
    try:
        with stopping.listening(), at_work.serving(settings.home):
            check_ports(settings)
            read_yaml(workspace.read_text(), workspace)  # Dagster would take the last of two equal keys
            prepare(settings)
            _run(settings, servers(settings, workspace, endpoint), supervisor, stopping, work)
    except (DevError, at_work.AtWorkError, YamlError) as error:
        if stopping.due:
            return 0
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(
    settings: Settings, parts: list[Server], supervisor: Supervisor, stopping: Stop, work: Work | None = None
) -> None:
    def tell() -> None:
        print(table(parts, settings), flush=True)
        report_load_errors(parts[0])

    try:
        for server in parts:
            if not stopping.due:
                supervisor.start(server)
        for server in parts:
            wait_until_up(server, supervisor, stopping)
        if work and not stopping.due:
            tell()
            work(supervisor, stopping)
        else:
            keep_up(supervisor, stopping, tell)
    finally:
        stop_all(supervisor)


def report_load_errors(dagster: Server) -> None:
    """Say at once what keeps the project's code from loading; Dagster stays up, so that a fix needs only a reload."""
    for problem in load_errors(dagster.address):
        print(
            f"error: Dagster could not load {problem}\n"
            "       correct it and press Reload on the Deployment page",
            file=sys.stderr,
            flush=True,
        )


def ports_of(settings: Settings) -> list[Port]:
    """The ports that people know, each with the variable that changes it."""
    return [
        Port(settings.dagster_port, "MLOPS_DAGSTER_PORT", "Dagster"),
        Port(settings.mlflow_port, "MLOPS_MLFLOW_PORT", "MLflow"),
        Port(settings.serve_port, "MLOPS_SERVE_PORT", "endpoint"),
    ]


def check_ports(settings: Settings) -> None:
    """Refuse to start while another process holds one of the ports, or two servers share one."""
    numbers = ports_of(settings)
    problems = []
    for index, port in enumerate(numbers):
        twins = [other.variable for other in numbers[:index] if other.number == port.number]
        if twins:
            problems.append(f"{twins[0]} and {port.variable} are both {port.number}: change one of them")
        elif not ports.is_free(port.number):
            held = ports.holder(port.number) or "another process"
            problems.append(
                f"port {port.number}, which {port.server} needs, is taken by {held}: "
                f"end it, or set {port.variable} to a free port"
            )
    if problems:
        raise DevError("\n       ".join(problems))


def prepare(settings: Settings) -> None:
    """Make the state folders, Dagster's home and MLflow's database; what is there stays."""
    for folder in (settings.home / "logs", settings.feast, settings.serving, settings.replay):
        folder.mkdir(parents=True, exist_ok=True)
    prepare_dagster_home(settings)
    prepare_mlflow(settings)


EVENTS_AT_ONCE = 1000
"""How many of the events that a run plans are stored in one transaction, at most."""

STORAGE = """
run_storage:
  module: resources.instance_storage
  class: Runs
  config: {{base_dir: {folder}}}
event_log_storage:
  module: resources.instance_storage
  class: EventLog
  config: {{base_dir: {folder}}}
schedule_storage:
  module: resources.instance_storage
  class: Schedules
  config: {{base_dir: {schedules}}}
"""

LOGS = """
compute_logs:
  module: dagster_aws.s3.compute_log_manager
  class: S3ComputeLogManager
  config: {{bucket: {bucket}, prefix: {prefix}, local_dir: {folder}}}
"""


def prepare_dagster_home(settings: Settings) -> Path:
    """Make DAGSTER_HOME with the dagster.yaml of the laptop or of the cluster, and name it in this process's environment."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    temporary = home / f".dagster.yaml.{os.getpid()}"
    text = _instance(settings)
    temporary.write_text(text)
    temporary.replace(home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENTS_AT_ONCE))
    return home


def _instance(settings: Settings) -> str:
    """What Dagster's instance is made of: its file, and what is known here alone."""
    file = CLUSTER_YAML if settings.is_cluster else DAGSTER_YAML
    bucket, prefix = bucket_of(settings.shared("dagster/output"))
    home = settings.dagster_home
    places = {
        "bucket": bucket,
        "prefix": prefix,
        "folder": home / "storage",
        "schedules": home / "schedules",
    }
    quoted = {name: json.dumps(str(place), ensure_ascii=False) for name, place in places.items()}
    text = file.read_text() + (LOGS if settings.is_cluster else STORAGE).format(**quoted)
    read_yaml(text, file)
    return text


def prepare_mlflow(settings: Settings) -> None:
    """Create or upgrade MLflow's database before several processes open it at once, which a new SQLite file does not survive."""
    settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    if _is_remote(settings.mlflow_uri):
        return
    command = [sys.executable, "-m", "resources.tracking.client"]
    environment = {**os.environ, **USAGE_REPORTS_OFF, "MLFLOW_TRACKING_URI": settings.mlflow_uri}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevError(
            f"MLflow's database {shown(settings.mlflow_uri)} could not be upgraded:\n{done.stderr[-2000:]}"
        )


def servers(settings: Settings, workspace: Path, endpoint: Sequence[str]) -> list[Server]:
    """The servers in the order they start; MLflow only where its store is local."""
    local = [] if _is_remote(settings.mlflow_uri) else [_mlflow(settings)]
    return [_dagster(settings, workspace), *local, _endpoint(settings, endpoint)]


def _is_remote(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **USAGE_REPORTS_OFF,
        "MLOPS_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.dagster_home),
        "MLFLOW_TRACKING_URI": settings.mlflow_uri,
        "MLOPS_DAGSTER_PORT": str(settings.dagster_port),
        "MLOPS_MLFLOW_PORT": str(settings.mlflow_port),
        "MLOPS_SERVE_PORT": str(settings.serve_port),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
    }


def _dagster(settings: Settings, workspace: Path) -> Server:
    address = f"http://{HOST}:{settings.dagster_port}"
    at = ["-w", str(workspace), "-h", HOST, "-p", str(settings.dagster_port)]
    return Server(
        name="Dagster",
        command=[sys.executable, "-m", "dagster", "dev", *at],
        address=address,
        health=f"{address}/server_info",
        hint="assets, checks, runs and sensors: start at the lineage page",
        log=settings.home / "logs" / "dagster.log",
        environment=_environment(settings),
        folder=workspace.parent,
        ends_on=signal.SIGINT,
    )


def _mlflow(settings: Settings) -> Server:
    address = f"http://{HOST}:{settings.mlflow_port}"
    at = ["--host", HOST, "--port", str(settings.mlflow_port), "--workers", "1"]
    return Server(
        name="MLflow",
        command=[
            *(sys.executable, "-m", "mlflow", "server", *at, "--no-serve-artifacts"),
            *("--default-artifact-root", str(settings.mlflow_artifacts)),
        ],
        address=address,
        health=f"{address}/health",
        hint="training runs, metrics and registered versions",
        log=settings.home / "logs" / "mlflow.log",
        environment={
            **_environment(settings),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_BACKEND_STORE_URI": settings.mlflow_uri,
        },
        folder=settings.home,
    )


def _endpoint(settings: Settings, command: Sequence[str]) -> Server:
    address = settings.serve_address
    return Server(
        name="Endpoint",
        command=list(command),
        address=address,
        health=f"{address}/healthz",
        hint="deployed models, each with a curl line",
        log=settings.home / "logs" / "endpoint.log",
        environment=_environment(settings),
        folder=PROJECT_ROOT,
    )


def table(running: Sequence[Server], settings: Settings) -> str:
    """The addresses, what to do at each, and where state and logs lie."""
    rows = [(server.name, server.address, server.hint) for server in running]
    if _is_remote(settings.mlflow_uri):
        rows.insert(1, ("MLflow", settings.mlflow_url, "training runs, metrics and registered versions"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"  {name:<{widths[0]}}  {address:<{widths[1]}}  {hint}" for name, address, hint in rows]
    return "\n".join(
        ["", *lines, "", f"  state {settings.home}, logs {settings.home / 'logs'}; Ctrl-C stops all.", ""]
    )
