"""What a Dagster run says of itself: why it was launched, and by whom."""

import dagster as dg

from mlops_assets.promotion.records import launched_by

REASON_TAG, TRIGGER_TAG = "mlops/reason", "mlops/trigger"


def run_lineage(context: dg.AssetExecutionContext) -> dict[str, str]:
    """The Dagster run and its reason."""
    tags = context.run.tags
    return {
        "dagster_run": context.run.run_id,
        "reason": tags.get(REASON_TAG, "launched by hand"),
        "launched_by": launched_by(tags),
    }
