"""Prometheus, Alertmanager and the exporter behind `mlops monitoring`, started beside `mlops dev`, watched and ended as one."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from mlops_assets.local.processes import Server, Supervisor
from mlops_assets.local.running import DevError, Stop, keep_up, stop_all, wait_until_up
from resources import ports
from resources.settings import PROJECT_ROOT, Settings
from resources.storage.durable import write_text
from resources.yaml_files import read_yaml

HOST = "127.0.0.1"
FILES = PROJECT_ROOT / "deployments" / "monitoring"
PROMETHEUS, ALERTMANAGER = "prometheus", "prometheus-alertmanager"
PACKAGES = {PROMETHEUS: "prometheus", ALERTMANAGER: "prometheus-alertmanager"}
"""Which package of Debian a program comes with."""

ELSEWHERE = {ALERTMANAGER: "alertmanager"}
"""What a program is called where it is not Debian's."""


def main(settings: Settings, cached_s: float = 10.0, every_s: float = 15.0) -> int:
    """Run the three until SIGINT or SIGTERM; 0 if they were stopped so, 1 if one could not start or died.

    `cached_s` and `every_s` are how long the exporter gives an answer again and how often Prometheus asks.
    """
    stopping, supervisor = Stop(), Supervisor()
    try:
        with stopping.listening():
            refuse_taken(settings)
            folder = write_configuration(settings, every_s)
            _run(servers(settings, folder, cached_s), supervisor, stopping)
    except DevError as error:
        if stopping.due:
            return 0
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(parts: list[Server], supervisor: Supervisor, stopping: Stop) -> None:
    try:
        for server in parts:
            supervisor.start(server)
        for server in parts:
            wait_until_up(server, supervisor, stopping)
        keep_up(supervisor, stopping, lambda: print(table(parts), flush=True))
    finally:
        stop_all(supervisor)


def programs() -> Mapping[str, str]:
    """Where the two programs lie; raises DevError with the package of one that is missing."""
    there = {name: shutil.which(name) or shutil.which(ELSEWHERE.get(name, name)) for name in PACKAGES}
    missing = [PACKAGES[name] for name, path in there.items() if path is None]
    if missing:
        raise DevError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: `apt-get install {' '.join(missing)}`; "
            "`mlops metrics` needs neither, and any Prometheus may ask it"
        )
    return {name: str(path) for name, path in there.items()}


def refuse_taken(settings: Settings) -> None:
    """Raise DevError where another process holds one of the ports, or two are the same."""
    needed = {
        "MLOPS_METRICS_PORT": settings.metrics_port,
        "MLOPS_PROMETHEUS_PORT": settings.prometheus_port,
        "MLOPS_ALERTMANAGER_PORT": settings.alertmanager_port,
    }
    if len(set(needed.values())) < len(needed):
        raise DevError(f"{', '.join(needed)} are not three ports: change one of them")
    for variable, port in needed.items():
        if not ports.is_free(port):
            held = ports.holder(port) or "another process"
            raise DevError(f"port {port} is taken by {held}: end it, or set {variable} to a free port")


def write_configuration(settings: Settings, every_s: float) -> Path:
    """Write what is in deployments/monitoring with the ports of these settings below `MLOPS_HOME`, and return the folder."""
    folder = settings.home / "monitoring"
    addresses = {
        "127.0.0.1:9464": f"{HOST}:{settings.metrics_port}",
        "127.0.0.1:9093": f"{HOST}:{settings.alertmanager_port}",
        "127.0.0.1:8000": settings.serve_address.partition("://")[2],
    }
    for name in ("prometheus.yml", "alertmanager.yml"):
        text = (FILES / name).read_text()
        for default, address in addresses.items():
            text = text.replace(default, address)
        content = read_yaml(text, FILES / name)
        if name == "prometheus.yml":
            content["global"] = {
                "scrape_interval": _duration(every_s),
                "evaluation_interval": _duration(every_s),
            }
        write_text(folder / name, yaml.safe_dump(content, sort_keys=False))
    write_text(folder / "rules.yml", (FILES / "rules.yml").read_text())
    return folder


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def servers(settings: Settings, folder: Path, cached_s: float) -> list[Server]:
    """The exporter, Alertmanager and Prometheus, each on the loopback address alone."""
    paths, logs = programs(), settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    exporter = f"http://{HOST}:{settings.metrics_port}"
    alertmanager = f"http://{HOST}:{settings.alertmanager_port}"
    prometheus = f"http://{HOST}:{settings.prometheus_port}"
    return [
        Server(
            name="Exporter",
            command=[
                *(sys.executable, "-m", "mlops_assets.cli", "metrics"),
                *("--port", str(settings.metrics_port), "--cached", f"{cached_s:g}"),
            ],
            address=exporter,
            health=f"{exporter}/healthz",
            hint="from metric to alert to message; metrics at /metrics",
            log=logs / "exporter.log",
            environment={"MLOPS_HOME": str(settings.home), "MLOPS_METRICS_HOST": HOST},
            folder=PROJECT_ROOT,
        ),
        Server(
            name="Alertmanager",
            command=[
                paths[ALERTMANAGER],
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={HOST}:{settings.alertmanager_port}",
                f"--web.external-url={alertmanager}",
                "--cluster.listen-address=",
            ],
            address=alertmanager,
            health=f"{alertmanager}/-/ready",
            hint="what fires; it hands everything to the outbox of the platform",
            log=logs / "alertmanager.log",
            folder=folder,
        ),
        Server(
            name="Prometheus",
            command=[
                paths[PROMETHEUS],
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={HOST}:{settings.prometheus_port}",
                f"--web.external-url={prometheus}",
            ],
            address=prometheus,
            health=f"{prometheus}/-/ready",
            hint="series, rules and targets",
            log=logs / "prometheus.log",
            folder=folder,
        ),
    ]


def table(parts: list[Server]) -> str:
    """The addresses and what is there."""
    width = max(len(server.name) for server in parts)
    lines = [f"  {server.name:<{width}}  {server.address}  {server.hint}" for server in parts]
    return "\n".join(["", *lines, "", "  Ctrl-C stops all.", ""])
