"""The resources of a laptop, from the settings alone."""

from typing import Any

from resources.feature_store import FeatureStoreResource
from resources.lake import Lake
from resources.serving import Endpoint
from resources.settings import Settings, settings
from resources.tracking import Tracking


def local_resources(given: Settings | None = None) -> dict[str, Any]:
    """Lake, feature store, tracking and endpoint over the folders below `MLOPS_HOME`."""
    where = given or settings()
    return {
        "lake": Lake(root=str(where.lake)),
        "feature_store": FeatureStoreResource(
            lake_root=str(where.lake),
            home=str(where.feast),
            repository=where.feature_repository,
            offline_engine=where.offline_engine,
        ),
        "tracking": Tracking(uri=where.mlflow_uri, artifacts=str(where.mlflow_artifacts)),
        "endpoint": Endpoint(folder=str(where.serving)),
    }
