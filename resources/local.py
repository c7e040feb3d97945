"""The resources of a laptop, from the settings alone."""

from typing import Any

from resources.addresses import handed_on
from resources.alerts.outbox import Alerts
from resources.audit.log import Audit
from resources.clock import Clock
from resources.compute.compute import Compute
from resources.features.stores import FeatureStores
from resources.lake.lake import Lake
from resources.pages import Pages
from resources.serving.log import ServingLogResource
from resources.serving.ray_serve import Endpoint
from resources.settings import Settings, settings
from resources.tracking.tracking import Tracking


def local_resources(given: Settings | None = None) -> dict[str, Any]:
    """Lake, feature store, tracking, Ray, endpoint, audit log, serving log, alerts and clock over the folders below `MLOPS_HOME`."""
    where = given or settings()
    return {
        "lake": Lake(root=where.lake, state=str(where.home)),
        "feature_store": FeatureStores.at(where),
        "tracking": Tracking(
            uri=handed_on("MLFLOW_TRACKING_URI", where.mlflow_uri),
            artifacts=str(where.mlflow_artifacts),
            spool=str(where.mlflow_spool),
            patience_s=where.mlflow_patience_s,
        ),
        "compute": Compute(
            folder=str(where.training),
            address=handed_on("MLOPS_RAY_ADDRESS", where.ray_address),
            rayjob=str(where.rayjob),
        ),
        "endpoint": Endpoint(folder=str(where.serving), address=where.serve_address),
        "pages": Pages(dagster=where.dagster_url, mlflow=where.mlflow_url, endpoint=where.serve_url),
        "audit": Audit(folder=where.audit, key_file=str(where.audit_key)),
        "alerts": Alerts(folder=str(where.alerts), policy_file=str(where.alerts_file or "")),
        "clock": Clock.of(where),
        "serving_log": ServingLogResource(folder=str(where.serving_log)),
    }
