"""Opening MLflow: one client an address and process, its database created or upgraded once, no usage report."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from resources.addresses import without_user
from resources.settings import silence_usage_reports, sqlite_file
from resources.storage.locks import file_lock
from resources.tracking.outage import no_blind_retries


@cache
def client_of(uri: str) -> Any:
    """The `MlflowClient` of an address; a new or older database is brought up to date under a file lock first.

    MLflow's own start crashes when several processes open one new SQLite database at once.
    """
    silence_usage_reports()
    no_blind_retries()
    from mlflow import MlflowClient

    for noisy in ("mlflow.store.db.utils", "alembic.runtime.migration"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if not is_database(uri):
        return MlflowClient(uri, uri)
    with file_lock(_database_lock(uri)):
        return _opened(uri)


def reachable(uri: str) -> str:
    """A server's address without user and password, which MLflow would put into its errors; it finds them in its variables."""
    if not uri.startswith(("http://", "https://")):
        return uri
    address, user, password = without_user(uri)
    for name, value in (("MLFLOW_TRACKING_USERNAME", user), ("MLFLOW_TRACKING_PASSWORD", password)):
        if value is not None:
            os.environ[name] = value
    return address


def is_database(uri: str) -> bool:
    """Whether the address is a database that this process opens itself, not a server."""
    return urlparse(uri).scheme.split("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def local_path(address: str) -> str | None:
    """The folder that an artifact address means on this machine, or None where it lies elsewhere.

    As in MLflow, `%20` is a space in a plain path too.
    """
    parts = urlparse(address)
    if parts.scheme in ("", "file"):
        return unquote(parts.path if parts.scheme else address)
    return None


@contextmanager
def use_uri(uri: str) -> Iterator[None]:
    """Make an address MLflow's global one for a moment, for the few calls in MLflow that ask nothing else.

    The environment variable that MLflow sets beside it is put back, because our settings read it.
    """
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with _use_tracking_uri(uri):
            yield
    finally:
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def download(address: str, uri: str) -> bytes:
    """One artifact that does not lie on this machine."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        return Path(download_artifacts(address, dst_path=folder, tracking_uri=uri)).read_bytes()


def _opened(uri: str) -> Any:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri, uri)
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if "out-of-date database schema" not in str(error):
            raise
        _upgrade(uri)
        client.search_experiments(max_results=1)
    client.search_registered_models(max_results=1)
    return client


def _upgrade(uri: str) -> None:
    """As `mlflow db upgrade` does, which would have the address on its command line."""
    from mlflow.store.db.utils import _initialize_tables, _is_empty_database, _upgrade_db
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        _initialize_tables(engine) if _is_empty_database(engine) else _upgrade_db(engine)
    finally:
        engine.dispose()


def _database_lock(uri: str) -> Path:
    """Beside a SQLite file; for a server's database in this machine's temporary folder."""
    if path := sqlite_file(uri):
        return path.with_name(f".{path.name}.lock")
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"mlops-{digest}.lock"


if __name__ == "__main__":  # a command of its own, because an address with a password is no argument of one
    _upgrade(os.environ["MLFLOW_TRACKING_URI"])
