"""Dagster whose runs are pods, on a real Kubernetes API with its controllers and scheduler and a node of processes."""

import os
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resources.settings import PROJECT_ROOT
from resources.storage import s3_server
from tests import postgres, s3
from tests.acceptance.dagster_server import Dagster, dagster_dev, wait
from tests.acceptance.kube_api import client
from tests.acceptance.kube_control import controllers
from tests.acceptance.kustomized import FOLDER, applied, rendered
from tests.acceptance.node_agent import NodeAgent

TEAM, PLATFORM = "mlops-runs", "mlops"


@dataclass
class PodCluster:
    """What is up, and what its tests look at."""

    dagster: Dagster
    node: NodeAgent
    folder: Path
    admin: Any

    def pod(self, run: str, number: int = 0) -> str:
        """The name of a run's pod, once its process is there."""
        return wait(lambda: next(iter(self.pods(run)[number:]), None), f"a pod of run {run}", 60)

    def pods(self, run: str) -> list[str]:
        return [name for name in self.node.started if name.startswith(f"dagster-run-{run}")]

    def end(self, run: str) -> tuple[str, int]:
        """How the pod of a run ended: the reason and the exit code."""
        return wait(lambda: self.node.ended.get(self.pod(run)), f"the pod of run {run} ends", 60)

    def retried(self, run: str) -> str:
        """The run that Dagster launched in the place of one that was lost."""
        tag = "dagster/auto_retry_run_id"
        found = wait(lambda: self.dagster.runs(runIds=[run])[0]["tags"].get(tag), f"{run} is tried again", 90)
        return str(found)

    def tags(self, run: str) -> dict[str, str]:
        return self.dagster.runs(runIds=[run])[0]["tags"]

    def jobs(self) -> list[str]:
        from kubernetes.client import BatchV1Api

        return [one.metadata.name for one in BatchV1Api(self.admin).list_namespaced_job(TEAM).items]


@contextmanager
def pod_cluster(folder: Path, kubeconfig: Path, free_port: Callable[[], int]) -> Iterator[PodCluster]:
    """The shipped instance, rights, quotas and settings of a team, and a code location of the tests."""
    admin = client(kubeconfig, "admin")
    with (
        controllers(kubeconfig, free_port),
        postgres.served(folder / "postgres", free_port()) as database,
        s3.served() as store,
        NodeAgent(admin, folder) as node,
    ):
        applied(admin, of_kinds(rendered("base"), "Namespace", "PriorityClass", "ServiceAccount"))
        applied(admin, tuple(one for one in rendered("team") if one["kind"] not in ("Deployment", "Service")))
        given = settings_of(admin, folder, database, store)
        own = account_kubeconfig(kubeconfig, admin, PLATFORM, "mlops-daemon")
        environment = (
            os.environ
            | given
            | {
                "KUBECONFIG": str(own),
                "POD_RUNS": str(folder),
                "PYTHONPATH": str(PROJECT_ROOT),
                "DAGSTER_HOME": str(folder / "home"),
                "MLOPS_HOME": str(folder / "platform"),
                "MLOPS_DAGSTER_DB": database,
            }
        )
        os.environ |= {
            "KUBECONFIG": str(account_kubeconfig(kubeconfig, admin, TEAM, "mlops-runs")),
            "POD_RUNS": str(folder),
        }
        os.environ["PYTHONPATH"] = str(PROJECT_ROOT)
        (folder / "home").mkdir()
        (folder / "home" / "dagster.yaml").write_text(instance(folder))
        (folder / "workspace.yaml").write_text(
            "load_from: [{python_module: {module_name: tests.acceptance.pod_jobs, location_name: mlops_assets}}]\n"
        )
        with dagster_dev(free_port(), environment, folder / "dagster.log", folder) as dagster:
            yield PodCluster(dagster, node, folder, admin)


def instance(folder: Path) -> str:
    """The shipped one but for its patience, and for where a process outside of the cluster finds the API."""
    text = (FOLDER / "base" / "dagster.yaml").read_text()
    for shipped, here in (
        ("load_incluster_config: true", "load_incluster_config: false"),
        ("poll_interval_seconds: 30", "poll_interval_seconds: 2"),
        ("local_dir: /mlops/dagster/storage", f"local_dir: {folder / 'output'}"),
        ("requests: {cpu: 500m", "requests: {cpu: 100m"),
    ):
        assert text.count(shipped) == 1
        text = text.replace(shipped, here)
    return text


def settings_of(admin: Any, folder: Path, database: str, store: str) -> dict[str, str]:
    """The settings of the team's pods: as shipped, with the addresses of here, and secrets in Secrets Manager."""
    import json

    from kubernetes.client import CoreV1Api

    from resources.cluster_settings import NEEDED

    secrets = {
        name: NEEDED[name] for name in ("MLOPS_ONLINE_STORE", "MLFLOW_TRACKING_URI", "MLOPS_FEAST_REGISTRY")
    }
    port = int(store.rpartition(":")[2])
    s3_server.client(port, "secretsmanager").create_secret(
        Name="mlops/cluster", SecretString=json.dumps(secrets | {"MLOPS_DAGSTER_DB": database})
    )
    core = CoreV1Api(admin)
    shipped = core.read_namespaced_config_map("mlops-settings", TEAM).data
    s3_server.client(port, "s3").create_bucket(Bucket=shipped["MLOPS_OUTPUT_BUCKET"])
    given = shipped | s3.KEYS | {"AWS_ENDPOINT_URL": store, "POD_RUNS": str(folder)}
    core.patch_namespaced_config_map("mlops-settings", TEAM, {"data": given})
    return given | secrets


def account_kubeconfig(kubeconfig: Path, admin: Any, namespace: str, account: str) -> Path:
    """A kubeconfig that is this service account's, by its own token."""
    from kubernetes.client import CoreV1Api

    core = CoreV1Api(admin)

    def token() -> str | None:
        there = core.read_namespaced_service_account(account, namespace).secrets or []
        return there[0].name if there else None

    secret = core.read_namespaced_secret(wait(token, f"a token of {account}", 60), namespace)
    content = yaml.safe_load(kubeconfig.read_text())
    user = {"name": account, "user": {"token": b64decode(secret.data["token"]).decode()}}
    context = {"name": account, "context": {"cluster": "test", "user": account, "namespace": namespace}}
    file = kubeconfig.with_name(f"{account}.kubeconfig")
    file.write_text(
        yaml.safe_dump(content | {"users": [user], "contexts": [context], "current-context": account})
    )
    return file


def of_kinds(manifests: tuple[dict[str, Any], ...], *kinds: str) -> tuple[dict[str, Any], ...]:
    return tuple(one for one in manifests if one["kind"] in kinds)
