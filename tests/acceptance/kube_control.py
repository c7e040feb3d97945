"""Kubernetes' own controllers and scheduler beside the API of the tests: Jobs make pods, pods find a node, quotas count."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.acceptance.kube_api import ADMIN, MISSING, binaries

CONTROLLERS = "job,garbagecollector,resourcequota,serviceaccount,serviceaccount-token,namespace,podgc"


def admin_of(kubeconfig: Path) -> Path:
    """The same kubeconfig with the admin as its user."""
    content = yaml.safe_load(kubeconfig.read_text()) | {"current-context": ADMIN}
    file = kubeconfig.with_name("admin.kubeconfig")
    file.write_text(yaml.safe_dump(content))
    return file


@contextmanager
def controllers(kubeconfig: Path, free_port: Callable[[], int]) -> Iterator[None]:
    """kube-controller-manager and kube-scheduler for as long as the block lasts."""
    folder, programs = kubeconfig.parent, binaries()
    if not all((programs / name).exists() for name in ("kube-controller-manager", "kube-scheduler")):
        pytest.skip(f"{MISSING}; kube-controller-manager and kube-scheduler of the same release beside them")
    common = [
        f"--kubeconfig={admin_of(kubeconfig)}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--port=0",
    ]
    own = {
        "kube-controller-manager": [
            f"--controllers={CONTROLLERS}",
            f"--service-account-private-key-file={folder / 'account.key'}",
            f"--root-ca-file={folder / 'certificates' / 'apiserver.crt'}",
            "--concurrent-resource-quota-syncs=1",
        ],
        "kube-scheduler": [],
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name, more in own.items():
            with (folder / f"{name}.log").open("wb") as log:
                secure = [f"--secure-port={free_port()}", f"--cert-dir={folder / name}"]
                started.append(
                    subprocess.Popen([programs / name, *common, *secure, *more], stdout=log, stderr=log)
                )
        yield
        for process, name in zip(started, own, strict=True):
            assert process.poll() is None, (folder / f"{name}.log").read_text()[-2000:]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=60)
