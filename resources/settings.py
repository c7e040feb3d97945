"""The environment turned into paths and addresses: the one place that knows a laptop from a cluster."""

import os
import re
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from resources.addresses import shown, without_user

PROJECT_ROOT = Path(__file__).resolve().parent.parent

KUBERAY = "kuberay://"
"""How an address begins that names a Kubernetes namespace, in which each fit gets a Ray cluster of its own."""

RAYJOB = PROJECT_ROOT / "deployments" / "kubernetes" / "rayjob.yaml"

UNFIT = ("*", "?", "[", "%")
"""Signs that the path of the state folder must not have: Dagster looks for its dagster.yaml by a pattern, and opens its databases by addresses."""

USAGE_REPORTS_OFF = {
    "DAGSTER_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "FEAST_USAGE": "False",
    "DO_NOT_TRACK": "true",
    "ANONYMIZED_TELEMETRY": "False",
    "GIT_PYTHON_REFRESH": "quiet",
}


class SettingsError(ValueError):
    """A variable whose value cannot be used: names it, the rule and what to give."""


def silence_usage_reports(private: bool | None = None) -> None:
    """Turn off every library's usage report before that library is imported.

    OpenMP's threads are told to sleep while they wait: spinning ones take ten times as long on a busy machine.
    A Ray that this machine starts for itself is kept private, which Ray reads when it is imported, too; `private` None:
    unless a cluster's address is set.
    """
    os.environ.update(USAGE_REPORTS_OFF)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    address = os.environ.get("MLOPS_RAY_ADDRESS") or KUBERAY
    if address.startswith(KUBERAY) if private is None else private:
        os.environ.update({name: os.environ.get(name) or value for name, value in private_ray().items()})


def private_ray() -> dict[str, str]:
    """What keeps Ray's processes on the loopback address, and others of this machine out of them.

    `ray.init(_node_ip_address="127.0.0.1")` is turned into the machine's outside address on Linux unless Ray is told,
    by the variable of its macOS port, that it runs no cluster.
    """
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


@dataclass(frozen=True)
class Settings:
    """Where state lies and on which local addresses the servers listen."""

    home: Path
    mlflow_uri: str = field(repr=False)
    audit_address: str = ""
    audit_key_file: Path | None = None
    data: Path | None = None
    lake_address: str = ""
    feature_repository: str = "feature_repo"
    online_store: str = field(default="", repr=False)
    offline_engine: str = "local"
    dagster_port: int = 3000
    mlflow_port: int = 5000
    mlflow_patience_s: int = 300
    serve_port: int = 8000
    ray_address: str = field(default="", repr=False)
    rayjob: Path = RAYJOB
    dagster_address: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()
    declared: str = "mlops_assets.stages.served:declared"
    """Import path of the function that says what code serves a model of the repository; the environment cannot set it."""
    ahead: str = "mlops_assets.stages.served:ahead"
    """The same of the function that says which libraries score the repository's models."""

    @property
    def online_kind(self) -> str:
        """What holds the online features: redis or sqlite."""
        return "redis" if self.online_store else "sqlite"

    @property
    def mlflow_url(self) -> str:
        """Where people open MLflow's pages: the tracking server, or the one that `make dev` starts."""
        served = self.mlflow_uri.startswith(("http://", "https://"))
        return without_user(self.mlflow_uri)[0] if served else f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def dagster_url(self) -> str:
        """Where people open Dagster's pages: `MLOPS_DAGSTER_URL`, or the one that `make dev` starts."""
        return without_user(self.dagster_address)[0] or f"http://127.0.0.1:{self.dagster_port}"

    @property
    def lake(self) -> str:
        """The address of the lake's storage: a folder, or `s3://bucket/prefix`."""
        return self.lake_address or str(self.home / "lake")

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.home / "mlflow" / "artifacts"

    @property
    def mlflow_spool(self) -> Path:
        return self.home / "mlflow" / "spool"

    @property
    def feast(self) -> Path:
        return self.home / "feast"

    @property
    def serving(self) -> Path:
        return self.home / "serving"

    @property
    def training(self) -> Path:
        return self.home / "training"

    @property
    def audit(self) -> str:
        """The address of the audit log's storage: a folder, or `s3://bucket/prefix`."""
        return self.audit_address or str(self.home / "audit")

    @property
    def audit_key(self) -> Path:
        """The file with the keys that seal the audit log."""
        return self.audit_key_file or self.home / "keys" / "audit.key"

    @property
    def serving_log(self) -> Path:
        return self.home / "serving_log"

    @property
    def replay(self) -> Path:
        return self.home / "replay"


def settings(environ: dict[str, str] | None = None) -> Settings:
    """Read `MLOPS_HOME`, `MLOPS_LAKE` (a folder or `s3://bucket/prefix` for the tables; none: below `MLOPS_HOME`), `MLOPS_AUDIT` (the same for the audit log), `MLOPS_AUDIT_KEY_FILE` (its keys; none: `keys/audit.key` below `MLOPS_HOME`), `MLOPS_DATA` (a folder of raw files), `MLOPS_FEATURE_REPO` (a package), `MLOPS_ONLINE_STORE` (redis://host:port/db; none: SQLite below `MLOPS_HOME`), `MLOPS_OFFLINE_ENGINE` (`local` or `ray`), `MLFLOW_TRACKING_URI`, `MLOPS_MLFLOW_PATIENCE_S` (how long it may be away), `MLOPS_RAY_ADDRESS` (of a cluster to train on, or `kuberay://` and a namespace), `MLOPS_RAYJOB` (the template of KubeRay jobs), `MLOPS_DAGSTER_URL` (where people open the web UI), `MLOPS_ALLOWED_HOSTS` (further names of the endpoint) and the three `MLOPS_*_PORT` variables; absent ones have local defaults."""
    env = dict(os.environ) if environ is None else environ
    home = _home(env)
    return Settings(
        home=home,
        audit_address=_storage(env, "MLOPS_AUDIT"),
        audit_key_file=_path(env, "MLOPS_AUDIT_KEY_FILE", home) if env.get("MLOPS_AUDIT_KEY_FILE") else None,
        mlflow_uri=env.get("MLFLOW_TRACKING_URI") or sqlite_address(home / "mlflow" / "mlflow.db"),
        lake_address=_storage(env, "MLOPS_LAKE"),
        data=_path(env, "MLOPS_DATA", PROJECT_ROOT) if env.get("MLOPS_DATA") else None,
        feature_repository=env.get("MLOPS_FEATURE_REPO") or "feature_repo",
        online_store=_redis(env, "MLOPS_ONLINE_STORE"),
        offline_engine=_one_of(env, "MLOPS_OFFLINE_ENGINE", ("local", "ray")),
        dagster_port=_port(env, "MLOPS_DAGSTER_PORT", 3000),
        mlflow_port=_port(env, "MLOPS_MLFLOW_PORT", 5000),
        mlflow_patience_s=_seconds(env, "MLOPS_MLFLOW_PATIENCE_S", 300),
        serve_port=_port(env, "MLOPS_SERVE_PORT", 8000),
        ray_address=_ray(env, "MLOPS_RAY_ADDRESS"),
        rayjob=_path(env, "MLOPS_RAYJOB", RAYJOB),
        dagster_address=env.get("MLOPS_DAGSTER_URL") or "",
        allowed_hosts=_hosts(env, "MLOPS_ALLOWED_HOSTS"),
    )


def _home(env: dict[str, str]) -> Path:
    """The state folder; refused where Dagster would look for its settings elsewhere and find none."""
    home = _path(env, "MLOPS_HOME", PROJECT_ROOT / ".mlops")
    wrong = next((sign for sign in UNFIT if sign in str(home)), None)
    if wrong:
        raise SettingsError(
            f"MLOPS_HOME={str(home)!r} has a {wrong!r} in its path, which Dagster reads as a pattern or an escape: "
            f"give a folder whose path has none of {' '.join(UNFIT)}"
        )
    return home


def _path(env: dict[str, str], name: str, default: Path) -> Path:
    try:
        return Path(env.get(name) or default).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise SettingsError(
            f"{name}={env.get(name)!r} is no path that can be followed ({error}): give another"
        ) from error


def refuse_unusable(home: Path, writes: bool = True) -> None:
    """Raise SettingsError where state cannot lie in a folder, or cannot be written there; nothing is made or changed.

    A folder that does not exist yet is asked of the nearest one above it that does.
    """
    try:
        there = next(place for place in (home, *home.parents) if place.exists())
        if not there.is_dir():
            what = "is" if there == home else f"lies below {there}, which is"
            raise SettingsError(
                f"MLOPS_HOME={str(home)!r} {what} no folder: name a folder, or move the file away"
            )
        if writes:
            with tempfile.TemporaryFile(dir=there) as probe:
                probe.write(b"0" * 4096)
                probe.flush()
                os.fsync(probe.fileno())
    except OSError as error:
        raise SettingsError(
            f"MLOPS_HOME={str(home)!r} cannot be used ({error.strerror}): make it writable, free space on its disk, "
            f"or name another folder"
        ) from error


def sqlite_address(file: Path) -> str:
    """The address of a SQLite file, in which `%` and `?` would mean something else than themselves."""
    return "sqlite:///" + str(file).replace("%", "%25").replace("?", "%3F")


def sqlite_file(address: str) -> Path | None:
    """The file that an address of SQLite means; None for another database or a server."""
    prefix = "sqlite:///"
    return Path(unquote(address.removeprefix(prefix))) if address.startswith(prefix) else None


def _storage(env: dict[str, str], name: str) -> str:
    value = env.get(name) or ""
    if value.startswith("s3://"):
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\s?#*]+)*/?", value):
            raise SettingsError(f"{name}={value!r} names no place in a bucket: give s3://bucket/prefix")
        return value.rstrip("/")
    if "://" in value:
        raise SettingsError(f"{name}={value!r}: give a folder, or s3://bucket/prefix")
    return str(_path(env, name, PROJECT_ROOT)) if value else ""


def _one_of(env: dict[str, str], name: str, known: tuple[str, ...]) -> str:
    value = env.get(name) or known[0]
    if value not in known:
        raise SettingsError(f"{name}={value!r} is not known: give {' or '.join(known)}")
    return value


def _port(env: dict[str, str], name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise SettingsError(f"{name}={value!r} is not a port: give a whole number from 1 to 65535")
    return int(value)


def _seconds(env: dict[str, str], name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if not value.isdigit():
        raise SettingsError(f"{name}={value!r} is not a time: give whole seconds, 0 or more")
    return int(value)


def _hosts(env: dict[str, str], name: str) -> tuple[str, ...]:
    hosts = tuple(host.strip().lower() for host in (env.get(name) or "").split(",") if host.strip())
    wrong = next((host for host in hosts if not re.fullmatch(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]", host)), None)
    if wrong:
        raise SettingsError(
            f"{name}: {wrong!r} is no host name: give names without port, separated by commas"
        )
    return hosts


def _redis(env: dict[str, str], name: str) -> str:
    value = env.get(name) or ""
    if value and not re.fullmatch(r"rediss?://(?:[^@/\s]+@)?[^:@/\s]+:\d+(?:/\d+)?", value):
        raise SettingsError(
            f"{name}={shown(value)!r}: give redis://host:port or redis://host:port/db, or nothing for SQLite"
        )
    return value


def _ray(env: dict[str, str], name: str) -> str:
    value = env.get(name) or ""
    if value.startswith(KUBERAY) and not re.fullmatch(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value.removeprefix(KUBERAY)
    ):
        raise SettingsError(
            f"{name}={shown(value)!r} names no Kubernetes namespace: give {KUBERAY} and its name"
        )
    return value


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder (0 where it does not exist)."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
