"""What a cluster is made of, as processes of this machine: databases, stores, MLflow, and the platform's own.

Every process of the platform has a state folder to itself, as on machines of their own: what it shares with the others
goes through PostgreSQL, Redis, MLflow and the object store.
"""

import json
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import quote

from mlops_assets.local.processes import Server
from mlops_assets.local.running import DevError
from resources.ports import free
from resources.settings import PROJECT_ROOT, USAGE_REPORTS_OFF, Settings
from resources.storage.s3_server import KEYS

HOST, USER, BUCKET, SECRET = "127.0.0.1", "mlops", "mlops", "mlops/cluster"
DATABASES = ("dagster", "mlflow", "mlflow_auth", "feast")
POSTGRES_USER = "postgres"
PLATFORM, STORES = 0, 1
"""What is asked to end first, and what they need until then."""


@dataclass(frozen=True)
class Passwords:
    """What the parts know each other by: made once, kept where nobody else reads, and handed out by Secrets Manager."""

    postgres: str
    redis: str
    mlflow: str
    mlflow_session: str
    audit_key: str

    @classmethod
    def of(cls, file: Path) -> "Passwords":
        """Those of a state folder, made where there are none yet."""
        if not file.exists():
            words = {
                field.name: secrets.token_hex(32 if field.name == "audit_key" else 16)
                for field in fields(cls)
            }
            write_private(file, json.dumps(words))
        return cls(**json.loads(file.read_text()))


@dataclass(frozen=True)
class Ports:
    """Where each part listens: those that people open are as the settings say, the others are free ones."""

    dagster: int
    mlflow: int
    endpoint: int
    postgres: int
    redis: int
    s3: int
    code: int

    @classmethod
    def of(cls, settings: Settings) -> "Ports":
        """Ports of a start; every start takes other free ones."""
        return cls(settings.dagster_port, settings.mlflow_port, settings.serve_port, *free(4))


@dataclass(frozen=True)
class Parts:
    """The processes of one state folder."""

    state: Path
    settings: Settings
    ports: Ports
    passwords: Passwords

    def database(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql+psycopg2://{USER}:{self.passwords.postgres}@{HOST}:{self.ports.postgres}/{name}"

    @property
    def secret(self) -> dict[str, str]:
        """What Secrets Manager keeps for the platform's processes."""
        given = self.passwords
        return {
            "MLOPS_DAGSTER_DB": self.database("dagster"),
            "MLOPS_FEAST_REGISTRY": self.database("feast"),
            "MLOPS_ONLINE_STORE": f"redis://:{given.redis}@{HOST}:{self.ports.redis}/0",
            "MLFLOW_TRACKING_URI": f"http://{USER}:{quote(given.mlflow)}@{HOST}:{self.ports.mlflow}",
            "MLOPS_AUDIT_KEY": given.audit_key,
            "MLOPS_BACKUP_WITH": " ".join(
                [self.database("mlflow"), self.database("mlflow_auth"), f"s3://{BUCKET}/mlflow"]
            ),
        }

    @property
    def aws(self) -> dict[str, str]:
        """How the object store and the secrets are reached."""
        return {
            "AWS_ENDPOINT_URL": f"http://{HOST}:{self.ports.s3}",
            "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
            "AWS_REGION": KEYS["region_name"],
            "AWS_DEFAULT_REGION": KEYS["region_name"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ALLOW_HTTP": "true",
        }

    def environment(self, name: str) -> dict[str, str]:
        """The variables of one of the platform's processes, whose state folder is its own; no secret is among them."""
        home = self.private(name)
        return {
            **USAGE_REPORTS_OFF,
            **self.aws,
            "MLOPS_ENV": "cluster",
            "MLOPS_HOME": str(home),
            "MLOPS_RUN_HOME": str(self.private("runs")),
            "DAGSTER_HOME": str(home / "dagster"),
            "MLOPS_SECRET": SECRET,
            "MLOPS_LAKE": f"s3://{BUCKET}/lake",
            "MLOPS_AUDIT": f"s3://{BUCKET}/audit",
            "MLOPS_SHARED": f"s3://{BUCKET}/shared",
            "MLOPS_BACKUP": str(self.state / "backups"),
            "MLOPS_DAGSTER_PORT": str(self.ports.dagster),
            "MLOPS_MLFLOW_PORT": str(self.ports.mlflow),
            "MLOPS_SERVE_PORT": str(self.ports.endpoint),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
        }

    def private(self, name: str) -> Path:
        """The state folder of one process."""
        return self.state / "private" / name

    def stores(self) -> list[Server]:
        """Databases and the object store."""
        return [self._postgres(), self._redis(), self._s3()]

    def platform(self) -> list[Server]:
        """The processes of the platform, in the order they start."""
        at = ["-h", HOST, "-p", str(self.ports.dagster)]
        return [
            self._own("Code", ["dagster", "api", "grpc", *self._code()], f"grpc://{HOST}:{self.ports.code}"),
            self._own("Daemon", ["dagster._daemon", "run", *self._workspace()], ""),
            self._own(
                "Dagster",
                ["dagster_webserver", *self._workspace(), *at],
                f"http://{HOST}:{self.ports.dagster}/server_info",
                "assets, checks, runs and sensors: start at the lineage page",
            ),
            self._own(
                "Endpoint",
                ["resources.serving"],
                f"http://{HOST}:{self.ports.endpoint}/healthz",
                "deployed models, each with a curl line",
            ),
        ]

    def mlflow(self) -> Server:
        """MLflow's server: it alone knows its database and its bucket, and asks everybody who they are."""
        config = self.state / "mlflow" / "auth.ini"
        write_private(
            config,
            "[mlflow]\ndefault_permission = READ\n"
            f"database_uri = {self.database('mlflow_auth')}\nadmin_username = {USER}\n"
            f"admin_password = {self.passwords.mlflow}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\nauth_cache_ttl_seconds = 60\n",
        )
        at = ["--host", HOST, "--port", str(self.ports.mlflow), "--workers", "1"]
        artifacts = ["--artifacts-destination", f"s3://{BUCKET}/mlflow", "--serve-artifacts"]
        address = f"http://{HOST}:{self.ports.mlflow}"
        return self._server(
            "MLflow",
            [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", *at, *artifacts],
            f"{address}/health",
            {
                **USAGE_REPORTS_OFF,
                **self.aws,
                "MLFLOW_BACKEND_STORE_URI": self.database("mlflow"),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_AUTH_CONFIG_PATH": str(config),
                "MLFLOW_FLASK_SERVER_SECRET_KEY": self.passwords.mlflow_session,
                "MLFLOW_AUTH_ADMIN_PASSWORD": self.passwords.mlflow,
            },
            f"runs and versions; user {USER}, password in {self.state / 'passwords.json'}",
            address=address,
        )

    def _code(self) -> list[str]:
        module = ["--module-name", "mlops_assets.definitions", "--working-directory", str(PROJECT_ROOT)]
        return [*module, "--host", HOST, "--port", str(self.ports.code), "--location-name", "mlops_assets"]

    def _workspace(self) -> list[str]:
        file = self.state / "workspace.yaml"
        where = {"host": HOST, "port": self.ports.code, "location_name": "mlops_assets"}
        file.write_text(json.dumps({"load_from": [{"grpc_server": where}]}))
        return ["-w", str(file)]

    def _own(self, name: str, module: list[str], health: str, hint: str = "") -> Server:
        started = [sys.executable, "-m", "resources.with_secrets", sys.executable, "-m", *module]
        environment = self.environment(name.lower())
        return self._server(name, started, health, environment, hint, wave=PLATFORM)

    def _postgres(self) -> Server:
        data, at = self.state / "postgres", f"tcp://{HOST}:{self.ports.postgres}"
        options = ["-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories="]
        command = [postgres_program("postgres"), "-D", str(data), "-p", str(self.ports.postgres), *options]
        return self._server("PostgreSQL", as_postgres(command), at, {}, ends="SIGINT")

    def _redis(self) -> Server:
        folder = self.state / "redis"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"bind {HOST}",
            f"port {self.ports.redis}",
            f"requirepass {self.passwords.redis}",
            f'dir "{folder}"',
            "appendonly yes",
            'save ""',
        ]
        write_private(folder / "redis.conf", "\n".join(lines))
        command = [needed("redis-server", "redis-server"), str(folder / "redis.conf")]
        return self._server("Redis", command, f"tcp://{HOST}:{self.ports.redis}", {})

    def _s3(self) -> Server:
        command = [
            sys.executable,
            "-m",
            "resources.storage.s3_server",
            str(self.ports.s3),
            str(self.state / "s3"),
        ]
        return self._server("S3", command, f"tcp://{HOST}:{self.ports.s3}", {})

    def _server(
        self,
        name: str,
        command: list[str],
        health: str,
        environment: Mapping[str, str],
        hint: str = "",
        wave: int = STORES,
        ends: str = "SIGTERM",
        address: str = "",
    ) -> Server:
        return Server(
            name=name,
            command=command,
            address=address or health.rpartition("/")[0] if health.startswith("http") else health,
            health=health,
            hint=hint,
            log=self.state / "logs" / f"{name.lower()}.log",
            environment=environment,
            folder=PROJECT_ROOT,
            ends_on=signal.Signals[ends],
            wave=wave,
        )


def postgres_program(name: str) -> str:
    """The path of one of PostgreSQL's programs, which Debian keeps out of the search path; DevError where it is not installed."""
    paths = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(paths[-1]) if paths else needed(name, "postgresql")


def as_postgres(command: list[str]) -> list[str]:
    """A command of PostgreSQL, which refuses to be run by root: for root, as its own user, in a folder that root may enter."""
    if os.geteuid() != 0:
        return command
    rights = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    user = [f"--reuid={POSTGRES_USER}", f"--regid={POSTGRES_USER}", "--clear-groups"]
    return [needed("setpriv", "util-linux"), *user, *rights, "--pdeathsig", "INT", *command]


def needed(program: str, package: str) -> str:
    """The path of a program; raises DevError with what to install where it is not there."""
    path = shutil.which(program)
    if path is None:
        raise DevError(
            f"{program} is not installed, which a cluster on one machine needs: apt-get install {package}"
        )
    return path


def write_private(file: Path, text: str) -> None:
    """A file that its owner alone may read, from its first byte on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
