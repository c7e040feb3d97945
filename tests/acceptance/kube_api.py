"""A real Kubernetes API for tests: etcd and kube-apiserver on the loopback address, with KubeRay's RayJob and no kubelet."""

import os
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.settings import PROJECT_ROOT

MISSING = (
    "a Kubernetes API is needed: set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd (apt-get install "
    "etcd-server), as `setup-envtest use -p path` prints one (sigs.k8s.io/controller-runtime/tools/setup-envtest)"
)
NAMESPACE, ADMIN, SENDER = "ml", "admin", "sender"
CERTIFICATE = "certificates/apiserver.crt"
"""What the server makes for itself when it starts, with its own authority."""


def binaries() -> Path:
    """The folder with the programs; the test is skipped where there is none."""
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS") or "/nonexistent")
    if not all((folder / name).exists() for name in ("etcd", "kube-apiserver")):
        pytest.skip(MISSING)
    return folder


@contextmanager
def kubernetes_api(folder: Path, free_port: Callable[[], int]) -> Iterator[Path]:
    """A kubeconfig of a fresh API with two users: an admin, and one with no rights but those that are given to it."""
    programs, port = binaries(), free_port()
    _keys(folder)
    with _etcd(programs, folder, free_port) as store:
        server = subprocess.Popen(
            [programs / "kube-apiserver", *_server_arguments(folder, store, port)],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "kube-apiserver.log").open("wb"),
        )
        try:
            _ready(server, port, folder)
            (folder / "kubeconfig").write_text(yaml.safe_dump(_kubeconfig(folder, port)))
            yield folder / "kubeconfig"
        finally:
            server.terminate()
            server.wait(timeout=60)


def client(kubeconfig: Path, user: str = ADMIN) -> Any:
    """The official client as one of the users."""
    from kubernetes import config

    return config.new_client_from_config(str(kubeconfig), context=user)


def prepared(kubeconfig: Path) -> None:
    """A namespace, the RayJob, the account of its pods, and the shipped rights for who sends fits."""
    from kubernetes import client as kinds
    from kubernetes import utils

    api = client(kubeconfig)
    kinds.CoreV1Api(api).create_namespace({"metadata": {"name": NAMESPACE}})
    utils.create_from_yaml(api, str(Path(__file__).with_name("rayjob-crd.yaml")))
    for shipped in ("fits/rights.yaml", "fits/network.yaml"):
        utils.create_from_yaml(
            api, str(PROJECT_ROOT / "deployments" / "kubernetes" / shipped), namespace=NAMESPACE
        )
    kinds.RbacAuthorizationV1Api(api).create_namespaced_role_binding(
        NAMESPACE,
        {
            "metadata": {"name": "sender"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "mlops-sends-fits"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": SENDER}],
        },
    )
    _served(kinds.CustomObjectsApi(api))


def _served(jobs: Any) -> None:
    from kubernetes.client.exceptions import ApiException

    for _ in range(300):
        try:
            jobs.list_namespaced_custom_object("ray.io", "v1", NAMESPACE, "rayjobs")
            return
        except ApiException as error:
            if error.status != 404:
                raise
            time.sleep(0.1)
    raise TimeoutError("the API does not serve RayJobs 30 s after they were defined")


@contextmanager
def _etcd(programs: Path, folder: Path, free_port: Callable[[], int]) -> Iterator[str]:
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    given = {
        "data-dir": folder / "etcd",
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
    }
    with (folder / "etcd.log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "etcd", "--unsafe-no-fsync", *(f"--{name}={value}" for name, value in given.items())],
            stdout=log,
            stderr=log,
        )
    try:
        yield clients
    finally:
        process.terminate()
        process.wait(timeout=60)


def _server_arguments(folder: Path, store: str, port: int) -> list[str]:
    given = {
        "etcd-servers": store,
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": port,
        "cert-dir": folder / "certificates",
        "service-account-issuer": f"https://127.0.0.1:{port}",
        "service-account-key-file": folder / "account.pub",
        "service-account-signing-key-file": folder / "account.key",
        "api-audiences": "api",
        "token-auth-file": folder / "tokens.csv",
        "authorization-mode": "RBAC",
        "service-cluster-ip-range": "10.96.0.0/16",
    }
    return [f"--{name}={value}" for name, value in given.items()]


def _keys(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem, plain = forms.Encoding.PEM, forms.NoEncryption()
    private = key.private_bytes(pem, forms.PrivateFormat.TraditionalOpenSSL, plain)
    (folder / "account.key").write_bytes(private)
    public = key.public_key().public_bytes(pem, forms.PublicFormat.SubjectPublicKeyInfo)
    (folder / "account.pub").write_bytes(public)
    (folder / "tokens.csv").write_text(
        f"{ADMIN}-token,{ADMIN},1,system:masters\n{SENDER}-token,{SENDER},2,data-scientists\n"
    )


def _ready(server: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    log = folder / "kube-apiserver.log"
    ask = urllib.request.Request(
        f"https://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {ADMIN}-token"}
    )
    for _ in range(600):
        assert server.poll() is None, f"kube-apiserver ended: {log.read_text()[-2000:]}"
        try:
            trusted = ssl.create_default_context(cafile=str(folder / CERTIFICATE))
            with urllib.request.urlopen(ask, context=trusted, timeout=5) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:  # not yet
            time.sleep(0.2)
    raise TimeoutError(f"kube-apiserver is not ready after 120 s: {log.read_text()[-2000:]}")


def _kubeconfig(folder: Path, port: int) -> dict[str, Any]:
    users = (ADMIN, SENDER)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "test",
                "cluster": {
                    "server": f"https://127.0.0.1:{port}",
                    "certificate-authority": str(folder / CERTIFICATE),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": f"{user}-token"}} for user in users],
        "contexts": [{"name": user, "context": {"cluster": "test", "user": user}} for user in users],
        "current-context": SENDER,
    }
