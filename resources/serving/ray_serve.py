"""The endpoint: deployment records that assets publish, and the Ray Serve application that follows them.

Ray stays on the loopback address and on small resource requests, so that it runs beside everything else on a laptop.
HAProxy, which makes Serve faster on clusters, is off here: it listens on every interface.
"""

import contextlib
import importlib
import json
import logging
import os
import signal
import tempfile
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.records.deployment import Deployment, deployment_in
from resources.records.reader import RecordError
from resources.records.split import Split
from resources.records.standing import PlatformStatus
from resources.resource import Resource
from resources.serving.holds import NOTICE, Notice, readable_notice
from resources.serving.hosting import HOST, can_serve, http_application, log_to_file
from resources.serving.reached import reach
from resources.serving.splits import split_file
from resources.serving.status_notice import STATUS, status_in
from resources.serving.versions.records import version_file
from resources.settings import Settings, private_ray, settings, silence_usage_reports
from resources.storage.contained import below
from resources.storage.mirror import Mirror

if TYPE_CHECKING:
    from fastapi import FastAPI

LOG = logging.getLogger(__name__)
MEBIBYTE = 2**20


class Endpoint(Resource):
    """Where deployed models answer: publishing a record puts one there, withdrawing takes it away.

    With `shared`, an address of storage, the folder follows that, and what is put there reaches the endpoints of all machines.
    """

    folder: str
    address: str = "http://127.0.0.1:8000"
    shared: str = ""

    def looked(self) -> Path:
        """The folder of records, with what other machines wrote."""
        self._mirror.pull()
        return Path(self.folder)

    def publish(self, record: Deployment | dict[str, Any]) -> Path:
        """Write a model's record whole, so that the endpoint reads the old one or the new one.

        A deployed model's is published by `mlops_assets/promotion/champion.py` alone, under the lock of its changes. A moment that
        the record brings, or the one that it replaces, goes where moments are kept.
        """
        checked = (
            record
            if isinstance(record, Deployment)
            else Deployment.of(record, "a deployment record to publish")
        )
        for moment in (checked.moment, getattr(self.published(checked.name), "moment", None)):
            if moment is not None:
                self.advance(moment)
        self.offer(checked)
        return self._put(self._record(checked.name), _text(checked.model_copy(update={"moment": None})))

    def published(self, name: str) -> Deployment | None:
        """The record that the endpoint follows for a model; None where there is none, or none that can be read."""
        self.looked()
        try:
            return self._read(self._record(name)) if self._record(name).exists() else None
        except RecordError as error:
            LOG.warning("%s", error)
            return None

    def model_file(self, name: str, version: int | str) -> Path:
        """Where a version's model file lies beside the records, so that the endpoint reads it whatever the artifact store."""
        return below(Path(self.folder) / "models", f"{name}-{version}.model")

    def keep(self, name: str, version: int | str, model: bytes) -> Path:
        """Put a version's model file beside the records."""
        return self._put(self.model_file(name, version), model)

    def keep_record(self, record: Deployment) -> None:
        """Put a record that the audit log does not hold beside its model file, so that it can be published again as it was."""
        self._put(self._kept_record(record.name, record.version), _text(record))

    def kept_record(self, name: str, version: int | str) -> Deployment | None:
        """The record of a version that earlier releases kept, its model file in this folder; None where they did not."""
        self.looked()
        path = self._kept_record(name, version)
        return self._here(deployment_in(path)) if path.exists() else None

    def offer(self, record: Deployment) -> Path:
        """Let a version be asked by its number, whichever answers for its model; its model file was kept before."""
        path = version_file(Path(self.folder), record.name, record.version)
        return self._put(path, _text(record.model_copy(update={"moment": None})))

    def take_back(self, name: str, version: int | str) -> bool:
        """Let a version not be asked any more; False where it could not be."""
        return self._mirror.remove(self._name(version_file(Path(self.folder), name, version)))

    def divide(self, split: Split) -> Path:
        """Send a share of a model's requests to a version that was offered; the version that answers has the others."""
        path = split_file(Path(self.folder), split.name)
        return self._put(path, json.dumps(split.document(), indent=1, sort_keys=True).encode())

    def undivide(self, name: str) -> bool:
        """Send all requests of a model to the version that answers; False where none went elsewhere."""
        return self._mirror.remove(self._name(split_file(Path(self.folder), name)))

    def withdraw(self, name: str) -> bool:
        """Remove a model's record; False where there was none."""
        return self._mirror.remove(self._name(self._record(name)))

    def advance(self, moment: datetime, use_case: str = "") -> bool:
        """Tell every deployed model of a use case that its online store has reached `moment`; whether it had not before.

        It never goes back, and it touches no record, so it cannot bring back one that was replaced meanwhile.
        """
        return reach(self._mirror, use_case, moment)

    def notice(self) -> Notice | None:
        """What the endpoint is told of holds; None where that cannot be read."""
        return readable_notice(self.looked())

    def post(self, notice: Notice) -> None:
        """Tell it of other holds; by `mlops_assets/promotion/holds.py` alone, under the lock of the holds."""
        self._mirror.put(NOTICE, json.dumps(notice.document(), indent=1, sort_keys=True).encode())

    def shown_status(self) -> PlatformStatus | None:
        """How the models stand, as its page was told last; None where it was not."""
        return status_in(self.looked())

    def show_status(self, status: PlatformStatus) -> None:
        """Tell its page how the models stand."""
        self._mirror.put(STATUS, json.dumps(status.document(), indent=1, sort_keys=True).encode())

    def records(self) -> dict[str, Deployment]:
        """Every published record by model name."""
        return {path.stem: self._read(path) for path in sorted(self.looked().glob("[!.]*.json"))}

    @property
    def _mirror(self) -> Mirror:
        return Mirror(self.folder, self.shared)

    def _put(self, path: Path, content: bytes) -> Path:
        return self._mirror.put(self._name(path), content)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _read(self, path: Path) -> Deployment:
        """A record; one that another machine may have written names the model file as it lies here."""
        record = deployment_in(path)
        return self._here(record) if self.shared else record

    def _here(self, record: Deployment) -> Deployment:
        moved = Path(self.folder) / "models" / Path(record.model_path).name
        return record.model_copy(update={"model_path": str(moved)})

    def _record(self, name: str) -> Path:
        return below(self.folder, f"{name}.json")

    def _kept_record(self, name: str, version: int | str) -> Path:
        return below(Path(self.folder) / "models", f"{version}/{name}.json")


def _text(record: Deployment) -> bytes:
    return json.dumps(record.document(), indent=1, sort_keys=True).encode()


def keep_ray_local() -> None:
    """Set, before Ray is imported, what keeps its processes on the loopback address and its reports at home."""
    silence_usage_reports()
    os.environ.update(private_ray())
    os.environ["RAY_SERVE_LOG_TO_STDERR"] = "0"


def without_api_server() -> None:
    """Leave out Ray's API server, which without the dashboard only looks for a cloud to put into usage reports.

    It asks 169.254.169.254 and metadata.google.internal even when reports are off, and holds 110 MB.
    """
    node: Any = importlib.import_module("ray._private.node")
    node.Node.start_api_server = lambda *_, **__: None


def replica_listens_locally() -> None:
    """Bind the replica's own gRPC server, which Ray opens on every interface, to the loopback address."""
    replica: Any = importlib.import_module("ray.serve._private.replica")
    opened = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: opened(
        server, address.replace("[::]:", f"{HOST}:")
    )


def start(home: Settings, build: Any = http_application) -> None:
    """Start a private Ray and the application in it; returns once it answers.

    `build` makes the HTTP application from the settings, inside the replica.
    """
    import ray
    from ray import serve

    without_api_server()
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=80 * MEBIBYTE,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address=HOST,
        _temp_dir=os.environ["RAY_TMPDIR"],
    )
    _on_signals(_interrupt)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(proxy_location="HeadOnly", http_options={"host": home.serve_host, "port": home.serve_port})
    serve.run(_deployment(home, build), name="models", route_prefix="/")


def _deployment(home: Settings, build: Any) -> Any:
    def asgi() -> "FastAPI":
        replica_listens_locally()
        log_to_file(home.home / "logs" / "models.log")
        return build(home)

    return bound(asgi, num_replicas=1, ray_actor_options={"num_cpus": 0.1})


def bound(asgi: Any, **options: Any) -> Any:
    """Ray Serve's application of what makes the HTTP application in a replica."""
    from ray import serve

    @serve.deployment(
        name="models",
        max_ongoing_requests=64,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=20,
        logging_config={"enable_access_log": False},
        **options,
    )
    @serve.ingress(asgi)
    class Models:
        """Every deployed model, in one process."""

    return Models.bind()  # type: ignore[attr-defined]


def stop() -> None:
    """End the application and the Ray that this process started; no other Ray is touched."""
    import ray
    from ray import serve

    if ray.is_initialized():
        serve.shutdown()
        ray.shutdown()


def main(build: Any = http_application) -> int:
    """Serve in the foreground until SIGINT or SIGTERM."""
    home = settings()
    if not can_serve(home):
        return 1
    keep_ray_local()
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="mlops-ray-") as folder:
        os.environ["RAY_TMPDIR"] = folder
        _serve_until_signalled(home, build)
    return 0


def _serve_until_signalled(home: Settings, build: Any) -> None:
    _on_signals(_interrupt)
    try:
        start(home, build)
        print(f"serving on {home.serve_address}", flush=True)
        threading.Event().wait()
    finally:
        _on_signals(signal.SIG_IGN)
        stop()


def _on_signals(handler: Any) -> None:
    """Set the handler of SIGINT and SIGTERM; `ray.init` replaces the latter's by one that aborts, so it is set again after it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
