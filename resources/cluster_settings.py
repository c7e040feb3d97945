"""The settings of a cluster: which of the two sets of resources is meant, and what the set of a cluster cannot do without."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from resources import variables
from resources.addresses import without_user
from resources.serving_settings import ServingSettings
from resources.state_folder import SettingsError

NEEDED = {
    "MLOPS_LAKE": "s3://bucket/lake",
    "MLOPS_AUDIT": "s3://bucket/audit",
    "MLOPS_SHARED": "s3://bucket/shared",
    "MLOPS_ONLINE_STORE": "redis://:password@redis:6379/0",
    "MLFLOW_TRACKING_URI": "http://user:password@mlflow:5000",
    "MLOPS_DAGSTER_DB": "postgresql+psycopg2://user:password@postgres:5432/dagster",
    "MLOPS_FEAST_REGISTRY": "postgresql+psycopg2://user:password@postgres:5432/feast",
}
"""The variables without which processes of several machines would each keep something to themselves, with an example of each."""

FORMS = {
    "MLOPS_LAKE": ("s3://",),
    "MLOPS_AUDIT": ("s3://",),
    "MLOPS_SHARED": ("s3://",),
    "MLFLOW_TRACKING_URI": ("http://", "https://"),
}


class ClusterSettings(ServingSettings):
    """Each field is a variable, described as people read it; those of a laptop too are in `resources.settings`."""

    env: Annotated[Literal["local", "cluster"], BeforeValidator(variables.environment)] = Field(
        default="local",
        validation_alias="MLOPS_ENV",
        description="`cluster` refuses to load without what several machines share, see [production](docs/production.md).",
    )
    shared_address: Annotated[str, BeforeValidator(variables.bucket)] = Field(
        default="",
        validation_alias="MLOPS_SHARED",
        examples=["`MLOPS_HOME` itself"],
        description="`s3://bucket/prefix` for what the processes of several machines share beside lake and audit log: deployment records, served vectors, what waits for MLflow, checkpoints of fits, output of runs.",
    )
    dagster_database: Annotated[str, BeforeValidator(variables.postgresql)] = Field(
        default="",
        validation_alias="MLOPS_DAGSTER_DB",
        repr=False,
        examples=["SQLite under `MLOPS_HOME`"],
        description="`postgresql+psycopg2://user:password@host:port/database` of Dagster's runs, events and schedules.",
    )
    feast_registry: Annotated[str, BeforeValidator(variables.postgresql)] = Field(
        default="",
        validation_alias="MLOPS_FEAST_REGISTRY",
        repr=False,
        examples=["SQLite under `MLOPS_HOME`"],
        description="`postgresql+psycopg2://user:password@host:port/database` of Feast's registries.",
    )
    secret: str = Field(
        default="",
        validation_alias="MLOPS_SECRET",
        examples=["none"],
        description="Name of a secret in AWS Secrets Manager, a JSON object of variables, that `python -m resources.with_secrets` starts a process with.",
    )

    run_namespace: Annotated[str, BeforeValidator(variables.namespace)] = Field(
        default="",
        validation_alias="MLOPS_RUN_NAMESPACE",
        examples=["none"],
        description="Kubernetes namespace in which each run is a pod, see [Kubernetes](docs/kubernetes.md); without it runs are processes.",
    )
    image: str = Field(
        default="",
        validation_alias="MLOPS_IMAGE",
        examples=["none"],
        description="Image of the pods of runs, with its registry and a digest.",
    )
    spot_nodes: Annotated[str, BeforeValidator(variables.label)] = Field(
        default="karpenter.sh/capacity-type=spot",
        validation_alias="MLOPS_SPOT_NODES",
        description="Label, and taint, of the nodes that may be taken back, on which pods with `spot: true` run.",
    )
    backup_address: Annotated[str, BeforeValidator(variables.storage)] = Field(
        default="",
        validation_alias="MLOPS_BACKUP",
        examples=["none"],
        description="Where [backups](docs/production.md#backups) of a cluster lie: a folder, or `s3://bucket/prefix`. With it, one is made every night.",
    )
    backup_with: Annotated[str, BeforeValidator(variables.addresses)] = Field(
        default="",
        validation_alias="MLOPS_BACKUP_WITH",
        repr=False,
        examples=["none"],
        description="What a backup takes along that no other variable names, with spaces between: the databases of MLflow's server and the bucket of its artifacts.",
    )

    @property
    def serve_url(self) -> str:
        """Where people open the endpoint: `MLOPS_SERVE_URL`, or on a laptop where it listens; empty where nobody knows."""
        return without_user(self.serve_page)[0] or ("" if self.env == "cluster" else self.serve_address)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Raise SettingsError where a cluster lacks something, or has something that no two of its machines would share."""
        if self.run_namespace and self.env != "cluster":
            raise SettingsError(
                f"MLOPS_RUN_NAMESPACE={self.run_namespace!r} makes runs pods, which share no folder with this process: set "
                "MLOPS_ENV to cluster, or leave it out"
            )
        if self.run_namespace and not self.image:
            raise SettingsError(
                "MLOPS_IMAGE is not set, which pods of MLOPS_RUN_NAMESPACE are made of: give the image of the platform, for "
                "instance registry.example/mlops-assets@sha256:…"
            )
        if problems := "; ".join(self._problems() if self.env == "cluster" else ()):
            raise SettingsError(problems)
        return self

    def _problems(self) -> Iterator[str]:
        given = {field.validation_alias: name for name, field in type(self).model_fields.items()}
        for variable, example in NEEDED.items():
            field = given[variable]
            value = str(getattr(self, field)) if field in self.model_fields_set else ""
            if not value:
                yield (
                    f"{variable} is not set, which MLOPS_ENV=cluster needs, as its machines share no folder: give for "
                    f"instance {example}"
                )
            elif not value.startswith(FORMS.get(variable, "")):
                yield f"{variable} lies on one machine, and those of MLOPS_ENV=cluster share no folder: give for instance {example}"
        if getattr(self, "clock_start", None) is not None:
            yield (
                "MLOPS_CLOCK_START simulates a time on which the processes of one folder agree, and those of MLOPS_ENV=cluster "
                "share none: leave it out, or use MLOPS_ENV=local"
            )
