"""The environment turned into paths and addresses: the one place that knows a laptop from a cluster."""

import os
import secrets
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import InitSettingsSource, SettingsConfigDict

from resources import variables
from resources.addresses import without_user
from resources.cluster_settings import ClusterSettings
from resources.state_folder import DEFAULT, PROJECT_ROOT, SettingsError, fit_for_state, working_folder
from resources.use_case_folders import VARIABLE
from resources.variables import KUBERAY

RAYJOB = PROJECT_ROOT / "deployments" / "kubernetes" / "rayjob.yaml"

USAGE_REPORTS_OFF = {
    "DAGSTER_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "FEAST_USAGE": "False",
    "DO_NOT_TRACK": "true",
    "ANONYMIZED_TELEMETRY": "False",
    "GIT_PYTHON_REFRESH": "quiet",
}


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


def sqlite_address(file: Path) -> str:
    """The address of a SQLite file, in which `%` and `?` would mean something else than themselves."""
    return "sqlite:///" + str(file).replace("%", "%25").replace("?", "%3F")


def sqlite_file(address: str) -> Path | None:
    """The file that an address of SQLite means; None for another database or a server."""
    prefix = "sqlite:///"
    return Path(unquote(address.removeprefix(prefix))) if address.startswith(prefix) else None


Port = Annotated[int, BeforeValidator(variables.port)]


class Settings(ClusterSettings):
    """Where state lies and on which local addresses the servers listen: each field is a variable, described as people read it.

    `examples` is what the table of variables shows as the default where the value itself would not say it.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        case_sensitive=True,
        env_ignore_empty=True,
        extra="ignore",
        validate_default=True,
        hide_input_in_errors=True,
    )

    home: Annotated[Path, BeforeValidator(fit_for_state)] = Field(
        default=DEFAULT,
        validation_alias="MLOPS_HOME",
        examples=["`.mlops`"],
        description="Where all state lies. Any folder whose path has no `*`, `?`, `[` or `%`, which Dagster would read as a pattern.",
    )
    lake_address: Annotated[str, BeforeValidator(variables.storage)] = Field(
        default="",
        validation_alias="MLOPS_LAKE",
        examples=["`lake` under `MLOPS_HOME`"],
        description="Where the tables lie: a folder, or `s3://bucket/prefix`, see [storage](docs/architecture.md#storage).",
    )
    audit_address: Annotated[str, BeforeValidator(variables.storage)] = Field(
        default="",
        validation_alias="MLOPS_AUDIT",
        examples=["`audit` under `MLOPS_HOME`"],
        description="Where the [audit log](docs/audit.md) lies: a folder, or `s3://bucket/prefix`.",
    )
    audit_key_file: Annotated[Path | None, BeforeValidator(variables.path)] = Field(
        default=None,
        validation_alias="MLOPS_AUDIT_KEY_FILE",
        examples=["`keys/audit.key` under `MLOPS_HOME`"],
        description="The file with the keys that seal the audit log.",
    )
    data: Annotated[Path | None, BeforeValidator(variables.path)] = Field(
        default=None,
        validation_alias="MLOPS_DATA",
        examples=["what the use case ships"],
        description="Folder of raw files for the worked example, see [its data](docs/example-data.md).",
    )
    use_cases: str = Field(
        default="",
        validation_alias=VARIABLE,
        examples=["none"],
        description="Folders of use cases outside of the project, with `:` between them; each has a `use_case.yaml`.",
    )
    feature_repository: str = Field(
        default="",
        validation_alias="MLOPS_FEATURE_REPO",
        examples=["`features` in the use case's folder"],
        description="Package with the Feast definitions, for every use case.",
    )
    online_store: Annotated[str, BeforeValidator(variables.redis)] = Field(
        default="",
        validation_alias="MLOPS_ONLINE_STORE",
        repr=False,
        examples=["SQLite under `MLOPS_HOME`"],
        description="`redis://host:port/db` keeps online features in that Redis.",
    )
    offline_engine: Annotated[Literal["local", "ray"], BeforeValidator(variables.engine)] = Field(
        default="local",
        validation_alias="MLOPS_OFFLINE_ENGINE",
        description="`ray` joins features on the Ray cluster that `RAY_ADDRESS` names.",
    )
    dagster_port: Port = Field(
        default=3000, validation_alias="MLOPS_DAGSTER_PORT", description="Port of the Dagster UI."
    )
    dagster_address: str = Field(
        default="",
        validation_alias="MLOPS_DAGSTER_URL",
        repr=False,
        examples=["that port on 127.0.0.1"],
        description="Where people open the Dagster UI; model cards link to it.",
    )
    mlflow_port: Port = Field(
        default=5000, validation_alias="MLOPS_MLFLOW_PORT", description="Port of the MLflow UI."
    )
    ray_address: Annotated[str, BeforeValidator(variables.ray)] = Field(
        default="",
        validation_alias="MLOPS_RAY_ADDRESS",
        repr=False,
        examples=["none"],
        description="A Ray cluster that large fits run on, or `kuberay://` and a namespace, see [training](docs/training.md).",
    )
    rayjob: Annotated[Path, BeforeValidator(variables.path)] = Field(
        default=RAYJOB,
        validation_alias="MLOPS_RAYJOB",
        examples=["`deployments/kubernetes/rayjob.yaml`"],
        description="Template of the KubeRay jobs that fits become.",
    )
    mlflow_uri: str = Field(
        default_factory=lambda data: sqlite_address(data["home"] / "mlflow" / "mlflow.db"),
        validation_alias="MLFLOW_TRACKING_URI",
        repr=False,
        examples=["SQLite under `MLOPS_HOME`"],
        description="Another MLflow. It is used, and none is started.",
    )
    mlflow_patience_s: Annotated[int, BeforeValidator(variables.seconds)] = Field(
        default=300,
        validation_alias="MLOPS_MLFLOW_PATIENCE_S",
        description="How many seconds that MLflow may be away before a run gives up.",
    )
    keep_logs_days: Annotated[int, BeforeValidator(variables.days)] = Field(
        default=30,
        validation_alias="MLOPS_KEEP_LOGS_DAYS",
        description="How many days Dagster keeps the log of a run that ended; the history of assets stays, see [retention](docs/architecture.md#retention).",
    )
    keep_trials_days: Annotated[int, BeforeValidator(variables.days)] = Field(
        default=90,
        validation_alias="MLOPS_KEEP_TRIALS_DAYS",
        description="How many days MLflow keeps a trial that no registered version is made of.",
    )

    look_every_s: Annotated[int, BeforeValidator(variables.count)] = Field(
        default=15,
        validation_alias="MLOPS_LOOK_EVERY_S",
        description="Seconds between two looks of each sensor that ingests, scores or retrains, at the least. `5`, which is what `make live` takes, is quicker where there are few models: every look costs the daemon some hundredths of a second.",
    )

    clock_start: Annotated[datetime | None, BeforeValidator(variables.moment)] = Field(
        default=None,
        validation_alias="MLOPS_CLOCK_START",
        examples=["the machine's clock"],
        description="A moment with its zone, from which time is simulated for use cases with `clock: wall`. The first process writes it to `clock.json` under `MLOPS_HOME`; the others follow that.",
    )
    clock_rate: Annotated[float, BeforeValidator(variables.rate)] = Field(
        default=1.0,
        validation_alias="MLOPS_CLOCK_RATE",
        examples=["`1`"],
        description="How many times as fast as the machine's clock that simulated time runs.",
    )

    @property
    def declared(self) -> str:
        """Import path of the function that says what code serves a model of the repository; no variable sets it."""
        return "mlops_assets.stages.served:declared"

    @property
    def described(self) -> str:
        """Import path of the function that says which features the YAML of a use case describes; no variable sets it."""
        return "mlops_assets.stages.declared_features:described"

    @property
    def ahead(self) -> str:
        """Import path of the function that says which libraries score the repository's models; no variable sets it."""
        return "mlops_assets.stages.served:ahead"

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
    def is_cluster(self) -> bool:
        """Whether processes of several machines work on this state."""
        return self.env == "cluster"

    def shared(self, part: str) -> str:
        """Where a part of the state folder lies for all machines; empty where the folder itself is all there is."""
        return f"{self.shared_address}/{part}" if self.shared_address else ""

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
    def alerts(self) -> Path:
        return self.home / "alerts"

    @property
    def replay(self) -> Path:
        return self.home / "replay"


def settings(environ: dict[str, str] | None = None) -> Settings:
    """The settings of this process's environment, or of the one that is given; raises SettingsError with each value that cannot be used, its rule and its fix."""
    try:
        if environ is None:
            return _of_process(frozenset(os.environ.items()), working_folder())
        given: dict[str, Any] = {name: value for name, value in environ.items() if value}
        alone: dict[str, Any] = {"_build_sources": ((InitSettingsSource(Settings, given),), {})}
        return Settings(**alone)
    except ValidationError as error:
        raise SettingsError("; ".join(filter(None, map(variables.sentence, error.errors())))) from error


@lru_cache(maxsize=4)
def _of_process(environment: frozenset[tuple[str, str]], folder: str) -> Settings:
    """The settings of `os.environ` and of where relative paths begin: loading fifty models asks for them 1,500 times."""
    return Settings()
