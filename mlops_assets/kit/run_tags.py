"""What a Dagster run says of itself: why it was launched, by whom, for which partition, and whether it has ended."""

import dagster as dg
from dagster import DagsterRunStatus

from mlops_assets.promotion.records import launched_by

REASON_TAG, TRIGGER_TAG = "mlops/reason", "mlops/trigger"
REPLAY_TAG = "mlops/replay"
SENSOR_TAG, RUN_KEY_TAG, PARTITION_TAG = "dagster/sensor_name", "dagster/run_key", "dagster/partition"
FIRST_TAG, LAST_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
UNFINISHED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def run_lineage(context: dg.AssetExecutionContext) -> dict[str, str]:
    """The Dagster run and its reason."""
    tags = context.run.tags
    return {
        "dagster_run": context.run.run_id,
        "reason": tags.get(REASON_TAG, "launched by hand"),
        "launched_by": launched_by(tags),
    }
