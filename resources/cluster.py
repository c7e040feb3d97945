"""The resources of a cluster, from the settings alone: those of a laptop, with what its machines share in the place of folders."""

from typing import Any
from urllib.parse import urlsplit

from resources.local import local_resources
from resources.settings import Settings

IO_MANAGER = "io_manager"


def resources_of(where: Settings) -> dict[str, Any]:
    """The set that `MLOPS_ENV` names; what the definitions hold is the same over either."""
    return cluster_resources(where) if where.is_cluster else local_resources(where)


def cluster_resources(where: Settings) -> dict[str, Any]:
    """As `local_resources`: records, what waits for MLflow, served vectors and checkpoints lie where all machines find them."""
    here = local_resources(where)
    endpoint = here["endpoint"].model_copy(update={"shared": where.shared("serving")})
    tracking = here["tracking"].model_copy(update={"shared": where.shared("mlflow/spool")})
    served = here["serving_log"].model_copy(update={"folder": where.shared(where.serving_log.name)})
    compute = here["compute"].model_copy(update={"folder": where.shared(where.training.name)})
    alerts = here["alerts"].model_copy(update={"folder": where.shared(where.alerts.name)})
    return here | {
        "endpoint": endpoint,
        "tracking": tracking,
        "serving_log": served,
        "compute": compute,
        "alerts": alerts,
    }


def dagster_resources(where: Settings) -> dict[str, Any]:
    """Resources of Dagster's own: on a cluster, where a value lies that one step hands to another."""
    if not where.is_cluster:
        return {}
    from dagster_aws.s3 import S3PickleIOManager, S3Resource

    bucket, prefix = bucket_of(where.shared("dagster/values"))
    return {IO_MANAGER: S3PickleIOManager(s3_resource=S3Resource(), s3_bucket=bucket, s3_prefix=prefix)}  # type: ignore[arg-type]


def bucket_of(address: str) -> tuple[str, str]:
    """Bucket and prefix of an address of an object store."""
    parts = urlsplit(address)
    return parts.netloc, parts.path.strip("/")
